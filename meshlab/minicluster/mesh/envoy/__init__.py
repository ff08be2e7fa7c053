"""Envoy configuration from the neutral model: a `Mesh` and one `ProxyNode` flow in, plain dictionaries flow out.

`build` is pure and deterministic: an unchanged model gives equal resources, so that a control plane sends nothing.
Resources that several proxies have in common are the same objects; nobody may change them.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.envoy.authorization import Authorization
from meshlab.minicluster.mesh.envoy.autopassthrough import auto_passthrough_clusters
from meshlab.minicluster.mesh.envoy.captured import (
    captured_listeners,
    captured_routes,
    listeners_for,
    virtual_outbound,
)
from meshlab.minicluster.mesh.envoy.clusters import (
    fixed_clusters,
    inbound_cluster,
    outbound_clusters,
    passthrough_clusters,
)
from meshlab.minicluster.mesh.envoy.connections import relays
from meshlab.minicluster.mesh.envoy.endpoints import load_assignments, own_loopback
from meshlab.minicluster.mesh.envoy.gateways import bound_servers, gateway_listeners, gateway_routes
from meshlab.minicluster.mesh.envoy.jwt import jwt_filters
from meshlab.minicluster.mesh.envoy.listeners import (
    inbound_listener,
    inbound_routes,
    outbound_listeners,
    virtual_inbound,
)
from meshlab.minicluster.mesh.envoy.observing import proxy_telemetry
from meshlab.minicluster.mesh.envoy.overlay import PolicyFilters, guarded
from meshlab.minicluster.mesh.envoy.patching import patched
from meshlab.minicluster.mesh.envoy.tracing import legacy_cluster
from meshlab.minicluster.mesh.envoy.virtualhosts import (
    KnownPorts,
    RoutedPort,
    http_proxy_routes,
    moved_ports,
    routed_ports,
)
from meshlab.minicluster.mesh.envoy.vocabulary import CLUSTER, ENDPOINT, HTTP_PROXY, LISTENER, ROUTE
from meshlab.minicluster.mesh.model import Ground, Labels, Locality, Mesh, ProxyNode
from meshlab.minicluster.mesh.scope import Scope, ScopeKey, inbound_ports, scope_key

__all__ = ["CLUSTER", "ENDPOINT", "LISTENER", "ROUTE", "ProxyNode", "build"]

Resources = dict[str, dict[str, Obj]]
"""Resources by type URL and name."""


_SeenKey = tuple[ScopeKey, frozenset[str]]
"""What proxies see: their scope, and the hosts that route tables add to it."""


@dataclass(slots=True)
class _Shared:
    """What does not depend on route tables, built at first use."""

    ports: Callable[[int], int]
    real: dict[int, int] = field(default_factory=dict)
    moved: dict[ScopeKey, frozenset[int]] = field(default_factory=dict)
    """The nominal ports behind which another one is bound."""
    clusters: dict[_SeenKey, dict[str, Obj]] = field(default_factory=dict)
    endpoints: dict[tuple[_SeenKey, Locality], dict[str, Obj]] = field(default_factory=dict)
    own_endpoints: dict[tuple[_SeenKey, Locality, str], dict[str, Obj]] = field(default_factory=dict)
    """By where the pod's own programs are, as well."""
    routed: dict[_SeenKey, KnownPorts] = field(default_factory=dict)
    captured: dict[tuple[ScopeKey, bool, str], tuple[object, Resources]] = field(default_factory=dict)
    """By what proxies tell as well: what depends on routes for connections, listeners and clusters of captured ones."""
    sidecars: dict[str, tuple[ProxyNode, Resources]] = field(default_factory=dict)
    """What a sidecar has to itself, by its id."""
    settled: dict[str, tuple[tuple[object, ...], Resources]] = field(default_factory=dict)
    """All of a sidecar's but its outbound routes, by its id: what it was put together of, and the same in one piece."""

    def port(self, number: int) -> int:
        """The real port, asked for once per model: the answer may cost a look at a file."""
        real = self.real.get(number)
        if real is None:
            real = self.real[number] = self.ports(number)
        return real

    def holds(self, ports: Callable[[int], int]) -> bool:
        """Whether every port is still where it was."""
        return self.ports == ports and all(ports(number) == real for number, real in self.real.items())


@dataclass(slots=True)
class _Routed:
    """What proxies of one model have in common beyond that."""

    shared: _Shared
    scopes: dict[ScopeKey, Scope] = field(default_factory=dict)
    ports: dict[ScopeKey, Sequence[RoutedPort]] = field(default_factory=dict)
    routes: dict[ScopeKey, Obj] = field(default_factory=dict)
    captured: dict[tuple[ScopeKey, bool], dict[str, Obj]] = field(default_factory=dict)
    """The routes of captured connections."""


