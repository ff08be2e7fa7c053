"""From a change in the cluster to configuration in every proxy: translate once, build for each, push.

Changes are gathered for a few milliseconds first, so that a manifest with ten objects is one push. A proxy that
connects is served at once out of the model that is there.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.ca import CertificateAuthority
from meshlab.minicluster.mesh.envoy import build
from meshlab.minicluster.mesh.istio.pilot.keysets import KeySets
from meshlab.minicluster.mesh.istio.pilot.secrets import (
    CA_SUFFIX,
    GATEWAY_API,
    KUBERNETES,
    WorkloadCertificates,
    credential_secret,
    file_secret,
    requested_names,
    workload_secrets,
)
from meshlab.minicluster.mesh.istio.pilot.watching import ClusterWatch
from meshlab.minicluster.mesh.istio.proxyconfig import edge
from meshlab.minicluster.mesh.istio.reading import Problem, mapping
from meshlab.minicluster.mesh.istio.tracingproviders import DEFAULT_SAMPLING_PERCENT, proxy_tracing
from meshlab.minicluster.mesh.istio.translate import Translation, translate
from meshlab.minicluster.mesh.model import Mesh, ProxyNode
from meshlab.minicluster.mesh.xds import ProxyConnection, ResourceCache
from meshlab.minicluster.mesh.xds.identity import ByIdentity
from meshlab.minicluster.mesh.xds.resources import CLUSTER, LISTENER, SECRET, Known
from meshlab.minicluster.network.addresses import hidden_address

logger = logging.getLogger(__name__)

QUIET_S = 0.005
"""A push begins when nothing has changed for so long ..."""
LONGEST_WAIT_S = 0.05
"""... or at the latest so long after the first change (upstream: PILOT_DEBOUNCE_MAX)."""
MINIMUM_ROTATION_S = 1.0

LEVELS = {"error": logging.ERROR, "warning": logging.WARNING, "info": logging.INFO}


class Distributor:
    """Keeps every connected proxy up to date; run `run` in a task.

    Args:
        watch: the cluster as istiod sees it.
        authority: signs the proxies' certificates.
        ports: the real port behind a nominal one.
        key_sets: fetches the keys that tokens are checked with.
        may_list_secrets: whether a (namespace, ServiceAccount) may list the Secrets of its namespace.
        certificate_ttl: how long a workload certificate lives.
        sampling_percent: how many requests are traced where nothing else says.
    """

    def __init__(
        self,
        watch: ClusterWatch,
        authority: CertificateAuthority,
        ports: Callable[[int], int],
        key_sets: KeySets,
        may_list_secrets: Callable[[str, str], bool],
        certificate_ttl: dt.timedelta | None = None,
        sampling_percent: float = DEFAULT_SAMPLING_PERCENT,
    ) -> None:
        self._watch = watch
        self._authority = authority
        self._ports = ports
        self._key_sets = key_sets
        self._may_list_secrets = may_list_secrets
        self._certificates = WorkloadCertificates(authority, lambda: self._trust_domain, certificate_ttl)
        self._sampling_percent = sampling_percent
        self._cache = ResourceCache()
        self._packed = Known()
        self._requested: ByIdentity[frozenset[str]] = ByIdentity()
        self._translation: Translation | None = None
        self._connections: set[ProxyConnection] = set()
        self._newcomers: set[ProxyConnection] = set()
        self._wake = asyncio.Event()
        self._changed_at: float | None = None
        self._last_change = 0.0
        self._handlers: list[Callable[[Translation], None]] = []
        self.pushes = 0

    def subscribe(self, handler: Callable[[Translation], None]) -> None:
        """Call ``handler`` with every translation, before it is pushed; it must only take note."""
        self._handlers.append(handler)

    @property
    def problems(self) -> Sequence[Problem]:
        """What was wrong with the resources of the last push."""
        return self._translation.problems if self._translation else ()

    @property
    def _trust_domain(self) -> str:
        return self._translation.model.settings.trust_domain if self._translation else "cluster.local"

    def changed(self) -> None:
        """Something that proxies may need to know has changed."""
        if self._changed_at is None:
            self._changed_at = time.monotonic()
        self._last_change = time.monotonic()
        self._wake.set()

    def connected(self, connection: ProxyConnection) -> None:
        """A proxy opened a stream."""
        self._connections.add(connection)
        self._newcomers.add(connection)
        self._wake.set()

    def disconnected(self, connection: ProxyConnection) -> None:
        """A proxy's stream ended."""
        self._connections.discard(connection)
        self._newcomers.discard(connection)

    async def run(self) -> None:
        """Push until cancelled; begin only once the watch has seen everything."""
        self.changed()
        while True:
            await self._wait()
            self._wake.clear()
            try:
                if self._changed_at is not None:
                    await self._gather()
                    self._changed_at = None
                    await self._watch.load_secrets()
                    self._translate()
                    await self._push(set(self._connections))
                else:
                    await self._push(set(self._newcomers))
            except Exception:
                logger.exception("a push failed")

    def _translate(self) -> None:
        snapshot = self._watch.snapshot()
        snapshot.key_sets = self._key_sets.documents
        snapshot.sampling_percent = self._sampling_percent
        known = set(self.problems)
        earlier, self._translation = self._translation, translate(snapshot)
        if earlier is not None:
            model = self._translation.model.on_ground_of(earlier.model)
            self._translation = replace(self._translation, model=model)
        self._packed = Known(self._packed)
        self._requested = ByIdentity(self._requested)
        for problem in self._translation.problems:
            if problem not in known:
                logger.log(LEVELS[problem.severity], "%s", problem.message)
        policies = self._translation.model.jwt_policies
        self._key_sets.want(rule.key_source for policy in policies for rule in policy.rules if rule.key_source)
        for handler in self._handlers:
            handler(self._translation)

    async def _wait(self) -> None:
        """Until something happened, or a certificate has to be replaced."""
        due = self._certificates.next_rotation()
        timeout = None
        if due is not None:
            timeout = max((due - dt.datetime.now(dt.UTC)).total_seconds(), MINIMUM_ROTATION_S)
        try:
            # Not wait_for: Python 3.11's swallows a cancellation that comes together with what it waits for.
            async with asyncio.timeout(timeout):
                await self._wake.wait()
        except TimeoutError:
            logger.info("workload certificates are due, rotating")
            self.changed()

    async def _gather(self) -> None:
        first = self._changed_at or time.monotonic()
        remaining = QUIET_S
        while remaining > 0:
            await asyncio.sleep(remaining)
            now = time.monotonic()
            remaining = min(self._last_change + QUIET_S, first + LONGEST_WAIT_S) - now

    async def _push(self, connections: set[ProxyConnection]) -> None:
        if self._translation is None:
            return
        self.pushes += 1
        for connection in connections:
            if connection not in self._connections:
                continue
            node = self._proxy_node(connection)
            if node is None:
                # Its pod is not in the cache yet; the watch event that brings it pushes again.
                continue
            self._newcomers.discard(connection)
            try:
                resources = self._build(self._translation, node)
            except Exception:
                logger.exception("configuration for %s failed", connection.node_id)
                continue
            await asyncio.sleep(0)
            packed = await self._cache.pack_all(resources, self._packed)
            if packed.invalid != connection.invalid:
                for (type_url, name), reason in packed.invalid.items():
                    logger.error("%s: %s %s is invalid: %s", connection.node_id, type_url, name, reason)
            connection.update(packed)
        identities = {(c.identity.namespace, c.identity.service_account) for c in self._connections}
        self._certificates.retain(identities)

    def _proxy_node(self, connection: ProxyConnection) -> ProxyNode | None:
        identity = connection.identity
        kind, ip, qualified_name, _ = connection.node_id.split("~")
        pod_name = identity.pod or qualified_name.rpartition(".")[0]
        pod = self._watch.pods.get(pod_name, identity.namespace)
        pod_ip = ((pod or {}).get("status") or {}).get("podIP") or ""
        if pod is None or pod_ip != ip:
            return None
        proxy_config = connection.metadata.get("PROXY_CONFIG")
        return ProxyNode(
            id=connection.node_id,
            type="router" if kind == "router" else "sidecar",
            namespace=identity.namespace,
            pod=pod_name,
            ip=pod_ip,
            hidden_ip=hidden_address(pod_ip),
            service_account=identity.service_account,
            labels=pod["metadata"].get("labels") or {},
            trust_domain=self._trust_domain,
            version=str(connection.metadata.get("ISTIO_VERSION") or ""),
            metadata={key: value for key, value in connection.metadata.items() if isinstance(value, str)},
            cluster=connection.node_cluster,
            tracing=proxy_tracing(proxy_config, self._sampling_percent) if isinstance(proxy_config, dict) else None,
            edge=edge(mapping(proxy_config)),
        )

    def _build(self, translation: Translation, node: ProxyNode) -> Mapping[str, Mapping[str, Obj]]:
        built = build(translation.model, node, self._ports)
        pair = self._certificates.get(node.namespace, node.service_account)
        secrets = workload_secrets(pair, self._authority.root_pem)
        for name in requested_names(self._requested, built.get(LISTENER, {}), built.get(CLUSTER, {})):
            secret = self._secret(name, node, translation.model)
            if secret is not None:
                secrets[name] = secret
        return {**built, SECRET: {**built.get(SECRET, {}), **secrets}}

    def _secret(self, name: str, node: ProxyNode, model: Mesh) -> Obj | None:
        if name.startswith(GATEWAY_API):
            # Any namespace's, so nobody may ask but a listener whose right to it has been proved.
            if name.removesuffix(CA_SUFFIX) not in _proved_credentials(model):
                return None
            namespace = name.removeprefix(GATEWAY_API).partition("/")[0]
        elif name.startswith(KUBERNETES):
            namespace = node.namespace
        else:
            return file_secret(name)
        if node.type != "router" and not self._may_list_secrets(node.namespace, node.service_account):
            return None
        informer = self._watch.secrets(namespace)
        return credential_secret(name, lambda secret: informer.get(secret, namespace))


def _proved_credentials(model: Mesh) -> set[str]:
    return {name for gateway in model.gateways for server in gateway.servers for name in server.tls.credentials}
