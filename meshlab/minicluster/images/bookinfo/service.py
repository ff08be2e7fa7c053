"""What Bookinfo's services have in common: where they listen, whom they call, and which headers they pass on."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from aiohttp import web

from meshlab.minicluster.images.http_server import BindError, Handler, HttpServer, catch_all, serve
from meshlab.minicluster.images.output import print_line
from meshlab.minicluster.pod import PodContext

PORT = 9080

TRACE_HEADERS = (
    "x-request-id",
    "x-ot-span-context",
    "x-datadog-trace-id",
    "x-datadog-parent-id",
    "x-datadog-sampling-priority",
    "traceparent",
    "tracestate",
    "x-cloud-trace-context",
    "grpc-trace-bin",
    "x-b3-traceid",
    "x-b3-spanid",
    "x-b3-parentspanid",
    "x-b3-sampled",
    "x-b3-flags",
    "sw8",
)
"""What ties a trace together; every service passes these on."""


def port_argument(argv: list[str], position: int) -> int:
    """The port that a command line gives at a position, else Bookinfo's own."""
    value = argv[position] if len(argv) > position else ""
    return int(value) if value.isdecimal() else PORT


def service_url(name: str) -> str:
    """Where another of Bookinfo's services is: ``RATINGS_HOSTNAME`` and the like may move it."""
    domain = os.environ.get("SERVICES_DOMAIN")
    host = os.environ.get(f"{name.upper()}_HOSTNAME", name)
    port = os.environ.get(f"{name.upper()}_SERVICE_PORT", str(PORT))
    return f"http://{host}{f'.{domain}' if domain else ''}:{port}"


def passed_on(headers: Mapping[str, str], names: Iterable[str]) -> dict[str, str]:
    """The headers of those names that a request has."""
    return {name: headers[name] for name in names if name in headers}


def json_response(value: Any, status: int = 200) -> web.Response:
    """A JSON body as compact as the images write it."""
    body = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    return web.Response(text=body, status=status, content_type="application/json")


def run(handler: Handler, port: int, pod: PodContext, *, server: str, started: Callable[[], None]) -> int:
    """Serve until the container is stopped; the exit code."""
    web_server = HttpServer(
        catch_all(handler), [port], headers={"Server": server} if server else {}, on_listening=started
    )
    try:
        serve(web_server, pod)
    except BindError as error:
        print_line(f"cannot listen on port {port}: {error.reason}", error=True)
        return 1
    return 0
