"""Taking a TCP (or TLS) connection away from the HTTP server, for ``Upgrade: SPDY/3.1``."""

from __future__ import annotations

import asyncio
from typing import cast

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

from meshlab.minicluster.apiserver.streams.spdy import SpdyError, SpdySession, SpdyStream


class HijackedResponse(web.StreamResponse):
    """What a handler returns after it has spoken on the connection itself: nothing more is written."""

    def __init__(self) -> None:
        super().__init__(status=101)
        self.force_close()

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        return None


class HijackedConnection(asyncio.Protocol):
    """A connection that speaks SPDY from now on; the streams that the client opens come out of `streams`.

    Args:
        request: the upgrade request; the client must not have sent anything after it.
        headers: headers of the 101 response besides ``Connection`` and ``Upgrade``.
    """

    def __init__(self, request: web.Request, headers: dict[str, str]) -> None:
        transport = request.transport
        if transport is None:
            raise ConnectionResetError("the client closed the connection")
        self.streams: asyncio.Queue[SpdyStream | None] = asyncio.Queue()
        self.session = SpdySession(self._send, self.streams.put_nowait)
        self._transport = transport
        self._server_protocol = transport.get_protocol()
        self._writable = asyncio.Event()
        self._writable.set()
        self._resume: asyncio.Task[None] | None = None
        lines = ["HTTP/1.1 101 Switching Protocols", "Connection: Upgrade", "Upgrade: SPDY/3.1"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        transport.set_protocol(self)
        self._transport.write(("\r\n".join(lines) + "\r\n\r\n").encode())
        self._writer = asyncio.create_task(self.session.run_writer())

    async def close(self) -> None:
        """Send what is queued, hang up, and give the HTTP server its end of connection."""
        self.session.close()
        await asyncio.gather(self._writer, return_exceptions=True)
        if self._resume is not None:
            self._resume.cancel()
        self._transport.close()
        # The HTTP server never sees this connection end, as its protocol no longer listens. It must be told only after
        # the request's task is done: telling it cancels that task.
        task = cast("asyncio.Task[None]", asyncio.current_task())
        task.add_done_callback(lambda _: self._server_protocol.connection_lost(None))

    def data_received(self, data: bytes) -> None:
        try:
            self.session.feed(data)
        except SpdyError:
            self._transport.abort()
            return
        if self._resume is None and self.session.behind:
            self._transport.pause_reading()
            self._resume = asyncio.create_task(self._resume_when_ready())

    def connection_lost(self, exc: Exception | None) -> None:
        self.session.close()
        self.streams.put_nowait(None)
        self._writable.set()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    async def _resume_when_ready(self) -> None:
        await self.session.ready()
        self._resume = None
        if not self._transport.is_closing():
            self._transport.resume_reading()

    async def _send(self, data: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(data)
            await self._writable.wait()
