"""Envoy configuration from the neutral model: a `Mesh` and one `ProxyNode` flow in, plain dictionaries flow out.

`build` is pure and deterministic: an unchanged model gives equal resources, so that a control plane sends nothing.
Resources that several proxies have in common are the same objects; nobody may change them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.envoy.authorization import Authorization
from meshlab.minicluster.mesh.envoy.autopassthrough import auto_passthrough_clusters
from meshlab.minicluster.mesh.envoy.clusters import fixed_clusters, inbound_cluster, outbound_clusters
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
from meshlab.minicluster.mesh.envoy.virtualhosts import http_proxy_routes
from meshlab.minicluster.mesh.envoy.vocabulary import CLUSTER, ENDPOINT, LISTENER, ROUTE
from meshlab.minicluster.mesh.model import Ground, Labels, Locality, Mesh, ProxyNode
from meshlab.minicluster.mesh.scope import Scope, ScopeKey, inbound_ports, scope_key

__all__ = ["CLUSTER", "ENDPOINT", "LISTENER", "ROUTE", "ProxyNode", "build"]

Resources = dict[str, dict[str, Obj]]
"""Resources by type URL and name."""


@dataclass(slots=True)
class _Shared:
    """What does not depend on route tables, built at first use."""

    ports: Callable[[int], int]
    real: dict[int, int] = field(default_factory=dict)
    clusters: dict[ScopeKey, dict[str, Obj]] = field(default_factory=dict)
    endpoints: dict[tuple[ScopeKey, Locality], dict[str, Obj]] = field(default_factory=dict)
    sidecars: dict[str, tuple[ProxyNode, Resources]] = field(default_factory=dict)
    """What a sidecar has to itself, by its id."""

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
    routes: dict[ScopeKey, Obj] = field(default_factory=dict)


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

    if key not in shared.clusters:
        shared.clusters[key] = {
            **outbound_clusters(scope, shared.port),
            **{cluster["name"]: cluster for cluster in fixed_clusters()},
        }
    if (key, locality) not in shared.endpoints:
        shared.endpoints[key, locality] = load_assignments(scope, locality, shared.port)
    found: Resources = {
        CLUSTER: dict(shared.clusters[key]),
        ENDPOINT: own_loopback(shared.endpoints[key, locality], proxy.hidden_ip),
        LISTENER: {},
        ROUTE: {},
    }
    if proxy.type == "router":
        policies = _policies(mesh, proxy, labels, scope, shared.port)
        _add_router(found, mesh, proxy, scope, policies, shared.port)
        _apply_telemetry(found, scope, proxy, labels, shared.port)
    else:
        if key not in routed.routes:
            routed.routes[key] = http_proxy_routes(scope, shared.port)
        routes = routed.routes[key]
        found[ROUTE][routes["name"]] = routes
        known, own = shared.sidecars.get(proxy.id, (None, {}))
        if known != proxy:
            own = _sidecar(mesh, proxy, labels, scope, shared.port)
            shared.sidecars[proxy.id] = (proxy, own)
        for type_url, resources in own.items():
            found[type_url].update(resources)
    return patched(found, scope, proxy, labels, shared.port)


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


def _sidecar(mesh: Mesh, proxy: ProxyNode, labels: Labels, scope: Scope, ports: Callable[[int], int]) -> Resources:
    """What a sidecar has to itself: its listeners, and the clusters and routes towards its pod's programs."""
    found: Resources = {CLUSTER: {}, LISTENER: {}, ROUTE: {}}
    policies = _policies(mesh, proxy, labels, scope, ports)
    for listener in (
        *outbound_listeners(proxy, mesh.settings, ports),
        virtual_inbound(proxy, mesh.settings, ports),
    ):
        found[LISTENER][listener["name"]] = listener
    for inbound in inbound_ports(mesh, proxy):
        listener = guarded(inbound_listener(proxy, inbound, mesh.settings, ports), policies)
        routes = inbound_routes(inbound)
        cluster = inbound_cluster(proxy, inbound, ports)
        found[LISTENER][listener["name"]] = listener
        found[CLUSTER][cluster["name"]] = cluster
        if inbound.speaks_http:
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
