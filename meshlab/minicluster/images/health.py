"""``istio/health``: two ports, 8001 for traffic and 8002 for probes, each with ``/foo`` and ``/bar``."""

from __future__ import annotations

from aiohttp import web

from meshlab.minicluster.images.http_server import BindError, HttpServer, catch_all, serve
from meshlab.minicluster.images.output import print_line
from meshlab.minicluster.pod import PodContext

PORTS = [8001, 8002]


def main(argv: list[str], pod: PodContext) -> int:
    """The image's only program; it takes no arguments and writes no log."""
    nominal = {pod.ports.real(port): port for port in PORTS}
    try:
        serve(HttpServer(catch_all(lambda request: _answer(request, nominal)), PORTS), pod)
    except BindError as error:
        print_line(f"listen tcp :{error.port}: bind: {error.reason.lower()}", error=True)
        return 1
    return 0


async def _answer(request: web.Request, nominal: dict[int, int]) -> web.Response:
    where = request.transport.get_extra_info("sockname") if request.transport else None
    port = nominal.get(where[1]) if where else None
    if request.path in {"/foo", "/bar"}:
        return web.Response(text=f"Listening on {port}: {request.path[1:]} ", content_type="text/plain")
    return web.Response(text="404 page not found\n", status=404, content_type="text/plain")
