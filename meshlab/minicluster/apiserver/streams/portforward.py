"""portforward: TCP connections to a pod's own programs, in the three dialects that clients speak.

* SPDY/3.1 on a hijacked connection: each connection is a pair of streams, ``error`` and ``data``, of one request id.
* The same SPDY frames as the messages of a WebSocket (``SPDY/3.1+portforward.k8s.io``): kubectl's.
* ``v4.channel.k8s.io`` with ``?ports=``: port number i has channel 2i for data and 2i+1 for errors, each opening with
  the port as two bytes, little end first. One connection for each port, made at once.
"""

from __future__ import annotations

import asyncio
import errno
import os
import struct
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass

from aiohttp import WSMsgType, web

from meshlab.minicluster.apiserver.streams.hijack import HijackedConnection, HijackedResponse
from meshlab.minicluster.apiserver.streams.spdy import SpdyError, SpdySession, SpdyStream
from meshlab.minicluster.apiserver.streams.websocket import (
    UNNAMED,
    V4,
    V4_BASE64,
    ChannelSocket,
    Dialect,
    negotiate,
    offered_protocols,
)
from meshlab.minicluster.kubeapi import StatusError

TUNNEL_PROTOCOL = "SPDY/3.1+portforward.k8s.io"
SPDY_PROTOCOL = "portforward.k8s.io"
CHANNEL_DIALECTS = (V4, V4_BASE64, Dialect("portforward.k8s.io"))
PIECE = 32 * 1024
"""Bytes read from the pod at a time."""

OpenPort = Callable[[int], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]


@dataclass(frozen=True, slots=True)
class Target:
    """The pod to forward to."""

    name: str
    uid: str
    open_port: OpenPort

    def failure(self, port: int, error: Exception) -> str:
        """What the client is told when a port cannot be reached, as a kubelet with containerd words it."""
        if isinstance(error, StatusError):
            return f"error forwarding port {port} to pod {self.name}, uid {self.uid}: {error.message}"
        number = error.errno if isinstance(error, OSError) else None
        # asyncio puts several attempts into one OSError without a number; the wording is that of a refusal then too.
        reason = os.strerror(number or errno.ECONNREFUSED).lower()
        return (
            f"error forwarding port {port} to pod {self.name}, uid {self.uid}: failed to execute portforward in "
            f'network namespace "{self.name}": failed to connect to localhost:{port} inside namespace "{self.name}", '
            f"IPv4: dial tcp4 127.0.0.1:{port}: connect: {reason}"
        )


async def serve_port_forward(request: web.Request, target: Target) -> web.StreamResponse:
    """Answer a portforward request, in the client's dialect.

    Raises:
        StatusError: 400, not an upgrade or not a dialect we know.
    """
    match request.headers.get("Upgrade", "").lower():
        case "websocket" if TUNNEL_PROTOCOL in offered_protocols(request):
            return await _tunnel(request, target)
        case "websocket":
            return await _channels(request, target)
        case "spdy/3.1":
            return await _spdy(request, target)
    raise StatusError(400, "BadRequest", "Upgrade request required")


class SpdyForwarder:
    """Pairs the streams of a SPDY session and runs a connection for each pair."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._pending: dict[str, dict[str, SpdyStream]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def accept(self, stream: SpdyStream) -> None:
        """The client opened a stream."""
        kind = stream.headers.get("streamtype", "")
        # Old clients send no request id; their streams come in pairs, the error stream first.
        request_id = stream.headers.get("requestid") or str(stream.id if kind == "error" else stream.id - 2)
        pair = self._pending.setdefault(request_id, {})
        pair[kind] = stream
        if pair.keys() >= {"data", "error"}:
            del self._pending[request_id]
            task = asyncio.create_task(self._forward(pair["data"], pair["error"]))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """End every connection."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _forward(self, data: SpdyStream, error: SpdyStream) -> None:
        header = data.headers.get("port", "")
        try:
            port = int(header)
            reader, writer = await self._target.open_port(port)
        except ValueError:
            await error.write(f"invalid port {header!r}".encode())
        except (OSError, StatusError) as failure:
            await error.write(self._target.failure(port, failure).encode())
        else:
            await _pump(data, reader, writer)
        data.discard_input()
        data.end()
        error.end()


