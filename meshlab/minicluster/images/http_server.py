"""The HTTP server under the built-in images: it binds the pod's address, and stops as the public images do.

A program makes an aiohttp application (the supervisor has aiohttp loaded already, so a fork shares it) and calls
`serve`. Nothing here runs at import, and nothing starts a thread.
"""

from __future__ import annotations

import asyncio
import os
import signal
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from meshlab.minicluster.images.half_close import HalfClosable, Tasks
from meshlab.minicluster.pod import PodContext

KEEPALIVE_S = 3600.0
"""How long an idle connection lives. The public images have no limit; one below a client's own makes races."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class BindError(Exception):
    """The port cannot be bound; the message is the system's."""

    def __init__(self, port: int, reason: str) -> None:
        super().__init__(reason)
        self.port = port
        self.reason = reason


@dataclass(slots=True)
class HttpServer:
    """What one built-in serves.

    Args:
        app: the application.
        ports: the nominal ports it listens on.
        grace_s: how long requests in flight may take once it was told to stop.
        headers: what replaces aiohttp's ``Server`` header; an empty value leaves the header out.
        tls: TLS for all ports.
        tls_ports: TLS for some of them, by nominal port.
        stop_signals: signals that stop it gracefully.
        on_listening: called when all ports are bound.
        on_stop: called with the signal that stops it, before requests in flight are waited for.
    """

    app: web.Application
    ports: list[int]
    grace_s: float = 5.0
    headers: Mapping[str, str] = field(default_factory=dict)
    tls: ssl.SSLContext | None = None
    tls_ports: Mapping[int, ssl.SSLContext] = field(default_factory=dict)
    stop_signals: tuple[signal.Signals, ...] = (signal.SIGTERM, signal.SIGINT)
    on_listening: Callable[[], None] = lambda: None
    on_stop: Callable[[signal.Signals], None] = lambda _: None
    _tasks: Tasks = field(default_factory=dict, init=False)
    _upgraded: set[RequestHandler] = field(default_factory=set, init=False)

    async def run(self, pod: PodContext) -> signal.Signals:
        """Serve until a signal; the signal.

        Raises:
            BindError: a port is taken.
        """
        stopped: asyncio.Future[signal.Signals] = asyncio.get_running_loop().create_future()

        def stop(number: signal.Signals) -> None:
            if not stopped.done():
                self.on_stop(number)
                stopped.set_result(number)

        self.app.on_response_prepare.append(self._headers)
        self.app.middlewares.insert(0, self._note)
        listeners: list[asyncio.Server] = []
        runner = web.AppRunner(
            self.app,
            access_log=None,
            keepalive_timeout=KEEPALIVE_S,
            shutdown_timeout=self.grace_s,
            auto_decompress=False,
        )
        await runner.setup()
        try:
            for number in self.stop_signals:
                asyncio.get_running_loop().add_signal_handler(number, stop, number)
            for port in self.ports:
                listeners.append(await self._listen(runner, pod, port))  # noqa: PERF401 - a failure must leave the others known
            self.on_listening()
            return await stopped
        finally:
            for listener in listeners:
                listener.close()
            await runner.cleanup()

    async def _listen(self, runner: web.AppRunner, pod: PodContext, port: int) -> asyncio.Server:
        server = runner.server
        assert server is not None, "the runner was set up"
        try:
            return await asyncio.get_running_loop().create_server(
                lambda: HalfClosable(server(), self._tasks, self._upgraded),
                pod.bind_ip,
                pod.ports.real(port),
                backlog=1024,
                ssl=self.tls_ports.get(port, self.tls),
            )
        except OSError as error:
            raise BindError(port, os.strerror(error.errno) if error.errno else str(error)) from error

    @web.middleware
    async def _note(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        self._tasks[request.protocol] = request.task
        if "Upgrade" in request.headers:
            self._upgraded.add(request.protocol)
        return await handler(request)

    async def _headers(self, request: web.Request, response: web.StreamResponse) -> None:
        response.headers.popall("Server", None)
        for name, value in self.headers.items():
            if value:
                response.headers[name] = value


def serve(server: HttpServer, pod: PodContext) -> signal.Signals:
    """Run a server to its end in this process; the signal that ended it.

    Raises:
        BindError: a port is taken.
    """
    return asyncio.run(server.run(pod))


def catch_all(handler: Handler) -> web.Application:
    """An application that leaves all routing to one handler."""
    app = web.Application(client_max_size=64 * 1024 * 1024)
    app.router.add_route("*", "/{path:.*}", handler)
    return app


def now() -> datetime:
    """The local time, as logs have it: containers run in UTC."""
    return datetime.now(UTC)


def client_address(request: web.BaseRequest) -> str:
    """``ip:port`` of the other end of the connection."""
    peer = request.transport.get_extra_info("peername") if request.transport else None
    return f"{peer[0]}:{peer[1]}" if peer else ""


def go_duration(seconds: float) -> str:
    """A duration as Go prints it: ``35.165µs``, ``1.2ms``, ``3s``, ``1m30s``."""
    nanoseconds = round(seconds * 1e9)
    if nanoseconds == 0:
        return "0s"
    for limit, unit, factor in ((1_000, "ns", 1), (1_000_000, "µs", 1_000), (1_000_000_000, "ms", 1_000_000)):
        if abs(nanoseconds) < limit:
            return f"{_decimal(nanoseconds / factor)}{unit}"
    minutes, rest = divmod(nanoseconds, 60_000_000_000)
    hours, minutes = divmod(minutes, 60)
    text = f"{_decimal(rest / 1e9)}s"
    if minutes or hours:
        text = f"{minutes}m{text}"
    return f"{hours}h{text}" if hours else text


def _decimal(value: float) -> str:
    return f"{value:.9f}".rstrip("0").rstrip(".")
