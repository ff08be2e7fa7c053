"""Where the figures come from: every proxy's own metrics, read every few seconds.

The pods are known by a watch. A proxy serves its metrics on port 15090 for whoever asks, as upstream.
"""

from __future__ import annotations

import asyncio
import logging
import time

import aiohttp

from meshlab.minicluster.addons.kiali.cytoscape import Surroundings
from meshlab.minicluster.addons.kiali.traffic import METRICS, Rates
from meshlab.minicluster.addons.kiali.window import Window, parse_page
from meshlab.minicluster.informer import Informer
from meshlab.minicluster.kubeapi import KubeApi, Obj
from meshlab.minicluster.mesh.istio.workloads import SIDECAR_CONTAINER, owner_name
from meshlab.minicluster.pod import PodContext

logger = logging.getLogger(__name__)

TELEMETRY_PORT = 15090
STATISTICS = "/stats/prometheus?usedonly&filter=^istio"
PERIOD_S = 2.0
KEEP_S = 600.0
TIMEOUT_S = 2.0
AT_ONCE = 8
GATEWAYS = {"ingressgateway": "ingress", "egressgateway": "egress"}
"""Kinds of gateway by the label ``istio``."""


class Collector:
    """Reads the proxies of a cluster into a window.

    Args:
        api: the cluster.
        pod: the pod in which this runs.
        period_s: how long to rest between two looks.
    """

    def __init__(self, api: KubeApi, pod: PodContext, period_s: float = PERIOD_S) -> None:
        self.pods = Informer(api, "pods")
        self.namespaces = Informer(api, "namespaces")
        self._pod = pod
        self._period_s = period_s
        self._window = Window(KEEP_S)
        self._seen: dict[str, bytes] = {}
        """The last page of each proxy: at rest nothing needs to be read again."""
        self._turn = asyncio.Semaphore(AT_ONCE)
        self._first_round = True

    @property
    def proxies(self) -> list[Obj]:
        """The running pods with a sidecar, and the gateways."""
        return [
            pod
            for pod in self.pods.objects.values()
            if has_proxy(pod) and pod["status"].get("podIP") and pod["status"].get("phase") == "Running"
        ]

    async def run(self) -> None:
        """Watch and read until cancelled."""
        self.pods.start()
        self.namespaces.start()
        connector = aiohttp.TCPConnector(local_addr=(self._pod.pod_ip, 0), limit=0)
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
        try:
            await asyncio.gather(self.pods.synced.wait(), self.namespaces.synced.wait())
            async with aiohttp.ClientSession(connector=connector, timeout=timeout, trust_env=False) as session:
                while True:
                    await self._round(session)
                    await asyncio.sleep(self._period_s)
        finally:
            await asyncio.gather(self.pods.stop(), self.namespaces.stop())

    def rates(self, duration_s: float, end: float) -> Rates:
        """How much the counters grew per second in a time that ends then."""
        start, length = end - duration_s, max(duration_s, 1.0)
        return {
            name: [(labels, grown / length) for labels, grown in self._window.increases(name, start, end)]
            for name in METRICS
        }

    def surroundings(self) -> Surroundings:
        """What the pods themselves tell of their workloads."""
        meshed: set[tuple[str, str]] = set()
        known: set[tuple[str, str]] = set()
        gateways: dict[tuple[str, str], str] = {}
        for pod in self.pods.objects.values():
            labels = pod["metadata"].get("labels") or {}
            place = (pod["metadata"]["namespace"], owner_name(pod["metadata"], labels))
            known.add(place)
            if has_proxy(pod):
                meshed.add(place)
            if labels.get("istio") in GATEWAYS:
                gateways[place] = GATEWAYS[labels["istio"]]
        return Surroundings(frozenset(known - meshed), gateways)

    async def _round(self, session: aiohttp.ClientSession) -> None:
        proxies = {str(pod["metadata"]["uid"]): str(pod["status"]["podIP"]) for pod in self.proxies}
        await asyncio.gather(*(self._read(session, uid, address) for uid, address in proxies.items()))
        self._window.retain(proxies, time.time())
        self._seen = {uid: page for uid, page in self._seen.items() if uid in proxies}
        self._first_round = False

    async def _read(self, session: aiohttp.ClientSession, uid: str, address: str) -> None:
        url = f"http://{address}:{self._pod.ports.real(TELEMETRY_PORT)}{STATISTICS}"
        try:
            async with self._turn, session.get(url) as response:
                page = await response.read() if response.status == 200 else None
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            logger.debug("%s does not answer: %r", url, error)
            return
        if page is not None and self._seen.get(uid) != page:
            self._seen[uid] = page
            values = parse_page(page.decode(errors="replace"), METRICS)
            self._window.record(uid, values, time.time(), from_zero=not self._first_round)


def has_proxy(pod: Obj) -> bool:
    """Whether a container of the pod is the mesh's proxy."""
    spec = pod.get("spec") or {}
    containers = [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]
    return any(container.get("name") == SIDECAR_CONTAINER for container in containers)
