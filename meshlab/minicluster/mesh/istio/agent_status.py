"""What the agent serves: readiness, the application's probes, statistics, and the order to quit.

Readiness is on 15021 and 15020, statistics are on 15020 and 15090. To the pod alone it serves Envoy's administration,
on 15000.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping
from pathlib import Path

import aiohttp
from aiohttp import web

from meshlab.minicluster.mesh.istio.agent_admin import ADMIN_PORT, admin_request
from meshlab.minicluster.mesh.istio.agent_metrics import standard_metrics
from meshlab.minicluster.mesh.istio.agent_probes import ApplicationProbes
from meshlab.minicluster.mesh.telemetry import Peer

STATUS_PORT = 15020
READINESS_PORT = 15021
TELEMETRY_PORT = 15090

READY_STATS = (
    "server.state|listener_manager.workers_started|listener_manager.lds.update_success|"
    "listener_manager.lds.update_rejected|cluster_manager.cds.update_success|cluster_manager.cds.update_rejected"
)
READY_WAIT_S = 0.8
"""How long a readiness request waits for a proxy that is about to be ready; a probe's timeout is longer."""
READY_POLL_S = 0.02


class Readiness:
    """Whether Envoy is live and has taken listeners and clusters from istiod, by its own statistics, as upstream tells.

    Args:
        socket: Envoy's admin socket.
    """

    def __init__(self, socket: Path) -> None:
        self.draining = False
        self._socket = socket
        self._configured = False

    async def check(self) -> str:
        """Why the proxy is not ready; empty if it is."""
        if self.draining:
            return "not ready: the proxy is draining"
        try:
            answer = await asyncio.to_thread(
                admin_request, self._socket, "GET", f"/stats?filter=^({READY_STATS})$", timeout_s=2
            )
        except OSError as error:
            return f"failed to get readiness stats: {error}"
        return self._judge(parse_stats(answer.body.decode(errors="replace")))

    async def wait(self, timeout_s: float) -> str:
        """`check`, again and again until the proxy is ready or the time is over."""
        reason = await self.check()
        try:
            async with asyncio.timeout(timeout_s):
                while reason and not self.draining:
                    await asyncio.sleep(READY_POLL_S)
                    reason = await self.check()
        except TimeoutError:
            pass
        return reason

    def _judge(self, stats: Mapping[str, int]) -> str:
        if not self._configured:
            cds = (
                stats.get("cluster_manager.cds.update_success", 0),
                stats.get("cluster_manager.cds.update_rejected", 0),
            )
            lds = (
                stats.get("listener_manager.lds.update_success", 0),
                stats.get("listener_manager.lds.update_rejected", 0),
            )
            if not any(cds) or not any(lds):
                return (
                    "config not fully received from XDS server: "
                    f"cds updates: {cds[0]} successful, {cds[1]} rejected; "
                    f"lds updates: {lds[0]} successful, {lds[1]} rejected"
                )
            if not stats.get("listener_manager.workers_started"):
                return "workers have not yet started"
            self._configured = True
        state = stats.get("server.state", -1)
        return "" if state == 0 else f"server is not live, current state is: {SERVER_STATES.get(state, state)}"


SERVER_STATES = {0: "LIVE", 1: "DRAINING", 2: "PRE_INITIALIZING", 3: "INITIALIZING"}


def parse_stats(text: str) -> dict[str, int]:
    """``name: value`` lines, as ``/stats`` writes them; histograms are left out."""
    return {match[1]: int(match[2]) for line in text.splitlines() if (match := re.fullmatch(r"(\S+): (\d+)", line))}


