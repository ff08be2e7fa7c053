"""exec and attach: a program's standard streams over the channels of a WebSocket or the streams of SPDY/3.1.

`relay` is the whole of the matter; `WebSocketChannels` and `SpdyChannels` are the two ways in which a client may hold
the other end. When it lets go, the session is closed: an exec'd command ends, an attachment is undone.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import suppress
from typing import Any, Protocol

import orjson
from aiohttp import web

from meshlab.minicluster.apiserver.streams.backend import ERROR, RESIZE, STDERR, STDIN, STDOUT, ExecSession
from meshlab.minicluster.apiserver.streams.hijack import HijackedConnection, HijackedResponse
from meshlab.minicluster.apiserver.streams.spdy import SpdyStream
from meshlab.minicluster.apiserver.streams.websocket import (
    CLOSE_CHANNEL,
    V1,
    V1_BASE64,
    V4,
    V4_BASE64,
    V5,
    ChannelSocket,
    negotiate,
)
from meshlab.minicluster.kubeapi import Obj, StatusError

WEBSOCKET_DIALECTS = (V5, V4, V4_BASE64, V1, V1_BASE64)
SPDY_PROTOCOLS = ("v4.channel.k8s.io", "v3.channel.k8s.io", "v2.channel.k8s.io", "channel.k8s.io")
STREAM_CREATION_TIMEOUT_S = 30
"""How long the client may take to open its SPDY streams: upstream's default."""


def exit_status(code: int) -> Obj:
    """The ``Status`` that ends an exec, as the kubelet words it."""
    if code == 0:
        return {"metadata": {}, "status": "Success"}
    return {
        "metadata": {},
        "status": "Failure",
        "message": f"command terminated with non-zero exit code: exit status {code}",
        "reason": "NonZeroExitCode",
        "details": {"causes": [{"reason": "ExitCode", "message": str(code)}]},
    }


class Channels(Protocol):
    """The client's ends of a program's streams."""

    async def stdin(self) -> bytes | None:
        """The next input; None when there will be no more."""
        ...

    async def resize(self) -> tuple[int, int]:
        """The next size of the client's terminal: columns, rows. Waits for ever when there is none."""
        ...

    async def gone(self) -> None:
        """Wait until the client has closed the connection."""
        ...

    async def send(self, channel: int, data: bytes) -> None: ...

    async def finish(self, status: Obj) -> None:
        """Tell how it ended, and close."""
        ...


