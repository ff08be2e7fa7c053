"""What one proxy sees of the mesh: the services, routes and policies that its namespace and labels entitle it to.

Proxies of one namespace see the same unless some resource selects by label; `scope_key` tells which share a `Scope`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from meshlab.minicluster.mesh.hostnames import host_matches
from meshlab.minicluster.mesh.model import (
    Labels,
    Mesh,
    MtlsMode,
    Protocol,
    ProxyNode,
    Service,
    Workload,
    matches,
    visible,
)
from meshlab.minicluster.mesh.policy import ConnectionPool, ServicePolicy, TrafficPolicy
from meshlab.minicluster.mesh.routing import MESH_GATEWAY, Destination, HttpMatch, L4Match, RouteTable
from meshlab.minicluster.mesh.sidecars import EgressListener, SidecarScope
from meshlab.minicluster.network.capture import captures_inbound

SIDECAR_PORTS = frozenset({15000, 15001, 15004, 15006, 15008, 15020, 15021, 15053, 15090})
"""Ports of the sidecar itself; an application that asks for one of them does not get it."""

ScopeKey = tuple[str, tuple[tuple[str, str], ...]]


def scope_key(mesh: Mesh, namespace: str, labels: Labels) -> ScopeKey:
    """Equal for proxies that see exactly the same."""
    selecting = [
        *(policy.selector for policy in mesh.service_policies),
        *(scope.selector for scope in mesh.sidecar_scopes),
        *(m.source_labels for t in mesh.route_tables for r in t.http for m in r.matches),
        mesh.failover_labels,
        *(m.source_labels for t in mesh.route_tables for r in (*t.tcp, *t.tls) for m in r.matches),
    ]
    keys = {key for selector in selecting for key in selector}
    return (namespace, tuple(sorted((key, labels[key]) for key in keys if key in labels)))


class Scope:
    """The view of clients in one namespace with some labels.

    Args:
        mesh: the whole model.
        namespace: the clients' namespace.
        labels: the clients' labels, as far as some resource asks for them.
    """

    def __init__(self, mesh: Mesh, namespace: str, labels: Labels) -> None:
        self.mesh = mesh
        self.namespace = namespace
        self.labels = labels
        self._policies: dict[str, ServicePolicy | None] = {}

    @cached_property
    def sidecar(self) -> SidecarScope | None:
        """The sidecar scope in force."""
        return sidecar_scope(self.mesh, self.namespace, self.labels)

    @property
    def allow_unknown_hosts(self) -> bool:
        """Whether a request to a host that nobody declared is forwarded."""
        if self.sidecar is not None and self.sidecar.allow_unknown_hosts is not None:
            return self.sidecar.allow_unknown_hosts
        return self.mesh.settings.allow_unknown_hosts

    @cached_property
    def services(self) -> Mapping[str, Service]:
        """The visible services by host, sorted; the client's own namespace wins over others for the same host."""
        found: dict[str, Service] = {}
        candidates = [
            imported
            for s in self.mesh.services
            if visible(s.export_to, self.namespace) and (imported := self._imported(s)) is not None
        ]
        for service in sorted(candidates, key=self._nearness):
            found.setdefault(service.host, service)
        if self.imported:
            routed = [s for s in self.mesh.services if s.host in self.imported and visible(s.export_to, self.namespace)]
            for service in sorted(routed, key=self._nearness):
                found.setdefault(service.host, service)
        return dict(sorted(found.items()))

    @cached_property
    def imported(self) -> frozenset[str]:
        """The hosts that clients see because routes lead there, beside those that their Sidecar names, as upstream."""
        if not self._egress:
            return frozenset()
        return frozenset(host for table in self.mesh_tables.values() for host in table.destinations)

    def _nearness(self, service: Service) -> tuple[bool, bool]:
        return (not service.kubernetes, service.namespace != self.namespace)

    def _imported(self, service: Service) -> Service | None:
        """A service as far as the egress listeners let clients see it: whole, some of its ports, or not at all."""
        if not self._egress:
            return service
        listeners = [each for each in self._egress if each.covers(service.namespace, service.host, self.namespace)]
        if any(not listener.port or listener.is_http_proxy for listener in listeners):
            return service
        numbers = {listener.port for listener in listeners}
        ports = tuple(port for port in service.ports if port.number in numbers)
        return replace(service, ports=ports) if ports else None

    def _in_egress(self, namespace: str, host: str) -> bool:
        return not self._egress or any(each.covers(namespace, host, self.namespace) for each in self._egress)

    @property
    def _egress(self) -> Sequence[EgressListener]:
        return self.sidecar.egress if self.sidecar is not None else ()

    def bound_listener(self, service: Service, port: int) -> EgressListener | None:
        """The listener to which programs themselves connect for a port of a service."""
        bound = [each for each in self._egress if each.bind and each.port == port and not each.is_http_proxy]
        return next((each for each in bound if each.covers(service.namespace, service.host, self.namespace)), None)

    @property
    def http_proxies(self) -> Sequence[EgressListener]:
        """Listeners that programs use as an HTTP proxy."""
        return [listener for listener in self._egress if listener.is_http_proxy and listener.port]

    def find_service(self, host: str) -> Service | None:
        """The visible service for a host: by its name, else by the longest wildcard that covers it."""
        exact = self.services.get(host)
        if exact is not None:
            return exact
        wildcards = [s for s in self.services.values() if s.host.startswith("*") and host.endswith(s.host[1:])]
        return max(wildcards, key=lambda s: len(s.host), default=None)

    @cached_property
    def mesh_tables(self) -> Mapping[str, RouteTable]:
        """The route table in force for each host pattern in sidecars: the oldest one wins, the others are ignored.

        Tables that a client's own namespace wrote for somebody else's service go before those of the service.
        """
        found: dict[str, RouteTable] = {}
        for table in sorted(self.mesh.route_tables, key=lambda t: (not t.consumer, t.age)):
            if MESH_GATEWAY in table.gateways and visible(table.export_to, self.namespace):
                for host in table.hosts:
                    if self._in_egress(table.namespace, host):
                        found.setdefault(host, table)
        return found

    def mesh_table(self, host: str) -> RouteTable | None:
        """The route table for a host: by its name, else by the longest wildcard that covers it."""
        exact = self.mesh_tables.get(host)
        if exact is not None:
            return exact
        wildcards = [p for p in self.mesh_tables if p.startswith("*") and host.endswith(p[1:])]
        return self.mesh_tables[max(wildcards, key=len)] if wildcards else None

    def service_policy(self, host: str, service_namespace: str) -> ServicePolicy | None:
        """The policy towards a host: looked for in the client's namespace, the service's, then the root namespace.

        In each of them the exact host wins over the longest wildcard.
        """
        if host not in self._policies:
            self._policies[host] = self._find_policy(host, service_namespace)
        return self._policies[host]

    def _find_policy(self, host: str, service_namespace: str) -> ServicePolicy | None:
        for namespace in dict.fromkeys((self.namespace, service_namespace, self.mesh.settings.root_namespace)):
            candidates = [
                policy
                for policy in self._policies_by_namespace.get(namespace, ())
                if host_matches(policy.host, host)
                and matches(policy.selector, self.labels)
                and (not policy.selector or namespace == self.namespace)
                and (namespace == self.namespace or visible(policy.export_to, self.namespace))
            ]
            if candidates:
                return max(candidates, key=lambda p: (p.host == host, len(p.host), bool(p.selector)))
        return None

    @cached_property
    def _policies_by_namespace(self) -> Mapping[str, Sequence[ServicePolicy]]:
        found: dict[str, list[ServicePolicy]] = {}
        for policy in self.mesh.service_policies:
            found.setdefault(policy.namespace, []).append(policy)
        return found

    def traffic_policy(self, host: str, service_namespace: str, port: int, subset: str = "") -> TrafficPolicy:
        """How clients behave towards one port of a host (or of a subset of it)."""
        policy = self.service_policy(host, service_namespace)
        if policy is None:
            return TrafficPolicy()
        narrower = policy.subset(subset)
        if narrower is None or narrower.policy is None:
            return policy.policy.for_port(port)
        # A port's settings inherit nothing, neither at the top nor in a subset.
        return narrower.policy.ports.get(port) or policy.policy.for_port(port).overlaid(narrower.policy)

    def destination_port(self, destination: Destination, listen_port: int) -> int:
        """The port a destination means: its own, the only one the service has, else that of the request."""
        if destination.port is not None:
            return destination.port
        service = self.find_service(destination.host)
        if service is not None and len(service.ports) == 1:
            return service.ports[0].number
        return listen_port

    def source_matches(self, match: HttpMatch | L4Match, gateways: frozenset[str], port: int) -> bool:
        """Whether the parts of a match hold that do not depend on the request: client, gateway and port.

        As upstream, an HTTP match that names gateways does not look at the client any more; one on connections does.
        """
        if match.port not in (None, port) or (match.gateways and gateways.isdisjoint(match.gateways)):
            return False
        if match.gateways and isinstance(match, HttpMatch):
            return True
        return matches(match.source_labels, self.labels) and match.source_namespace in ("", self.namespace)