class StatusServer:
    """The agent's HTTP servers.

    Args:
        socket: Envoy's admin socket.
        readiness: what the health pages say.
        quit_: called for ``POST /quitquitquit``.
        own: the workload whose proxy it is, for its metrics.
        probes: who asks the application for the kubelet.
        application_metrics: URL of the application's own metrics; empty for none.
    """

    def __init__(
        self,
        socket: Path,
        readiness: Readiness,
        quit_: Callable[[], None],
        own: Callable[[], Peer],
        probes: ApplicationProbes,
        application_metrics: str = "",
    ) -> None:
        self._socket = socket
        self._readiness = readiness
        self._quit = quit_
        self._own = own
        self._probes = probes
        self._application_metrics = application_metrics
        self._runners: list[web.AppRunner] = []

    async def start(self, address: str, real: Callable[[int], int], local: Callable[[int], Path]) -> None:
        """Listen on the three ports, and on all four of the pod's loopback.

        Args:
            address: the pod's.
            real: the real port behind a nominal one.
            local: the socket that stands for a port of the pod's loopback.

        Raises:
            OSError: one cannot be bound.
        """
        status = web.Application()
        status.router.add_get("/healthz/ready", self._ready)
        status.router.add_get("/stats/prometheus", self._merged_statistics)
        status.router.add_get("/metrics", self._merged_statistics)
        status.router.add_post("/quitquitquit", self._quitquitquit)
        status.router.add_get("/app-health/{container}/{page}", self._probes.answer)
        health = web.Application()
        health.router.add_get("/healthz/ready", self._ready)
        telemetry = web.Application()
        telemetry.router.add_get("/stats/prometheus", self._statistics)
        administration = web.Application()
        administration.router.add_get("/stats/prometheus", self._statistics)
        administration.router.add_route("*", "/{path:.*}", self._administration)
        for application, port in (
            (health, READINESS_PORT),
            (status, STATUS_PORT),
            (telemetry, TELEMETRY_PORT),
            (administration, ADMIN_PORT),
        ):
            runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
            await runner.setup()
            self._runners.append(runner)
            await web.UnixSite(runner, str(local(port))).start()
            if port != ADMIN_PORT:
                await web.TCPSite(runner, address, real(port)).start()

    async def stop(self) -> None:
        """Close the ports."""
        for runner in self._runners:
            await runner.cleanup()

    async def _ready(self, request: web.Request) -> web.Response:
        reason = await self._readiness.wait(READY_WAIT_S)
        return web.Response(status=503 if reason else 200, text=reason)

    async def _administration(self, request: web.Request) -> web.Response:
        try:
            answer = await asyncio.to_thread(admin_request, self._socket, request.method, request.path_qs)
        except OSError as error:
            raise web.HTTPServiceUnavailable(text=f"Envoy does not answer: {error}\n") from error
        return web.Response(status=answer.status, body=answer.body, headers={"Content-Type": answer.content_type})

    async def _statistics(self, request: web.Request) -> web.Response:
        query = f"?{request.query_string}" if request.query_string else ""
        return web.Response(body=await self._envoy_statistics(query), headers=PROMETHEUS)

    async def _merged_statistics(self, request: web.Request) -> web.Response:
        own = await self._envoy_statistics()
        return web.Response(body=own + await self._application_statistics(), headers=PROMETHEUS)

    async def _envoy_statistics(self, query: str = "") -> bytes:
        """Envoy's page; a query (``?filter=...``) is Envoy's to understand, as behind upstream's port 15090."""
        try:
            answer = await asyncio.to_thread(admin_request, self._socket, "GET", f"/stats/prometheus{query}")
        except OSError as error:
            raise web.HTTPServiceUnavailable(text=f"Envoy does not answer: {error}\n") from error
        return standard_metrics(answer.body.decode(errors="replace"), self._own()).encode()

    async def _application_statistics(self) -> bytes:
        """The application's metrics; nothing while it does not answer, so that Envoy's are not lost with them."""
        if not self._application_metrics:
            return b""
        timeout = aiohttp.ClientTimeout(total=2)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.get(self._application_metrics) as response,
            ):
                return await response.read() if response.status == 200 else b""
        except (aiohttp.ClientError, TimeoutError):
            return b""

    async def _quitquitquit(self, request: web.Request) -> web.Response:
        self._quit()
        return web.Response(text="OK")


PROMETHEUS = {"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}