_SHARED: WeakKeyDictionary[Ground, _Shared] = WeakKeyDictionary()
_ROUTED: WeakKeyDictionary[Mesh, _Routed] = WeakKeyDictionary()


def _routed(mesh: Mesh, ports: Callable[[int], int]) -> _Routed:
    routed = _ROUTED.get(mesh)
    if routed is None or routed.shared.ports != ports:
        shared = _SHARED.get(mesh.ground)
        if shared is None or not shared.holds(ports):
            shared = _SHARED[mesh.ground] = _Shared(ports)
        routed = _ROUTED[mesh] = _Routed(shared)
    return routed


def build(mesh: Mesh, proxy: ProxyNode, ports: Callable[[int], int]) -> Resources:
    """The clusters, endpoints, listeners and routes of one proxy.

    Args:
        mesh: the model.
        proxy: whom it is for.
        ports: the real port behind a nominal one (`network.addresses.PortMap.real`); asked anew for each model.

    Returns:
        Resources by type URL and name, in Envoy's JSON form.
    """
    routed = _routed(mesh, ports)
    shared = routed.shared
    workload = mesh.workloads_by_name.get((proxy.namespace, proxy.pod))
    labels = workload.labels if workload is not None else proxy.labels
    key = scope_key(mesh, proxy.namespace, labels)
    scope = routed.scopes.get(key)
    if scope is None:
        scope = routed.scopes[key] = Scope(mesh, proxy.namespace, dict(key[1]))
    locality = workload.locality if workload is not None else Locality()

    seen = (key, scope.imported)
    if seen not in shared.clusters:
        shared.clusters[seen] = {
            **outbound_clusters(scope, shared.port),
            **{cluster["name"]: cluster for cluster in fixed_clusters()},
        }
    if (seen, locality) not in shared.endpoints:
        shared.endpoints[seen, locality] = load_assignments(scope, locality, shared.port)
    place = (seen, locality, proxy.hidden_ip)
    if place not in shared.own_endpoints:
        shared.own_endpoints[place] = own_loopback(shared.endpoints[seen, locality], proxy.hidden_ip)
    endpoints = shared.own_endpoints[place]
    if proxy.type == "router":
        found: Resources = {CLUSTER: dict(shared.clusters[seen]), ENDPOINT: endpoints, LISTENER: {}, ROUTE: {}}
        policies = _policies(mesh, proxy, labels, scope, shared.port)
        _add_router(found, mesh, proxy, scope, policies, shared.port)
        _apply_telemetry(found, scope, proxy, labels, shared.port)
    else:
        routes, outbound = _outbound(proxy, labels, scope, key, routed)
        known, own = shared.sidecars.get(proxy.id, (None, {}))
        if known != proxy:
            own = _sidecar(mesh, proxy, labels, scope, shared.port, shared.moved[key])
            shared.sidecars[proxy.id] = (proxy, own)
        made_of = (shared.clusters[seen], endpoints, outbound, own)
        earlier, settled = shared.settled.get(proxy.id, ((), {}))
        if not _are_same(made_of, earlier):
            settled = {
                CLUSTER: {**shared.clusters[seen], **outbound[CLUSTER], **own[CLUSTER]},
                ENDPOINT: endpoints,
                LISTENER: {**listeners_for(proxy, outbound[LISTENER]), **own[LISTENER]},
            }
            shared.settled[proxy.id] = (made_of, settled)
        found = {**settled, ROUTE: {**routes, **own[ROUTE]}}
    return patched(found, scope, proxy, labels, shared.port)


def _are_same(one: Sequence[object], other: Sequence[object]) -> bool:
    """Whether both consist of the very same objects."""
    return len(one) == len(other) and all(map(operator.is_, one, other))


