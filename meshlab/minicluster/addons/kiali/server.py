"""``/opt/kiali/kiali``: the stand-in's HTTP API and page, at the paths of the real one."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import yaml
from aiohttp import web

from meshlab.minicluster.addons.kiali.cytoscape import to_json
from meshlab.minicluster.addons.kiali.options import Refused, parse_options
from meshlab.minicluster.addons.kiali.page import Page, load_page
from meshlab.minicluster.addons.kiali.scraping import Collector
from meshlab.minicluster.addons.kiali.traffic import build
from meshlab.minicluster.client import SERVICE_ACCOUNT_DIR, RemoteApi
from meshlab.minicluster.images.http_server import BindError, HttpServer, serve
from meshlab.minicluster.images.output import print_line
from meshlab.minicluster.kubeapi import Obj, StatusError
from meshlab.minicluster.mesh.istio.pilot.options import VERSION as ISTIO_VERSION
from meshlab.minicluster.mesh.telemetry import CLUSTER
from meshlab.minicluster.pod import PodContext

logger = logging.getLogger(__name__)

VERSION = "v2.27.0-meshlab"
"""The version whose API this is, and that it is not that program."""
PORT = 20001
METRICS_PORT = 9090
NOTICE = "This is meshlab's stand-in with Kiali's API. It reads the proxies, not Prometheus."
USAGE = "usage: kiali -config FILE"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Settings:
    """What is read of Kiali's ``config.yaml``."""

    web_root: str = ""
    """Without a slash at its end: ``/kiali``."""
    port: int = PORT
    metrics_port: int = METRICS_PORT
    istio_namespace: str = "istio-system"

    @classmethod
    def of(cls, config: Any) -> Settings:
        """Read a parsed configuration.

        Raises:
            ValueError: it is not one.
        """
        if not isinstance(config, dict):
            raise ValueError("not a mapping")
        try:
            server = config.get("server") or {}
            metrics = (server.get("observability") or {}).get("metrics") or {}
            return cls(
                web_root=str(server.get("web_root") or "/").rstrip("/"),
                port=int(server.get("port") or PORT),
                metrics_port=int(metrics.get("port") or METRICS_PORT),
                istio_namespace=str(config.get("istio_namespace") or "istio-system"),
            )
        except (AttributeError, TypeError) as error:
            raise ValueError(str(error)) from error


def main(argv: list[str], pod: PodContext) -> int:
    """Serve until SIGTERM; 1 if the configuration cannot be used."""
    if len(argv) != 3 or argv[1].lstrip("-") != "config":
        print_line(USAGE, error=True)
        return 2
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    try:
        settings = Settings.of(yaml.safe_load(Path(pod.host_path(argv[2])).read_text()))
    except (OSError, ValueError, yaml.YAMLError) as error:
        print_line(f"FTL Failed to load config file [{argv[2]}]: {error}", error=True)
        return 1
    server = HttpServer(
        application(settings, pod),
        [settings.port, settings.metrics_port],
        grace_s=1.0,
        headers={"Server": ""},
        on_listening=lambda: logger.info(
            "Kiali stand-in %s: Server endpoint will start at [:%d%s]", VERSION, settings.port, settings.web_root
        ),
    )
    try:
        serve(server, pod)
    except BindError as error:
        print_line(f"listen tcp :{error.port}: bind: {error.reason}", error=True)
        return 1
    return 0


def application(settings: Settings, pod: PodContext) -> web.Application:
    """The application; its collector lives as long as it does."""
    account = Path(pod.host_path(str(SERVICE_ACCOUNT_DIR)))

    async def collecting(_: web.Application) -> AsyncIterator[None]:
        async with RemoteApi.in_cluster(pod, account) as api:
            kiali.collector = Collector(api, pod)
            kiali.kubernetes = await _kubernetes_version(api)
            running = asyncio.create_task(kiali.collector.run())
            yield
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    kiali = Kiali(settings)
    app = kiali.application()
    app.cleanup_ctx.append(collecting)
    return app


async def _kubernetes_version(api: RemoteApi) -> str:
    try:
        version = await api.raw("GET", "/version")
    except (OSError, StatusError):
        return ""
    return str(version.get("gitVersion", ""))


