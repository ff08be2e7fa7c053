"""One statement to a MySQL server: connect, ask, leave."""

from __future__ import annotations

import asyncio
import struct

from meshlab.minicluster.images.dial import PodNetwork, UnknownHost
from meshlab.minicluster.images.mysql import packets
from meshlab.minicluster.images.mysql.packets import Channel, Cursor, ProtocolError
from meshlab.minicluster.pod import PodContext

TIMEOUT_S = 10.0
MAX_PACKET = 1 << 24


class QueryFailed(Exception):
    """No connection, or the server refuses."""


async def query(
    pod: PodContext, host: str, port: int, *, user: str, password: str, database: str, statement: str
) -> list[list[str | None]]:
    """The rows of a statement.

    Args:
        pod: who asks.
        host: the server's name as the pod knows it.
        port: its nominal port.
        user: who to be.
        password: the user's.
        database: which one to use.
        statement: what to ask.

    Raises:
        QueryFailed: there is no answer, or it is a refusal.
    """
    try:
        async with asyncio.timeout(TIMEOUT_S):
            connection = await asyncio.to_thread(PodNetwork(pod).connect, host, port, TIMEOUT_S)
            connection.setblocking(False)
            reader, writer = await asyncio.open_connection(sock=connection)
            channel = Channel(reader, writer)
            try:
                await _log_in(channel, user, password, database)
                return await _rows(channel, statement)
            finally:
                writer.close()
    except (OSError, UnknownHost, TimeoutError, ProtocolError, asyncio.IncompleteReadError) as error:
        raise QueryFailed(str(error)) from error


async def _log_in(channel: Channel, user: str, password: str, database: str) -> None:
    greeting = Cursor(await _accepted(channel))
    if greeting.integer(1) != 10:
        raise ProtocolError("not the protocol of a MySQL server")
    greeting.string()
    greeting.take(4)
    nonce = greeting.take(8)
    greeting.take(19)
    nonce += greeting.take(12)
    proof = packets.scramble(password, nonce)
    channel.write(
        struct.pack("<IIB23x", packets.CAPABILITIES, MAX_PACKET, packets.UTF8MB4)
        + f"{user}\0".encode()
        + packets.text(proof)
        + f"{database}\0{packets.NATIVE_PASSWORD}\0".encode()
    )
    await _accepted(channel)


async def _rows(channel: Channel, statement: str) -> list[list[str | None]]:
    channel.sequence = 0
    channel.write(b"\x03" + statement.encode())
    columns = Cursor(await _accepted(channel)).length() or 0
    for _ in range(columns + 1):
        await channel.read()
    rows = []
    while (packet := await _accepted(channel))[0] != packets.EOF:
        fields = Cursor(packet)
        values = [fields.text() for _ in range(columns)]
        rows.append([None if value is None else value.decode() for value in values])
    return rows


async def _accepted(channel: Channel) -> bytes:
    packet = await channel.read()
    if not packet:
        raise ProtocolError("an empty packet")
    if packet[0] == packets.ERR:
        raise QueryFailed(packet[9:].decode(errors="replace"))
    return packet
