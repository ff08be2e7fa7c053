"""The collector on real sockets: which proxies it reads, and what it makes of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from meshlab.minicluster.addons.kiali.scraping import TELEMETRY_PORT, Collector
from meshlab.minicluster.pod import PodContext
from tests.fakes.kube_api import FakeKubeApi
from tests.support.addresses import random_prefix

SERIES = 'istio_requests_total{reporter="source"}'


class Proxies:
    """Some pods with metrics on port 15090."""

    def __init__(self, directory: Path) -> None:
        self.prefix = random_prefix()
        self.api = FakeKubeApi()
        self.counts: dict[str, int] = {}
        self.asked: list[str] = []
        self._runners: list[web.AppRunner] = []
        own = f"{self.prefix}.1.1"
        self.context = PodContext(
            namespace="istio-system",
            name="kiali",
            container="kiali",
            uid="kiali",
            service_account="kiali",
            node_name="meshlab",
            pod_ip=own,
            bind_ip=own,
            app_ip=own,
            proxy_url="",
            api_server="",
            names_file=str(directory / "names.json"),
            ports_file=str(directory / "ports.json"),
            runtime_dir=str(directory),
            container_dir=str(directory),
        )

    async def pod(self, name: str, *, proxy: bool = True, phase: str = "Running", labels: Any = None) -> None:
        address = f"{self.prefix}.1.{len(self._runners) + 2}"
        container = {"name": "istio-proxy" if proxy else "app"}
        pod = {"metadata": {"name": name, "labels": labels or {}}, "spec": {"containers": [container]}}
        created = await self.api.create("pods", pod, "default")
        await self.api.update("pods", {**created, "status": {"phase": phase, "podIP": address}}, subresource="status")

        async def answer(request: web.Request) -> web.Response:
            self.asked.append(name)
            return web.Response(text=f"{SERIES} {self.counts.get(name, 0)}\n")

        app = web.Application()
        app.router.add_get("/stats/prometheus", answer)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, address, TELEMETRY_PORT).start()
        self._runners.append(runner)

    async def close(self) -> None:
        for runner in self._runners:
            await runner.cleanup()


@pytest.fixture
async def proxies(tmp_path: Path) -> AsyncIterator[Proxies]:
    found = Proxies(tmp_path)
    yield found
    await found.close()


def grown(collector: Collector) -> float:
    """Requests in the last minute."""
    return sum(60 * rate for _, rate in collector.rates(60, time.time())["istio_requests_total"])


async def until(collector: Collector, value: float) -> None:
    async with asyncio.timeout(10):
        while round(grown(collector)) != value:
            await asyncio.sleep(0.01)


async def test_what_running_proxies_count_from_the_first_look_on(proxies: Proxies) -> None:
    proxies.counts = {"old": 100, "new": 7}
    await proxies.pod("old")
    await proxies.pod("plain", proxy=False)
    await proxies.pod("pending", phase="Pending")
    collector = Collector(proxies.api, proxies.context, period_s=0.02)
    running = asyncio.create_task(collector.run())
    try:
        async with asyncio.timeout(10):
            while "old" not in proxies.asked:
                await asyncio.sleep(0.01)
        proxies.counts["old"] = 103
        await until(collector, 3)
        await proxies.pod("new")  # began under our eyes: what it has counted is new
        await until(collector, 10)
        assert set(proxies.asked) == {"old", "new"}
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_what_pods_tell_of_workloads(proxies: Proxies) -> None:
    await proxies.pod("web")
    await proxies.pod("plain", proxy=False)
    await proxies.pod("gateway", labels={"istio": "ingressgateway"})
    collector = Collector(proxies.api, proxies.context, period_s=0.02)
    running = asyncio.create_task(collector.run())
    try:
        await asyncio.wait_for(collector.pods.synced.wait(), 10)
        around = collector.surroundings()
        assert around.out_of_mesh == {("default", "plain")}
        assert around.gateways == {("default", "gateway"): "ingress"}
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
