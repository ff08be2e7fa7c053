"""``pilot-agent proxy``: the life of one proxy, from its pod's volumes to Envoy's exit code."""

from __future__ import annotations

import asyncio
import json
import logging
import signal
from collections.abc import Mapping
from pathlib import Path

from meshlab.minicluster.mesh.envoy.bootstrap import Bootstrap
from meshlab.minicluster.mesh.istio.agent_admin import envoy_socket
from meshlab.minicluster.mesh.istio.agent_bootstrap import proxy_bootstrap, write_private, write_token
from meshlab.minicluster.mesh.istio.agent_envoy import EnvoyProcess, envoy_arguments
from meshlab.minicluster.mesh.istio.agent_options import (
    ProxyOptions,
    annotated_stats,
    parse_downward_labels,
    workload_cluster,
)
from meshlab.minicluster.mesh.istio.agent_probes import ApplicationProbes
from meshlab.minicluster.mesh.istio.agent_status import Readiness, StatusServer
from meshlab.minicluster.mesh.istio.inject_volumes import BOOTSTRAP_VARIABLE
from meshlab.minicluster.mesh.istio.pilot.options import VERSION
from meshlab.minicluster.mesh.telemetry import PEER_VARIABLE, Peer
from meshlab.minicluster.network.names import NameTable
from meshlab.minicluster.pod import PodContext

logger = logging.getLogger(__name__)

TOKEN = "/var/run/secrets/tokens/istio-token"
ROOT_CERTIFICATE = "/var/run/secrets/istio/root-cert.pem"
PROXY_DIR = "/etc/istio/proxy"
POD_INFO = "/etc/istio/pod"
BOOTSTRAP = "envoy-rev.json"
TOKEN_SECRET = "istio-token.json"
WAIT_POLL_S = 0.05
TOKEN_POLL_S = 30.0