class Kiali:
    """The API.

    Args:
        settings: how it is configured.
    """

    collector: Collector

    def __init__(self, settings: Settings) -> None:
        self.kubernetes = ""
        self._settings = settings
        self._page: Page = load_page(settings.web_root)

    def application(self) -> web.Application:
        """Its routes."""
        app = web.Application(middlewares=[_guarded])
        root = self._settings.web_root
        routes: dict[str, Handler] = {
            "/healthz": self._healthy,
            "/api": self._status,
            "/api/": self._status,
            "/api/healthz": self._healthy,
            "/api/status": self._status,
            "/api/auth/info": self._authentication,
            "/api/config": self._config,
            "/api/namespaces": self._namespaces,
            "/api/namespaces/graph": self._graph,
        }
        for path, handler in routes.items():
            app.router.add_get(root + path, handler)
        app.router.add_get(root + "/api/{rest:.*}", _unserved)
        # The page serves every path below, as the real one's does: it is one page with many addresses.
        app.router.add_get(root + "/{rest:.*}", self._html)
        app.router.add_get("/metrics", self._metrics)
        if root:
            app.router.add_get(root, self._to_page)
            app.router.add_get("/", self._to_page)
        return app

    async def _healthy(self, request: web.Request) -> web.Response:
        return web.Response()

    async def _to_page(self, request: web.Request) -> web.Response:
        raise web.HTTPFound(self._settings.web_root + "/")

    async def _html(self, request: web.Request) -> web.Response:
        headers = {"Content-Security-Policy": self._page.policy, "Cache-Control": "no-store"}
        return web.Response(text=self._page.html, content_type="text/html", headers=headers)

    async def _status(self, request: web.Request) -> web.Response:
        return _json(
            {
                "status": {
                    "Kiali commit hash": "unknown",
                    "Kiali container version": VERSION,
                    "Kiali state": "running",
                    "Kiali version": VERSION,
                    "Mesh name": "Istio",
                    "Mesh version": ISTIO_VERSION,
                },
                "externalServices": [
                    {"name": "Istio", "version": ISTIO_VERSION},
                    {"name": f"Kubernetes-{CLUSTER}", "version": self.kubernetes},
                ],
                "warningMessages": [NOTICE],
                "istioEnvironment": {"istioAPIEnabled": True},
            }
        )

    async def _authentication(self, request: web.Request) -> web.Response:
        return _json({"strategy": "anonymous", "sessionInfo": {"expiresOn": "0001-01-01T00:00:00Z"}})

    async def _config(self, request: web.Request) -> web.Response:
        return _json(
            {
                "clusters": {CLUSTER: {"name": CLUSTER, "isKialiHome": True, "accessible": True}},
                "controlPlanes": {CLUSTER: self._settings.istio_namespace},
                "istioLabels": {"appLabelName": "app", "versionLabelName": "version"},
                "prometheus": {"globalScrapeInterval": 2, "storageTsdbRetention": 600},
            }
        )

    async def _namespaces(self, request: web.Request) -> web.Response:
        found = [
            {
                "name": namespace["metadata"]["name"],
                "cluster": CLUSTER,
                "isAmbient": False,
                "isControlPlane": namespace["metadata"]["name"] == self._settings.istio_namespace,
                "labels": namespace["metadata"].get("labels") or {},
                "annotations": namespace["metadata"].get("annotations"),
            }
            for namespace in self.collector.namespaces.objects.values()
        ]
        return _json(sorted(found, key=lambda namespace: namespace["name"]))

    async def _graph(self, request: web.Request) -> web.Response:
        accessible = {str(obj["metadata"]["name"]): _created(obj) for obj in self.collector.namespaces.objects.values()}
        options = parse_options(request.query, accessible, time.time())
        rates = self.collector.rates(options.duration_s, options.end)
        traffic = build(rates, options, accessible)
        return _json(to_json(traffic, options, self.collector.surroundings()))

    async def _metrics(self, request: web.Request) -> web.Response:
        proxies = len(self.collector.proxies)
        name = "kiali_meshlab_proxies"
        return web.Response(
            text=f"# HELP {name} Proxies whose metrics are read.\n# TYPE {name} gauge\n{name} {proxies}\n"
        )


def _created(obj: Obj) -> float:
    text = obj["metadata"].get("creationTimestamp")
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC).timestamp() if text else 0.0


def _json(value: object, status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(value), status=status, content_type="application/json")


async def _unserved(request: web.Request) -> web.Response:
    raise Refused(404, f"meshlab's stand-in for Kiali does not serve {request.path}")


@web.middleware
async def _guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Errors as Kiali writes them, and headers that keep the page to itself."""
    response: web.StreamResponse
    try:
        response = await handler(request)
    except Refused as refused:
        response = _json({"error": refused.message}, refused.status)
    except web.HTTPException as error:
        response = error if error.status < 400 else _json({"error": error.reason}, error.status)
    if isinstance(response, web.HTTPException):
        response = web.Response(status=response.status, headers={"Location": response.headers["Location"]})
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    response.headers.setdefault("X-Frame-Options", "DENY")
    response.headers.setdefault("Referrer-Policy", "no-referrer")
    return response