async def relay(session: ExecSession, channels: Channels, *, stdin: bool, tty: bool, exec_: bool) -> None:
    """Carry everything between a program and a client until one of them ends.

    Args:
        session: the program; always closed at the end.
        channels: the client.
        stdin: whether the client may give input.
        tty: whether sizes of the client's terminal matter.
        exec_: whether the program's exit code is the outcome (it is not for attach).
    """

    async def output() -> Obj:
        while (item := await session.read()) is not None:
            await channels.send(*item)
        return exit_status(await session.wait() if exec_ else 0)

    async def give_input() -> None:
        # A program that has closed its standard input is no reason to stop showing its output.
        with suppress(BrokenPipeError, ConnectionResetError):
            while (data := await channels.stdin()) is not None:
                await session.write(data)
        await session.close_stdin()

    async def resizes() -> None:
        while True:
            session.resize(*await channels.resize())

    running = asyncio.create_task(output())
    gone = asyncio.create_task(channels.gone())
    helpers = [gone]
    if stdin:
        helpers.append(asyncio.create_task(give_input()))
    if tty:
        helpers.append(asyncio.create_task(resizes()))
    try:
        await asyncio.wait((running, gone), return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            with suppress(ConnectionError):
                await channels.finish(_outcome(running))
    finally:
        for task in (running, *helpers):
            task.cancel()
        try:
            await asyncio.gather(running, *helpers, return_exceptions=True)
        finally:
            await session.close()


def _outcome(running: asyncio.Task[Obj]) -> Obj:
    try:
        return running.result()
    except StatusError as error:
        return error.to_status()


class WebSocketChannels:
    """A client on a WebSocket."""

    def __init__(self, socket: ChannelSocket) -> None:
        self._socket = socket
        self._input: asyncio.Queue[bytes | None] = asyncio.Queue(maxsize=16)
        self._sizes: asyncio.Queue[tuple[int, int]] = asyncio.Queue()

    async def stdin(self) -> bytes | None:
        return await self._input.get()

    async def resize(self) -> tuple[int, int]:
        return await self._sizes.get()

    async def gone(self) -> None:
        while (message := await self._socket.receive()) is not None:
            channel, data = message
            if channel == STDIN and data:
                await self._input.put(data)
            elif channel == RESIZE and (size := parse_size(data)) is not None:
                self._sizes.put_nowait(size)
            elif channel == CLOSE_CHANNEL and data[:1] == bytes((STDIN,)) and self._socket.dialect.half_close:
                await self._input.put(None)

    async def send(self, channel: int, data: bytes) -> None:
        await self._socket.send(channel, data)

    async def finish(self, status: Obj) -> None:
        if self._socket.dialect.json_status:
            await self._socket.send(ERROR, orjson.dumps(status))
        elif status["status"] != "Success":
            await self._socket.send(ERROR, status["message"].encode())
        await self._socket.close()


class SpdyChannels:
    """A client on SPDY/3.1, each channel a stream of its own."""

    def __init__(self, connection: HijackedConnection, streams: dict[str, SpdyStream], *, json_status: bool) -> None:
        self._connection = connection
        self._streams = streams
        self._json_status = json_status
        self._sizes: AsyncIterator[tuple[int, int]] | None = None

    async def stdin(self) -> bytes | None:
        return await self._streams["stdin"].read() or None

    async def resize(self) -> tuple[int, int]:
        if self._sizes is None:
            self._sizes = _sizes(self._streams["resize"]) if "resize" in self._streams else _never()
        return await anext(self._sizes)

    async def gone(self) -> None:
        await self._connection.session.closed.wait()

    async def send(self, channel: int, data: bytes) -> None:
        stream = self._streams.get({STDOUT: "stdout", STDERR: "stderr"}[channel])
        if stream is not None:
            await stream.write(data)

    async def finish(self, status: Obj) -> None:
        error = self._streams["error"]
        if status["status"] != "Success":
            await error.write(orjson.dumps(status) if self._json_status else status["message"].encode())
        for stream in self._streams.values():
            stream.end()


async def _sizes(stream: SpdyStream) -> AsyncIterator[tuple[int, int]]:
    """Terminal sizes from a stream of JSON objects, which may be cut anywhere."""
    pending = b""
    while data := await stream.read():
        pending += data
        while b"}" in pending:
            document, _, pending = pending.partition(b"}")
            if (size := parse_size(document + b"}")) is not None:
                yield size
    async for size in _never():
        yield size


async def _never() -> AsyncIterator[tuple[int, int]]:
    await asyncio.Event().wait()
    yield (0, 0)


def parse_size(data: bytes) -> tuple[int, int] | None:
    """``{"Width": columns, "Height": rows}``; None if it is anything else."""
    try:
        size: Any = json.loads(data)
        return int(size["Width"]), int(size["Height"])
    except (ValueError, KeyError, TypeError):
        return None


Start = Callable[[], Coroutine[Any, Any, ExecSession]]


async def serve_remote_command(
    request: web.Request, start: Start, *, stdin: bool, stdout: bool, stderr: bool, tty: bool, exec_: bool
) -> web.StreamResponse:
    """Answer an exec or attach request.

    Args:
        request: the upgrade request.
        start: begins the session. An error below 500 answers the request; a later one, such as a missing program, is
            told in the dialect's own way after the upgrade, as a kubelet does.
        stdin: the client wants to give input.
        stdout: the client wants standard output.
        stderr: the client wants standard error.
        tty: the client wants a terminal.
        exec_: whether the exit code is the outcome.

    Raises:
        StatusError: the request is wrong, or the container cannot be reached.
    """
    upgrade = request.headers.get("Upgrade", "").lower()
    if upgrade not in {"websocket", "spdy/3.1"}:
        raise StatusError(400, "BadRequest", "Upgrade request required")
    dialect = negotiate(request, WEBSOCKET_DIALECTS) if upgrade == "websocket" else None
    protocol = None if dialect else _spdy_protocol(request)
    session, failure = await _started(start)
    try:
        if dialect is not None:
            socket = ChannelSocket(dialect)
            await socket.open(request)
            # Tells the client that the stream stands, before the program has said anything.
            with suppress(ConnectionError):
                await socket.send(STDOUT if stdout else STDERR if stderr and not tty else ERROR, b"")
            channels: Channels = WebSocketChannels(socket)
            response: web.StreamResponse = socket.response
            connection = None
        else:
            connection = HijackedConnection(request, {"X-Stream-Protocol-Version": protocol or ""})
            response = HijackedResponse()
            wanted = {"error"}
            wanted |= {name for name, asked in (("stdin", stdin), ("stdout", stdout), ("stderr", stderr)) if asked}
            wanted |= {"resize"} if tty and protocol in SPDY_PROTOCOLS[:2] else set()
            wanted -= {"stderr"} if tty else set()
            streams = await _expected_streams(connection, wanted)
            channels = SpdyChannels(connection, streams, json_status=protocol == "v4.channel.k8s.io")
    except BaseException:
        if session is not None:
            await session.close()
        raise
    try:
        if session is None:
            with suppress(ConnectionError):
                await channels.finish(failure or {})
        else:
            await relay(session, channels, stdin=stdin, tty=tty, exec_=exec_)
    finally:
        if connection is not None:
            await connection.close()
    return response


async def _started(start: Start) -> tuple[ExecSession | None, Obj | None]:
    try:
        return await start(), None
    except StatusError as error:
        if error.code < 500:
            raise
        return None, error.to_status()


def _spdy_protocol(request: web.Request) -> str:
    offered = [
        name.strip()
        for value in request.headers.getall("X-Stream-Protocol-Version", [])
        for name in value.split(",")
        if name.strip()
    ]
    if not offered:
        return "channel.k8s.io"
    for name in offered:
        if name in SPDY_PROTOCOLS:
            return name
    raise StatusError(
        403, "Forbidden", f"unable to upgrade: unable to negotiate protocol: client supports {offered}, server accepts "
        f"{[*SPDY_PROTOCOLS]}",
    )  # fmt: skip


async def _expected_streams(connection: HijackedConnection, wanted: set[str]) -> dict[str, SpdyStream]:
    """The streams that the client announced by its query, once it has opened all of them."""
    streams: dict[str, SpdyStream] = {}
    try:
        async with asyncio.timeout(STREAM_CREATION_TIMEOUT_S):
            while not wanted <= streams.keys():
                stream = await connection.streams.get()
                if stream is None:
                    raise ConnectionResetError("the client closed the connection")
                streams[stream.headers.get("streamtype", "")] = stream
    except BaseException:
        await connection.close()
        raise
    return streams
