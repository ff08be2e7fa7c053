"""istiod's plain HTTP: readiness, version, metrics, and what it knows of every proxy."""

from __future__ import annotations

import platform
from collections.abc import Awaitable, Callable

import orjson
from aiohttp import web

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.istio.pilot.distribution import Distributor
from meshlab.minicluster.mesh.istio.pilot.options import VERSION
from meshlab.minicluster.mesh.xds import ProxyConnection, XdsServer
from meshlab.minicluster.mesh.xds.status import FIELD_NAMES, sync_status


def version_info() -> Obj:
    """What ``pilot-discovery version -o json`` and ``/version`` say."""
    return {
        "version": VERSION,
        "revision": "meshlab",
        "golang_version": f"python{platform.python_version()}",
        "status": "Clean",
        "tag": VERSION,
    }


class Monitoring:
    """The pages of istiod's ports 8080 and 15014.

    Args:
        istiod: the pod's name.
        cluster_id: the cluster's name in status output.
        xds: the server with the connected proxies.
        distributor: what pushes to them.
        ready: whether istiod may be sent traffic.
    """

    def __init__(
        self, istiod: str, cluster_id: str, xds: XdsServer, distributor: Distributor, ready: Callable[[], bool]
    ) -> None:
        self._istiod = istiod
        self._cluster_id = cluster_id
        self._xds = xds
        self._distributor = distributor
        self._ready = ready

    def application(self) -> web.Application:
        """All pages."""
        application = web.Application()
        pages: dict[str, Callable[[web.Request], web.Response]] = {
            "/ready": self._readiness,
            "/version": lambda request: _json(version_info()),
            "/metrics": self._metrics,
            "/debug/syncz": self._syncz,
            "/debug/adsz": self._adsz,
            "/debug/config_problems": self._problems,
        }
        for path, page in pages.items():
            application.router.add_get(path, _handler(page))
        return application

    def _readiness(self, request: web.Request) -> web.Response:
        return web.Response(status=200 if self._ready() else 503)

    def _syncz(self, request: web.Request) -> web.Response:
        return _json(
            sync_status(self._xds.connections, istiod=self._istiod, version=VERSION, cluster_id=self._cluster_id)
        )

    def _adsz(self, request: web.Request) -> web.Response:
        clients = [_client(connection) for connection in self._xds.connections]
        return _json({"totalClients": len(clients), "clients": clients})

    def _problems(self, request: web.Request) -> web.Response:
        return _json([str(problem) for problem in self._distributor.problems])

    def _metrics(self, request: web.Request) -> web.Response:
        nacks = sum(connection.stream.nacks for connection in self._xds.connections)
        lines = [
            "# TYPE pilot_info gauge",
            f'pilot_info{{version="{VERSION}"}} 1',
            "# TYPE pilot_xds gauge",
            f'pilot_xds{{version="{VERSION}"}} {len(self._xds.connections)}',
            "# TYPE pilot_xds_pushes counter",
            f"pilot_xds_pushes {self._distributor.pushes}",
            "# TYPE pilot_total_xds_rejects counter",
            f"pilot_total_xds_rejects {nacks}",
        ]
        return web.Response(text="\n".join(lines) + "\n", headers={"Content-Type": "text/plain; version=0.0.4"})


def _client(connection: ProxyConnection) -> Obj:
    watches = {
        FIELD_NAMES[type_url]: sorted(state.names) if not state.wildcard else ["*"]
        for type_url, state in connection.stream.types.items()
        if type_url in FIELD_NAMES
    }
    return {
        "connectionId": connection.node_id,
        "connectedAt": connection.connected_at.isoformat(),
        "watches": watches,
    }


def _handler(page: Callable[[web.Request], web.Response]) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def handle(request: web.Request) -> web.StreamResponse:
        return page(request)

    return handle


def _json(value: object) -> web.Response:
    text = orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()
    return web.Response(text=text + "\n", content_type="application/json")