def _outbound(
    proxy: ProxyNode, labels: Labels, scope: Scope, key: ScopeKey, routed: _Routed
) -> tuple[dict[str, Obj], Resources]:
    """What a sidecar shares with others of its programs' side.

    Returns:
        The routes of the HTTP proxy and of captured connections; the listeners and clusters of captured connections,
        the very same as long as nothing that they depend on changes.
    """
    shared = routed.shared
    allocated = proxy.metadata.get("DNS_CAPTURE") == "true"
    if key not in shared.moved:
        shared.moved[key] = moved_ports(scope, shared.port)
    if key not in routed.routes:
        routed.ports[key] = routed_ports(scope, shared.routed.setdefault((key, scope.imported), {}))
        routed.routes[key] = http_proxy_routes(scope, routed.ports[key], shared.port)
    if (key, allocated) not in routed.captured:
        ports, moved = routed.ports[key], shared.moved[key]
        routed.captured[key, allocated] = captured_routes(scope, ports, moved, allocated=allocated)
    routes = {HTTP_PROXY: routed.routes[key], **routed.captured[key, allocated]}

    tables = [(host, table.tcp, table.tls) for host, table in scope.mesh_tables.items() if table.tcp or table.tls]
    depends = (tables, scope.imported)
    telemetry = proxy_telemetry(scope, proxy, labels)
    known = shared.captured.get((key, allocated, telemetry.client_identity))
    if known is None or known[0] != depends:
        listeners = captured_listeners(scope, routed.ports[key], allocated=allocated)
        clusters: dict[str, Obj] = {}
        for listener, cluster in relays(scope):
            listeners[listener["name"]] = listener
            clusters[cluster["name"]] = cluster
        told = {name: telemetry.apply(listener) for name, listener in listeners.items()}
        known = (depends, {LISTENER: told, CLUSTER: clusters})
        shared.captured[key, allocated, telemetry.client_identity] = known
    return routes, known[1]


def _apply_telemetry(
    found: Resources, scope: Scope, proxy: ProxyNode, labels: Labels, ports: Callable[[int], int]
) -> None:
    """Have listeners log, count and trace what telemetry rules and the proxy's own configuration want."""
    telemetry = proxy_telemetry(scope, proxy, labels)
    for name, listener in found[LISTENER].items():
        found[LISTENER][name] = telemetry.apply(listener)
    collector = legacy_cluster(proxy, scope, ports)
    if collector is not None:
        found[CLUSTER][collector["name"]] = collector


def _policies(mesh: Mesh, proxy: ProxyNode, labels: Labels, scope: Scope, ports: Callable[[int], int]) -> PolicyFilters:
    """What stands in front of a workload: external checks, then tokens, then rules."""
    authorization = Authorization(mesh, proxy.namespace, labels, scope, ports)
    tokens = jwt_filters(mesh, proxy.namespace, labels, gateway=proxy.type == "router")
    return PolicyFilters(
        http=[*authorization.custom_filters(http=True), *tokens, *authorization.filters(http=True)],
        network=[*authorization.custom_filters(http=False), *authorization.filters(http=False)],
    )


def _sidecar(
    mesh: Mesh, proxy: ProxyNode, labels: Labels, scope: Scope, ports: Callable[[int], int], moved: frozenset[int]
) -> Resources:
    """What a sidecar has to itself: its listeners, and the clusters and routes towards its pod's programs."""
    found: Resources = {CLUSTER: {}, LISTENER: {}, ROUTE: {}}
    policies = _policies(mesh, proxy, labels, scope, ports)
    for listener in (
        *outbound_listeners(proxy, mesh.settings, ports),
        virtual_outbound(scope, proxy, ports, moved),
        virtual_inbound(proxy, mesh.settings, ports),
    ):
        found[LISTENER][listener["name"]] = listener
    found[CLUSTER] |= {cluster["name"]: cluster for cluster in passthrough_clusters(moved, ports)}
    for inbound in inbound_ports(mesh, proxy, scope):
        listener = inbound_listener(proxy, inbound, mesh.settings, ports)
        routes = inbound_routes(inbound)
        cluster = inbound_cluster(proxy, inbound, mesh.settings, ports)
        found[LISTENER][listener["name"]] = guarded(listener, policies) if inbound.captured else listener
        found[CLUSTER][cluster["name"]] = cluster
        if inbound.speaks_http and inbound.captured:
            found[ROUTE][routes["name"]] = routes
    _apply_telemetry(found, scope, proxy, labels, ports)
    return found


def _add_router(
    found: Resources,
    mesh: Mesh,
    proxy: ProxyNode,
    scope: Scope,
    policies: PolicyFilters,
    ports: Callable[[int], int],
) -> None:
    servers = bound_servers(mesh, proxy)
    passing = [host for b in servers if b.server.tls.mode == "AUTO_PASSTHROUGH" for _, host in b.server.hosts]
    for cluster in auto_passthrough_clusters(passing, scope):
        found[CLUSTER][cluster["name"]] = cluster
    for listener in gateway_listeners(proxy, servers, scope, ports):
        found[LISTENER][listener["name"]] = guarded(listener, policies)
    found[ROUTE].update(gateway_routes(servers, scope))
