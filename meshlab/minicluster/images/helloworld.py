"""``istio/examples-helloworld-v1`` and ``-v2``: a Flask application that tells its version and its pod."""

from __future__ import annotations

import os
import sys

from aiohttp import web

from meshlab.minicluster.images.http_server import BindError, HttpServer, catch_all, now, serve
from meshlab.minicluster.images.output import print_line
from meshlab.minicluster.pod import PodContext

SCRIPT = "/opt/microservices/app.py"
PORT = 5000
NOT_FOUND = (
    "<!doctype html>\n<html lang=en>\n<title>404 Not Found</title>\n<h1>Not Found</h1>\n"
    "<p>The requested URL was not found on the server. "
    "If you entered the URL manually please check your spelling and try again.</p>\n"
)
METHOD_NOT_ALLOWED = (
    "<!doctype html>\n<html lang=en>\n<title>405 Method Not Allowed</title>\n<h1>Method Not Allowed</h1>\n"
    "<p>The method is not allowed for the requested URL.</p>\n"
)


def main(argv: list[str], pod: PodContext) -> int:
    """``python3 /opt/microservices/app.py``: the one script of the image."""
    if len(argv) < 2:
        return 0
    if argv[1] != SCRIPT:
        print_line(f"{argv[0]}: can't open file '{argv[1]}': [Errno 2] No such file or directory", error=True)
        return 2
    version = os.environ.get("SERVICE_VERSION", "v1")
    server = HttpServer(
        catch_all(lambda request: _answer(request, version, pod.name)),
        [PORT],
        headers={"Server": "Werkzeug/3.1.3 Python/3.13.5"},
        on_listening=lambda: _banner(pod),
    )
    try:
        serve(server, pod)
    except BindError as error:
        print_line(f"{error.reason}\nPort {PORT} is in use by another program.", error=True)
        return 1
    return 0


def _banner(pod: PodContext) -> None:
    print_line(" * Serving Flask app 'app'\n * Debug mode: off")
    print_line(f" * Running on all addresses (0.0.0.0)\n * Running on http://{pod.pod_ip}:{PORT}", error=True)


async def _answer(request: web.Request, version: str, pod_name: str) -> web.Response:
    status, body = 200, ""
    if request.path not in {"/hello", "/health"}:
        status, body = 404, NOT_FOUND
    elif request.method not in {"GET", "HEAD", "OPTIONS"}:
        status, body = 405, METHOD_NOT_ALLOWED
    elif request.path == "/hello":
        body = f"Hello version: {version}, instance: {pod_name}\n"
    else:
        body = "Helloworld is healthy"
    protocol = f"HTTP/{request.version.major}.{request.version.minor}"
    print(
        f'{request.remote} - - [{now():%d/%b/%Y %H:%M:%S}] "{request.method} {request.raw_path} {protocol}" {status} -',
        file=sys.stderr,
        flush=True,
    )
    return web.Response(text=body, status=status, content_type="text/html")