async def _pump(data: SpdyStream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    async def to_pod() -> None:
        with suppress(ConnectionError):
            while piece := await data.read():
                writer.write(piece)
                await writer.drain()
            writer.write_eof()

    sending = asyncio.create_task(to_pod())
    try:
        with suppress(ConnectionError):
            while piece := await reader.read(PIECE):
                await data.write(piece)
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        writer.close()


async def _spdy(request: web.Request, target: Target) -> web.StreamResponse:
    connection = HijackedConnection(request, {"X-Stream-Protocol-Version": SPDY_PROTOCOL})
    forwarder = SpdyForwarder(target)
    try:
        while (stream := await connection.streams.get()) is not None:
            forwarder.accept(stream)
    finally:
        await forwarder.close()
        await connection.close()
    return HijackedResponse()


async def _tunnel(request: web.Request, target: Target) -> web.StreamResponse:
    response = web.WebSocketResponse(protocols=(TUNNEL_PROTOCOL,), max_msg_size=0, compress=False, timeout=2)
    await response.prepare(request)
    forwarder = SpdyForwarder(target)
    session = SpdySession(response.send_bytes, forwarder.accept)
    writer = asyncio.create_task(session.run_writer())
    try:
        async for message in response:
            if message.type is WSMsgType.BINARY:
                session.feed(message.data)
                await session.ready()
    except SpdyError:
        pass
    finally:
        await forwarder.close()
        session.close()
        writer.cancel()
        await asyncio.gather(writer, return_exceptions=True)
    await response.close()
    return response


def parse_ports(values: list[str]) -> list[int]:
    """The ports of ``?ports=80&ports=81,82``.

    Raises:
        StatusError: 400, none or not a port.
    """
    ports = []
    for text in (text for value in values for text in value.split(",")):
        if not text.isdecimal() or not 0 < int(text) < 65536:
            raise StatusError(400, "BadRequest", f'query parameter "port" is invalid: {text}')
        ports.append(int(text))
    if not ports:
        raise StatusError(400, "BadRequest", 'query parameter "port" is required')
    return ports


async def _channels(request: web.Request, target: Target) -> web.StreamResponse:
    ports = parse_ports(request.query.getall("ports", []))
    dialect = negotiate(request, CHANNEL_DIALECTS)
    socket = ChannelSocket(dialect if dialect is not UNNAMED else Dialect(""))
    await socket.open(request)
    inputs: list[asyncio.Queue[bytes]] = [asyncio.Queue(maxsize=16) for _ in ports]

    async def forward(index: int, port: int) -> None:
        for channel in (2 * index, 2 * index + 1):
            await socket.send(channel, struct.pack("<H", port))
        try:
            reader, writer = await target.open_port(port)
        except (OSError, StatusError) as failure:
            await socket.send(2 * index + 1, target.failure(port, failure).encode())
            return
        sending = asyncio.create_task(_drain(inputs[index], writer))
        try:
            with suppress(ConnectionError):
                while piece := await reader.read(PIECE):
                    await socket.send(2 * index, piece)
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
            writer.close()

    async def receive() -> None:
        while (message := await socket.receive()) is not None:
            channel, data = message
            if channel % 2 == 0 and channel // 2 < len(ports) and not connections[channel // 2].done():
                await inputs[channel // 2].put(data)

    connections = [asyncio.create_task(forward(index, port)) for index, port in enumerate(ports)]
    receiving = asyncio.create_task(receive())
    try:
        ended = asyncio.gather(*connections, return_exceptions=True)
        await asyncio.wait((receiving, ended), return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (*connections, receiving):
            task.cancel()
        await asyncio.gather(*connections, receiving, return_exceptions=True)
    await socket.close()
    return socket.response


async def _drain(pieces: asyncio.Queue[bytes], writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while True:
            writer.write(await pieces.get())
            await writer.drain()
