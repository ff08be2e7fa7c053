"""Real Envoys with the configuration that `mesh.envoy.build` makes, and small servers behind them."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import socket
import subprocess
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, ClientTimeout, web

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.telemetry import PEER_VARIABLE, Peer
from tests.fakes.istio_world import World
from tests.fakes.static_envoy import ENVOY, FLAGS, Authority, secrets, static_bootstrap
from tests.support.addresses import random_prefix

READY_WITHIN_S = 15.0


@dataclass
class Reply:
    """What a client got."""

    status: int
    body: str
    headers: Mapping[str, str]


@dataclass
class StaticMesh:
    """A world whose proxies run; start servers and proxies, then `get` through a client's sidecar."""

    world: World
    directory: Path
    authority: Authority = field(default_factory=Authority)
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    runners: list[web.AppRunner] = field(default_factory=list)
    requests: list[tuple[str, Obj]] = field(default_factory=list)
    """(server, what it saw) of every request that reached a server."""
    statuses: dict[str, list[int]] = field(default_factory=dict)
    """Server -> statuses to answer with first; then 200."""
    delays_s: dict[str, float] = field(default_factory=dict)

    async def serve(self, pod: str, port: int, *, direct: bool = False) -> None:
        """Start a server: behind the pod's sidecar, or at the pod's own address."""

        async def answer(request: web.Request) -> web.Response:
            self.requests.append((pod, {"path": request.path_qs, **{k.lower(): v for k, v in request.headers.items()}}))
            if pod in self.delays_s:
                await asyncio.sleep(self.delays_s[pod])
            waiting = self.statuses.get(pod, [])
            return web.Response(text=pod, status=waiting.pop(0) if waiting else 200)

        app = web.Application()
        app.router.add_route("*", "/{path:.*}", answer)
        runner = web.AppRunner(app)
        await runner.setup()
        proxy = self.world.proxy(pod)
        await web.TCPSite(runner, proxy.ip if direct else proxy.hidden_ip, port).start()
        self.runners.append(runner)

    async def start(self, *pods: str, kind: str = "sidecar", servers: Mapping[str, str] | None = None) -> None:
        """Start (or restart, with the world as it is now) the proxies of some pods."""
        for pod in pods:
            self.stop(pod)
            proxy = self.world.proxy(pod, kind)
            given = secrets(self.authority, proxy, servers)
            configuration = static_bootstrap(self.world.build(pod, kind), proxy, self.directory, given)
            path = self.directory / f"{pod}.json"
            path.write_text(json.dumps(configuration))
            with (self.directory / f"{pod}.log").open("ab") as log:
                self.processes[pod] = subprocess.Popen(  # noqa: ASYNC220
                    [ENVOY, "-c", path, "-l", "warning", *FLAGS],
                    stdout=log,
                    stderr=log,
                    env={**os.environ, PEER_VARIABLE: self.peer(pod).encode()},
                )
        await asyncio.gather(*(self._ready(pod) for pod in pods))

    def peer(self, pod: str) -> Peer:
        """The workload that a pod is, as its agent would know it."""
        proxy = self.world.proxy(pod)
        return Peer.of(pod, proxy.namespace, proxy.labels)

    async def _ready(self, pod: str) -> None:
        deadline = asyncio.get_running_loop().time() + READY_WITHIN_S
        while True:
            try:
                if self.admin(pod, "/ready").startswith("LIVE"):
                    return
            except OSError:
                pass
            log = (self.directory / f"{pod}.log").read_text()
            assert self.processes[pod].poll() is None, log
            assert asyncio.get_running_loop().time() < deadline, log
            await asyncio.sleep(0.01)

    def admin(self, pod: str, path: str) -> str:
        """The answer of a proxy's admin interface."""
        connection = http.client.HTTPConnection("admin")
        connection.sock = socket.socket(socket.AF_UNIX)
        try:
            connection.sock.connect(str(self.directory / f"{pod}.sock"))
            connection.request("GET", path)
            return connection.getresponse().read().decode()
        finally:
            connection.close()

    async def get(self, client: str, url: str, **options: Any) -> Reply:
        """A request that a program of ``client`` sends through its sidecar."""
        proxy = f"http://{self.world.proxy(client).ip}:15001"
        return await fetch(url, proxy=proxy, **options)

    def stop(self, pod: str) -> None:
        """End one proxy."""
        process = self.processes.pop(pod, None)
        if process is not None:
            process.terminate()
            process.wait(10)
        (self.directory / f"{pod}.sock").unlink(missing_ok=True)

    async def close(self) -> None:
        """End everything."""
        for pod in list(self.processes):
            self.stop(pod)
        for runner in self.runners:
            await runner.cleanup()


async def fetch(url: str, *, method: str = "GET", **options: Any) -> Reply:
    """One request on a connection of its own."""
    async with (
        ClientSession(timeout=ClientTimeout(10), auto_decompress=False) as session,
        session.request(method, url, allow_redirects=False, **options) as response,
    ):
        return Reply(response.status, await response.text(), {k.lower(): v for k, v in response.headers.items()})


@pytest.fixture
async def static_mesh(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[StaticMesh]:
    """An empty mesh on addresses of its own."""
    prefix = random_prefix()
    found = StaticMesh(World(prefix), tmp_path_factory.mktemp("mesh"))
    try:
        yield found
    finally:
        await found.close()


@pytest.fixture
def validate(tmp_path: Path) -> Callable[[World, str, str], None]:
    """Checks a proxy's configuration with ``envoy --mode validate``."""
    authority = Authority()

    def check(world: World, pod: str, kind: str = "sidecar") -> None:
        proxy = world.proxy(pod, kind)
        names = {"kubernetes://shop-cert": "shop.example.com", "file-cert:/c.pem~/k.pem": "shop.example.com"}
        given = secrets(authority, proxy, names)
        for name in ("kubernetes://shop-cert-cacert", "file-root:/ca.pem"):
            given.append({"name": name, "validation_context": {"trusted_ca": {"inline_string": authority.root}}})
        path = tmp_path / "envoy.json"
        path.write_text(json.dumps(static_bootstrap(world.build(pod, kind), proxy, tmp_path, given)))
        done = subprocess.run(
            [ENVOY, "--mode", "validate", "-c", path, "-l", "warning"], capture_output=True, check=False
        )
        assert done.returncode == 0, done.stderr.decode()
        assert b"eprecated" not in done.stderr, done.stderr.decode()

    return check