def sidecar_scope(mesh: Mesh, namespace: str, labels: Labels) -> SidecarScope | None:
    """The scope in force for a workload: one that selects it over the namespace's over the mesh's; the oldest wins."""
    levels: dict[int, SidecarScope] = {}
    for scope in mesh.sidecar_scopes:
        if scope.namespace not in ("", namespace) or not matches(scope.selector, labels):
            continue
        levels.setdefault(0 if scope.selector else 1 if scope.namespace else 2, scope)
    return levels[min(levels)] if levels else None


@dataclass(frozen=True, slots=True)
class InboundPort:
    """A port on which a sidecar receives for its pod."""

    port: int
    """The pod's port (a service's target port)."""
    protocol: Protocol
    mtls: MtlsMode
    services: tuple[tuple[str, int], ...] = ()
    """(host, service port) of the services that lead here, oldest first."""
    app_port: int = 0
    """Where the program listens, if elsewhere."""
    app_path: str = ""
    """The program's unix socket, if that is where it listens."""
    captured: bool = True
    """Whether the proxy looks at what comes in; if not, bytes go to the program as they are."""
    pool: ConnectionPool | None = None
    """How connections to the program behave."""

    @property
    def service_port(self) -> int:
        """The port of the first service that leads here, else the pod's own."""
        return self.services[0][1] if self.services else self.port

    @property
    def speaks_http(self) -> bool:
        """Whether requests may be seen one by one there."""
        return self.protocol.is_http or self.protocol is Protocol.AUTO


