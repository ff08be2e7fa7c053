"""A real Envoy behind an `XdsServer` in a loop of its own, for tests that push one configuration after another."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
from pathlib import Path
from typing import Any

from aiohttp import ClientSession, ClientTimeout, web

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.ca import CertificateAuthority
from meshlab.minicluster.mesh.envoy.bootstrap import Bootstrap, bootstrap
from meshlab.minicluster.mesh.envoy.vocabulary import SECRET
from meshlab.minicluster.mesh.istio.pilot.secrets import workload_secrets
from meshlab.minicluster.mesh.model import ProxyNode
from meshlab.minicluster.mesh.xds import Identity, ProxyConnection, ResourceCache, XdsServer
from tests.fakes.static_envoy import ENVOY, FLAGS

TOKEN = "the-pods-token"
SAN = "istiod.istio-system.svc"
WITHIN_S = 15.0


class LiveProxy:
    """One proxy's Envoy.

    Args:
        proxy: who it is.
        directory: short enough for a socket.
    """

    def __init__(self, proxy: ProxyNode, directory: Path) -> None:
        self.proxy = proxy
        self._directory = directory
        self._loop = asyncio.new_event_loop()
        self._authority = CertificateAuthority.generate()
        self._cache = ResourceCache()
        self._connected = asyncio.Event()
        self._connection: ProxyConnection | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._runners: list[web.AppRunner] = []
        self._xds = XdsServer(self._authenticate, self._arrived)

    async def _authenticate(self, token: str) -> Identity | None:
        proxy = self.proxy
        return Identity(proxy.namespace, proxy.service_account, proxy.pod) if token == TOKEN else None

    def _arrived(self, connection: ProxyConnection) -> None:
        self._connection = connection
        self._connected.set()

    def start(self) -> None:
        """Start the control plane and the Envoy, and wait until they have met."""
        self._loop.run_until_complete(self._start())

    async def _start(self) -> None:
        port = _free_port()
        root = self._directory / "root.pem"
        root.write_text(self._authority.root_pem)
        await self._xds.start(f"127.0.0.1:{port}", self._authority.issue_serving([SAN]))
        wanted = Bootstrap(
            node_id=self.proxy.id,
            cluster="test",
            pod_ip=self.proxy.ip,
            admin_socket=str(self._directory / "admin.sock"),
            discovery_address="127.0.0.1",
            discovery_port=port,
            discovery_san=SAN,
            root_certificate=str(root),
            token=TOKEN,
        )
        config = bootstrap(wanted)
        # Names are refused at once and not after a timeout: nobody listens there.
        config["typed_dns_resolver_config"] = {
            "name": "envoy.network.dns_resolver.cares",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig",
                "resolvers": [{"socket_address": {"address": "127.0.0.1", "port_value": 1}}],
            },
        }
        path = self._directory / "envoy.json"
        path.write_text(json.dumps(config))
        with (self._directory / "envoy.log").open("wb") as log:
            self._process = subprocess.Popen(  # noqa: ASYNC220
                [ENVOY, "-c", path, "-l", "warning", *FLAGS], stdout=log, stderr=log
            )
        async with asyncio.timeout(WITHIN_S):
            await self._connected.wait()

    def serve(self, name: str, address: str, port: int) -> None:
        """Start a server that answers with its name and the path it saw."""

        async def answer(request: web.Request) -> web.Response:
            return web.Response(text=f"{name} {request.path}")

        async def start() -> None:
            app = web.Application()
            app.router.add_route("*", "/{path:.*}", answer)
            runner = web.AppRunner(app, access_log=None)
            await runner.setup()
            await web.TCPSite(runner, address, port).start()
            self._runners.append(runner)

        self._loop.run_until_complete(start())

    def push(self, resources: dict[str, dict[str, Obj]]) -> dict[str, str]:
        """Send a configuration and wait for the answers; what was refused, with Envoy's reason."""
        return self._loop.run_until_complete(self._push(resources))

    async def _push(self, resources: dict[str, dict[str, Obj]]) -> dict[str, str]:
        connection = self._connection
        assert connection is not None
        proxy = self.proxy
        pair = self._authority.issue_workload(proxy.namespace, proxy.service_account)
        everything = {**resources, SECRET: workload_secrets(pair, self._authority.root_pem)}
        connection.update(await self._cache.pack_all(everything))
        assert await self._xds.wait_idle(WITHIN_S), (self._directory / "envoy.log").read_text()
        refused = {f"{type_url} {name}": reason for (type_url, name), reason in connection.invalid.items()}
        for type_url, state in connection.stream.types.items():
            refused |= {f"{type_url} {name}": r.detail for name, r in state.rejected.items()}
        return refused

    def request(self, method: str, url: str, headers: dict[str, str]) -> tuple[int, str, Any]:
        """A request through the proxy's HTTP port: status, body, headers."""
        return self._loop.run_until_complete(self._request(method, url, headers))

    async def _request(self, method: str, url: str, headers: dict[str, str]) -> tuple[int, str, Any]:
        async with (
            ClientSession(timeout=ClientTimeout(10)) as session,
            session.request(
                method, url, headers=headers, proxy=f"http://{self.proxy.ip}:15001", allow_redirects=False
            ) as response,
        ):
            return response.status, await response.text(), response.headers

    def stop(self) -> None:
        """End everything."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(10)

        async def end() -> None:
            for runner in self._runners:
                await runner.cleanup()
            await self._xds.stop(0.1)

        self._loop.run_until_complete(end())
        self._loop.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
