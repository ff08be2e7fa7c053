"""``hashicorp/http-echo`` 1.0: one text for every request."""

from __future__ import annotations

import os
import signal
import sys
import time

from aiohttp import web

from meshlab.minicluster.images.go_flags import Flag, FlagError, parse_flags, usage
from meshlab.minicluster.images.http_server import (
    BindError,
    Handler,
    HttpServer,
    catch_all,
    client_address,
    go_duration,
    now,
    serve,
)
from meshlab.minicluster.images.output import print_line
from meshlab.minicluster.pod import PodContext

NAME, VERSION = "http-echo", "1.0.0"
EXIT_INTERRUPTED = 2
EXIT_USAGE = 127
FLAGS = {
    "listen": Flag("address and port to listen", ":5678"),
    "text": Flag("text to put on the webpage"),
    "status-code": Flag("http response code, e.g.: 200", 200, "int"),
    "version": Flag("display version information", False, "bool"),
}


def main(argv: list[str], pod: PodContext) -> int:
    """``http-echo [-text TEXT] [-listen :PORT] [-status-code N] [-version]``."""
    try:
        values, rest = parse_flags(FLAGS, argv[1:])
    except FlagError as error:
        if not error.help_wanted:
            print_line(str(error), error=True)
        print_line(usage(argv[0], FLAGS).rstrip("\n"), error=True)
        return 0 if error.help_wanted else 2
    if values["version"]:
        print_line(f"{NAME} v{VERSION}", error=True)
        return 0
    text = str(values["text"]) or os.environ.get("ECHO_TEXT", "")
    if not text:
        print_line("Missing -text option OR ENV var TEXT is empty!", error=True)
        return EXIT_USAGE
    if rest:
        print_line("Too many arguments!", error=True)
        return EXIT_USAGE
    listen = str(values["listen"])
    try:
        port = int(listen.rpartition(":")[2])
    except ValueError:
        _log(f"[ERR] server exited with: listen tcp: address {listen}: missing port in address")
        return 1
    server = HttpServer(
        catch_all(_handler(text, int(values["status-code"]))),
        [port],
        on_listening=lambda: _log(f"[INFO] server is listening on {listen}"),
        on_stop=lambda _: _log("[INFO] received interrupt, shutting down..."),
        stop_signals=(signal.SIGTERM, signal.SIGINT),
    )
    try:
        serve(server, pod)
    except BindError as error:
        _log(f"[ERR] server exited with: listen tcp {listen}: bind: {error.reason.lower()}")
        return 1
    return EXIT_INTERRUPTED


def _handler(text: str, status: int) -> Handler:
    body = f"{text}\n".encode()

    async def echo(request: web.Request) -> web.StreamResponse:
        started = time.perf_counter()
        headers = {"X-App-Name": NAME, "X-App-Version": VERSION, "Content-Type": "text/plain; charset=utf-8"}
        if request.path == "/health":
            return web.Response(body=b'{"status":"ok"}\n', headers=headers)
        stamp = f"{now():%Y/%m/%d %H:%M:%S}"
        protocol = f"HTTP/{request.version.major}.{request.version.minor}"
        agent = request.headers.get("User-Agent", "")
        print_line(
            f'{stamp} {request.host} {client_address(request)} "{request.method} {request.path} {protocol}" '
            f'{status} {len(body)} "{agent}" {go_duration(time.perf_counter() - started)}'
        )
        return web.Response(body=body, status=status, headers=headers)

    return echo


def _log(message: str) -> None:
    """A line of Go's ``log`` package, which writes to stderr."""
    print(f"{now():%Y/%m/%d %H:%M:%S} {message}", file=sys.stderr, flush=True)