def inbound_ports(mesh: Mesh, proxy: ProxyNode, view: Scope) -> list[InboundPort]:
    """The ports a sidecar serves: targets of the services that select the pod, then the pod's other declared ports.

    Where several services lead to one port the oldest one decides its protocol. Connections to the program behave as
    the service's policy wants it of clients, unless a Sidecar says otherwise.
    """
    workload = mesh.workloads_by_name.get((proxy.namespace, proxy.pod))
    labels = workload.labels if workload is not None else proxy.labels
    protocols: dict[int, Protocol] = {}
    leading: dict[int, list[tuple[str, int]]] = {}
    for service in selecting_services(mesh.services, proxy.namespace, labels):
        for port in service.ports:
            target = target_port(port.target_port, workload)
            if target is None or port.protocol is Protocol.UDP:
                continue
            protocols.setdefault(target, port.protocol)
            leading.setdefault(target, []).append((service.host, port.number))
    scope = sidecar_scope(mesh, proxy.namespace, labels)
    ingress = {listener.port: listener for listener in scope.ingress} if scope is not None else {}
    if ingress:
        protocols = {port: listener.protocol for port, listener in ingress.items()}
    for declared in workload.ports if workload is not None and not ingress else ():
        if declared.protocol == "TCP":
            protocols.setdefault(declared.number, Protocol.AUTO)
    rules = workload.inbound_rules if workload is not None else {}

    def pool(port: int) -> ConnectionPool | None:
        listener = ingress.get(port)
        if listener is not None and listener.pool is not None:
            return listener.pool
        if scope is not None and scope.inbound_pool is not None:
            return scope.inbound_pool
        host, number = next(iter(leading.get(port, ())), ("", 0))
        return view.traffic_policy(host, proxy.namespace, number).connection_pool if host else None

    return [
        InboundPort(
            port=port,
            protocol=protocols[port],
            mtls=mesh.mtls_mode(proxy.namespace, labels, port),
            services=tuple(leading.get(port, ())),
            app_port=ingress[port].target_port if port in ingress else port,
            app_path=ingress[port].target_path if port in ingress else "",
            captured=captures_inbound(rules, port),
            pool=pool(port),
        )
        for port in sorted(protocols)
        if port not in SIDECAR_PORTS
    ]


def selecting_services(services: Iterable[Service], namespace: str, labels: Labels) -> list[Service]:
    """The Kubernetes services whose selector picks a pod, oldest first."""
    found = [
        s for s in services if s.namespace == namespace and s.kubernetes and s.selector and matches(s.selector, labels)
    ]
    return sorted(found, key=lambda s: (s.created, s.name))


def target_port(target: int | str, workload: Workload | None) -> int | None:
    """The pod's port behind a service's target port; a name that no container declares leads nowhere."""
    if isinstance(target, int):
        return target
    if target.isdigit():
        return int(target)
    ports = workload.ports if workload is not None else ()
    return next((port.number for port in ports if port.name == target), None)