class ProxyAgent:
    """Runs one Envoy for its pod.

    Args:
        options: the agent's command line.
        pod: its pod.
        environment: the container's environment.
    """

    def __init__(self, options: ProxyOptions, pod: PodContext, environment: Mapping[str, str]) -> None:
        self._options = options
        self._pod = pod
        self._environment = environment
        self._ports = pod.ports
        self._socket = envoy_socket(pod)
        self._envoy = EnvoyProcess(self._socket)
        self._readiness = Readiness(self._socket)
        self._stop = asyncio.Event()
        directory = Path(pod.host_path(PROXY_DIR))
        self._directory = directory if directory.is_dir() else Path(pod.container_dir)
        self._token = ""
        self._peer = Peer()

    @property
    def node_id(self) -> str:
        """Envoy's ``node.id``."""
        pod, options = self._pod, self._options
        return f"{options.role}~{pod.pod_ip}~{pod.name}.{pod.namespace}~{options.domain}"

    async def run(self) -> int:
        """Until Envoy ends or the pod is told to stop; the exit code."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        probes = ApplicationProbes(self._environment, self._pod.app_ip, self._ports.real)
        server = StatusServer(
            self._socket, self._readiness, self._stop.set, lambda: self._peer, probes, self._application_metrics()
        )
        await server.start(self._pod.bind_ip, self._ports.real, self._pod.local_socket)
        stopping = asyncio.create_task(self._stop.wait())
        living = asyncio.create_task(self._live())
        try:
            await asyncio.wait({stopping, living}, return_when=asyncio.FIRST_COMPLETED)
            if living.done():
                code = living.result()
                logger.error("Envoy exited with code %d", code)
                return code
            await self._leave()
            return 0
        finally:
            living.cancel()
            stopping.cancel()
            await asyncio.gather(living, stopping, return_exceptions=True)
            await self._envoy.stop()
            await server.stop()

    async def _leave(self) -> None:
        logger.info("Graceful termination period is %ss, starting...", self._options.drain_s)
        self._readiness.draining = True
        if self._socket.exists():
            await self._envoy.drain(self._options.drain_s)
        await self._envoy.stop()
        logger.info("Graceful termination logic ended prematurely or in time, Envoy exited")

    async def _live(self) -> int:
        """Start Envoy as soon as there is what it needs; its exit code."""
        address, port = await self._discovery()
        root = Path(self._pod.host_path(ROOT_CERTIFICATE))
        await self._present(root, "the mesh's root certificate")
        await self._present(Path(self._pod.host_path(TOKEN)), "the pod's token")
        self._refresh_token()
        labels, annotations = self._downward("labels"), self._downward("annotations")
        workload = str(self._options.metadata.get("WORKLOAD_NAME") or self._pod.name)
        cluster = workload_cluster(labels, workload, self._pod.namespace)
        self._peer = Peer.of(workload, self._pod.namespace, labels)
        wanted = Bootstrap(
            node_id=self.node_id,
            cluster=cluster,
            pod_ip=self._pod.pod_ip,
            admin_socket=str(self._socket),
            discovery_address=address,
            discovery_port=port,
            discovery_san=self._options.discovery_host,
            root_certificate=str(root),
            token="",
            metadata=self._metadata(labels, annotations),
            locality={"zone": self._pod.zone} if self._pod.zone else {},
            more_stats=annotated_stats(self._options.more_stats, annotations, self._pod.pod_ip),
        )
        path = self._directory / BOOTSTRAP
        write_private(path, json.dumps(proxy_bootstrap(wanted, self._directory / TOKEN_SECRET), indent=2))
        arguments = envoy_arguments(path, self._options, self.node_id, cluster, self._bootstrap_override())
        logger.info("Envoy command: %s", arguments)
        await self._envoy.start(arguments, {**self._environment, PEER_VARIABLE: self._peer.encode()})
        refreshing = asyncio.create_task(self._keep_token_fresh())
        try:
            return await self._envoy.wait()
        finally:
            refreshing.cancel()

    async def _discovery(self) -> tuple[str, int]:
        """The address of istiod's Service, once there is one."""
        names = NameTable(Path(self._pod.names_file))
        host, port = self._options.discovery_host, self._options.discovery_port
        waiting = False
        while not (found := names.resolve(host, self._pod.namespace)):
            if not waiting:
                logger.warning("waiting for the name %s", host)
                waiting = True
            await asyncio.sleep(WAIT_POLL_S)
        return found[0], self._ports.real(port)

    async def _present(self, path: Path, what: str) -> None:
        waiting = False
        while not _has_content(path):
            if not waiting:
                logger.warning("waiting for %s (%s)", what, path)
                waiting = True
            await asyncio.sleep(WAIT_POLL_S)

    async def _keep_token_fresh(self) -> None:
        while True:
            await asyncio.sleep(TOKEN_POLL_S)
            self._refresh_token()

    def _refresh_token(self) -> None:
        try:
            token = Path(self._pod.host_path(TOKEN)).read_text().strip()
        except OSError as error:
            logger.warning("the pod's token cannot be read: %s", error)
            return
        if token and token != self._token:
            self._token = token
            write_token(self._directory / TOKEN_SECRET, token)

    def _downward(self, name: str) -> dict[str, str]:
        try:
            return parse_downward_labels(Path(self._pod.host_path(f"{POD_INFO}/{name}")).read_text())
        except OSError:
            return {}

    def _metadata(self, labels: Mapping[str, str], annotations: Mapping[str, str]) -> dict[str, object]:
        pod = self._pod
        metadata: dict[str, object] = {
            "NAME": pod.name,
            "NAMESPACE": pod.namespace,
            "SERVICE_ACCOUNT": pod.service_account,
            "NODE_NAME": pod.node_name,
            "INSTANCE_IPS": pod.pod_ip,
            "LABELS": dict(labels),
            "ANNOTATIONS": dict(annotations),
            "PILOT_SAN": [self._options.discovery_host],
            "ISTIO_VERSION": VERSION,
            "PROXY_CONFIG": dict(self._options.proxy_config),
        }
        given = {key: value for key, value in self._options.metadata.items() if key != "ISTIO_VERSION"}
        return {**metadata, **given}

    def _bootstrap_override(self) -> str:
        """What a user lays over the bootstrap; Envoy merges it: single values replace, lists are added to."""
        file = self._environment.get(BOOTSTRAP_VARIABLE)
        if not file:
            return ""
        try:
            return Path(self._pod.host_path(file)).read_text()
        except OSError as error:
            logger.warning("failed to read bootstrap override %s: %s", file, error)
            return ""

    def _application_metrics(self) -> str:
        metrics = self._options.application_metrics
        if not metrics or metrics.get("scrape") == "false":
            return ""
        port, path = metrics.get("port") or "80", metrics.get("path") or "/metrics"
        return f"http://{self._pod.app_ip}:{self._ports.real(int(port))}/{path.removeprefix('/')}"


def _has_content(path: Path) -> bool:
    try:
        return path.stat().st_size > 0
    except OSError:
        return False
