"""``mysqld``: the image of Bookinfo's database."""

from __future__ import annotations

import asyncio
import hmac
import itertools
import os
import secrets
import struct
from enum import IntEnum
from typing import Any

from meshlab.minicluster.images.http_server import now
from meshlab.minicluster.images.mysql import packets
from meshlab.minicluster.images.mysql.database import VERSION, Database, Result, StatementError, use
from meshlab.minicluster.images.mysql.packets import Channel, Cursor, ProtocolError
from meshlab.minicluster.images.output import print_line
from meshlab.minicluster.images.tcp_server import serve_tcp
from meshlab.minicluster.pod import PodContext

PORT = 3306
LONGLONG, DOUBLE, VAR_STRING = 0x08, 0x05, 0xFD
NONCE_LENGTH = 20

_connections = itertools.count(8)


class Command(IntEnum):
    """The first byte of what a client asks."""

    QUIT = 0x01
    INIT_DB = 0x02
    QUERY = 0x03
    PING = 0x0E


def entrypoint(argv: list[str], pod: PodContext) -> int:
    """``docker-entrypoint.sh mysqld ...``: options alone mean the server."""
    words = argv[1:]
    if not words or words[0].startswith("-"):
        words = ["mysqld", *words]
    if words[0] != "mysqld":
        os.execvp(words[0], words)
    return main(words, pod)


def main(argv: list[str], pod: PodContext) -> int:
    """``mysqld [--port=PORT]``; other options are accepted. The root password is ``MYSQL_ROOT_PASSWORD``."""
    allowed_empty = os.environ.get("MYSQL_ALLOW_EMPTY_PASSWORD")
    password = os.environ.get("MYSQL_ROOT_PASSWORD", "")
    if not password and not allowed_empty:
        _log("ERROR", "Database is uninitialized and password option is not specified")
        return 1
    port = next((int(word[7:]) for word in argv if word.startswith("--port=") and word[7:].isdecimal()), PORT)
    return asyncio.run(_serve(pod, port, password))


def _log(level: str, text: str) -> None:
    print_line(f"{now().isoformat(timespec='microseconds')} 0 [{level}] [Server] {text}", error=True)


async def _serve(pod: PodContext, port: int, password: str) -> int:
    database = Database()

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        channel = Channel(reader, writer)
        try:
            if await _admit(channel, password):
                while await _answer(channel, database):
                    await writer.drain()
            await writer.drain()
        except ProtocolError as error:
            channel.write(packets.error_packet(1043, "08S01", f"Bad handshake: {error}"))

    try:
        await serve_tcp(
            pod,
            port,
            converse,
            on_listening=lambda: _log("System", f"mysqld: ready for connections. Version: '{VERSION}'  port: {port}"),
        )
    except OSError as error:
        _log("ERROR", f"Can't start server: Bind on TCP/IP port: {error.strerror}")
        return 1
    _log("System", f"mysqld: Shutdown complete (mysqld {VERSION})")
    return 0


async def _admit(channel: Channel, password: str) -> bool:
    """Greet a client and judge who it says to be; whether it may go on."""
    nonce = bytes(1 + secrets.randbelow(127) for _ in range(NONCE_LENGTH))
    channel.write(_greeting(nonce))
    answer = Cursor(await channel.read())
    capabilities = answer.integer(4)
    answer.take(28)
    user = answer.string()
    proof = answer.take(answer.integer(1))
    database = answer.string() if capabilities & packets.CONNECT_WITH_DB else ""
    plugin = answer.string() if capabilities & packets.PLUGIN_AUTH else packets.NATIVE_PASSWORD
    if plugin != packets.NATIVE_PASSWORD:
        channel.write(bytes([packets.EOF]) + f"{packets.NATIVE_PASSWORD}\0".encode() + nonce + b"\0")
        proof = await channel.read()
    if user != "root" or not hmac.compare_digest(proof, packets.scramble(password, nonce)):
        host = channel.writer.get_extra_info("peername")[0]
        using = "YES" if proof else "NO"
        text = f"Access denied for user '{user}'@'{host}' (using password: {using})"
        channel.write(packets.error_packet(1045, "28000", text))
        return False
    try:
        if database:
            use(database)
    except StatementError as error:
        channel.write(packets.error_packet(error.code, error.state, str(error)))
        return False
    channel.write(packets.ok_packet())
    return True


def _greeting(nonce: bytes) -> bytes:
    low, high = packets.CAPABILITIES & 0xFFFF, packets.CAPABILITIES >> 16
    return b"".join(
        (
            b"\x0a" + f"{VERSION}\0".encode(),
            struct.pack("<I", next(_connections)),
            nonce[:8] + b"\0",
            struct.pack("<HBHHB", low, packets.UTF8MB4, packets.AUTOCOMMIT, high, NONCE_LENGTH + 1),
            bytes(10),
            nonce[8:] + b"\0",
            f"{packets.NATIVE_PASSWORD}\0".encode(),
        )
    )


async def _answer(channel: Channel, database: Database) -> bool:
    """Answer one command; whether the conversation goes on."""
    packet = await channel.read()
    command, rest = packet[:1], packet[1:].decode(errors="replace")
    try:
        match command[0] if command else Command.QUIT:
            case Command.QUIT:
                return False
            case Command.INIT_DB:
                use(rest)
                channel.write(packets.ok_packet())
            case Command.QUERY:
                _write_result(channel, database.run(rest))
            case Command.PING:
                channel.write(packets.ok_packet())
            case _:
                raise StatementError(1047, "08S01", "Unknown command")
    except StatementError as error:
        channel.write(packets.error_packet(error.code, error.state, str(error)))
    return True


def _write_result(channel: Channel, result: Result) -> None:
    if result.columns is None:
        channel.write(packets.ok_packet(result.affected))
        return
    channel.write(packets.lenenc(len(result.columns)))
    for index, name in enumerate(result.columns):
        channel.write(_column(name, [row[index] for row in result.rows]))
    channel.write(packets.eof_packet())
    for row in result.rows:
        channel.write(b"".join(bytes([packets.NULL]) if value is None else packets.text(str(value)) for value in row))
    channel.write(packets.eof_packet())


def _column(name: str, values: list[Any]) -> bytes:
    held = [value for value in values if value is not None]
    if held and all(isinstance(value, int) for value in held):
        kind, charset, length = LONGLONG, 63, 20
    elif held and all(isinstance(value, int | float) for value in held):
        kind, charset, length = DOUBLE, 63, 22
    else:
        kind, charset, length = VAR_STRING, packets.UTF8MB4, 1020
    names = b"".join(packets.text(part) for part in ("def", "test", "", "", name, name))
    return names + b"\x0c" + struct.pack("<HIBHBxx", charset, length, kind, 0, 0)
