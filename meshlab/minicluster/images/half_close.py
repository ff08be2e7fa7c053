"""Answering clients that have finished sending: ``printf 'GET / ...' | nc web 80``.

The public images' servers answer a request whose client has ended its half of the connection; aiohttp closes the
connection instead. A `HalfClosable` stands between the two: at the client's end-of-file it lets the requests that have
come be answered, and then closes.
"""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp.web_protocol import RequestHandler

PATIENCE_S = 0.05
"""How long bytes may take to become a request, each of `TRIES` times, once no more can come."""
TRIES = 10

Tasks = dict[RequestHandler, "asyncio.Task[Any]"]
"""The task that answers a connection's requests; known from its first request on."""


class HalfClosable(asyncio.Protocol):
    """Passes everything on to aiohttp's handler, but for the client's end-of-file.

    Args:
        handler: aiohttp's.
        tasks: filled by whoever sees the requests.
        upgraded: the connections that speak something else now; their end-of-file is their end.
    """

    def __init__(self, handler: RequestHandler, tasks: Tasks, upgraded: set[RequestHandler]) -> None:
        self._handler = handler
        self._tasks = tasks
        self._upgraded = upgraded
        self._transport: asyncio.BaseTransport | None = None
        self._asked = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._handler.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        self._asked = True
        self._handler.data_received(data)

    def eof_received(self) -> bool:
        tls = self._transport is not None and self._transport.get_extra_info("sslcontext") is not None
        if not self._asked or tls or self._handler in self._upgraded:
            return False
        self._handler.close()  # after the requests that are here, no more
        self._close_when_answered(TRIES)
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self._tasks.pop(self._handler, None)
        self._upgraded.discard(self._handler)
        self._handler.connection_lost(exc)

    def pause_writing(self) -> None:
        self._handler.pause_writing()

    def resume_writing(self) -> None:
        self._handler.resume_writing()

    def _close_when_answered(self, tries: int) -> None:
        task = self._tasks.get(self._handler)
        if task is not None:
            task.add_done_callback(lambda _: self._close())
        elif tries:
            asyncio.get_running_loop().call_later(PATIENCE_S, self._close_when_answered, tries - 1)
        else:
            self._close()

    def _close(self) -> None:
        if self._transport is not None:
            self._transport.close()
