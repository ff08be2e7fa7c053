"""The route configuration ``http_proxy``: a virtual host for everything that a sidecar's programs may call.

Istio's proxyHttpPort mode: programs send absolute-form requests (or CONNECT), so host *and* port are in the authority.
A virtual host's domains without a port stand for port 80 only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.envoy.connections import relayed
from meshlab.minicluster.mesh.envoy.filters import (
    FILTER_STATE_FILTER,
    FORWARD_PROXY_FILTER,
    forward_proxy_host,
    offered_protocols,
)
from meshlab.minicluster.mesh.envoy.routes import (
    Listening,
    cluster_members,
    cluster_of,
    default_route,
    l4_clusters,
    table_routes,
    tunnel_route,
)
from meshlab.minicluster.mesh.envoy.telemetry import WITHOUT_PEER, route_via
from meshlab.minicluster.mesh.envoy.tls import ALPN_TCP
from meshlab.minicluster.mesh.envoy.vocabulary import (
    BLACK_HOLE,
    BLACK_HOLE_TUNNEL,
    HTTP_PROXY,
    HTTP_PROXY_PORT,
    LAB_PASSTHROUGH,
    PASSTHROUGH,
    TUNNEL,
    cluster_name,
)
from meshlab.minicluster.mesh.model import Protocol, Resolution, Service, ServicePort
from meshlab.minicluster.mesh.routing import MESH_GATEWAY, Destination, RouteTable
from meshlab.minicluster.mesh.scope import Scope

DEFAULT_PORT = 80
MESH = frozenset({MESH_GATEWAY})


@dataclass(frozen=True, slots=True)
class RoutedPort:
    """A port of a service, and the routes of the requests to it."""

    service: Service
    port: ServicePort
    table: RouteTable | None
    routes: Sequence[Obj]
    proxied: Obj
    """The virtual host for programs that use the proxy: requests, and tunnels."""
    captured: Obj
    """The virtual host for programs whose connections are captured."""

    @property
    def name(self) -> str:
        """The name of its virtual hosts."""
        return f"{self.service.host}:{self.port.number}"


KnownPorts = dict[tuple[str, int], RoutedPort]
"""By host and number."""


def routed_ports(scope: Scope, known: KnownPorts) -> list[RoutedPort]:
    """Every port that clients of that scope may call.

    Args:
        scope: what they see.
        known: what was found when nothing but route tables differed; brought up to date.
    """
    found: list[RoutedPort] = []
    for service in scope.services.values():
        table = scope.mesh_table(service.host)
        for port in service.ports:
            if port.protocol is Protocol.UDP:
                continue
            routed = known.get((service.host, port.number))
            if routed is None or routed.table != table:
                routed = known[service.host, port.number] = _routed(scope, service, port, table)
            found.append(routed)
    return found


def http_proxy_routes(scope: Scope, routed: Sequence[RoutedPort], ports: Callable[[int], int]) -> Obj:
    """The route configuration of the outbound listener for clients of that scope."""
    hosts: list[Obj] = []
    taken: set[str] = set()
    for found in routed:
        append_host(hosts, taken, found.proxied)
    for pattern, routes in routes_without_service(scope):
        domains = [pattern, f"{pattern}:{DEFAULT_PORT}"]
        append_host(hosts, taken, virtual_host(f"{pattern}:{DEFAULT_PORT}", domains, routes))
    hosts.append(_last_host(scope, ports))
    return {
        "name": HTTP_PROXY,
        "validate_clusters": False,
        "max_direct_response_body_size_bytes": 1048576,
        "virtual_hosts": hosts,
    }


def routes_without_service(scope: Scope) -> Iterator[tuple[str, Sequence[Obj]]]:
    """Hosts that only route tables know, with their routes.

    They are routed on port 80, as upstream; on other ports a host needs a service.
    """
    for pattern, table in sorted(scope.mesh_tables.items()):
        known = scope.services.get(pattern)
        if (known is None or known.port(DEFAULT_PORT) is None) and table.http and pattern != "*":
            routes = table_routes(table, Listening(scope, MESH, DEFAULT_PORT))
            if routes:
                yield pattern, routes


def append_host(hosts: list[Obj], taken: set[str], host: Obj) -> None:
    """Add a virtual host without the domains that an earlier one has: Envoy refuses duplicates."""
    domains = [domain for domain in host["domains"] if domain not in taken]
    if domains:
        taken.update(domains)
        hosts.append(host if len(domains) == len(host["domains"]) else {**host, "domains": domains})


def virtual_host(name: str, domains: Sequence[str], routes: Sequence[Obj]) -> Obj:
    """A virtual host of a sidecar."""
    return {
        "name": name,
        "domains": list(dict.fromkeys(domains)),
        "routes": list(routes),
        "include_request_attempt_count": True,
    }


def _routed(scope: Scope, service: Service, port: ServicePort, table: RouteTable | None) -> RoutedPort:
    listening = Listening(scope, MESH, port.number)
    speaks_http = port.protocol.is_http or port.protocol is Protocol.AUTO
    name = f"{service.host}:{port.number}"
    routes: list[Obj] = []
    if table is not None and table.http and speaks_http:
        # None of them may apply to this client and port; then requests get 404, not the service.
        routes = table_routes(table, listening)
    if not routes and (table is None or table.falls_back or not table.http or not speaks_http):
        routes = [default_route(Destination(service.host, "", port.number), listening, f"{name}/*")]

    tunnel = tunnel_route(_tunnel_target(listening, service, port, table))
    if port.protocol is Protocol.AUTO:
        # The cluster offers HTTP; what comes out of a tunnel need not be that.
        tunnel["typed_per_filter_config"] = {FILTER_STATE_FILTER: offered_protocols(ALPN_TCP)}
    names = service_names(service, scope)
    peer = WITHOUT_PEER if service.mesh_external else {}
    return RoutedPort(
        service,
        port,
        table,
        routes,
        proxied={**virtual_host(name, _with_port(names, port.number), [tunnel, *routes]), **peer},
        captured={**virtual_host(name, names, routes), **peer},
    )


def _tunnel_target(listening: Listening, service: Service, port: ServicePort, table: RouteTable | None) -> Obj:
    """Where the bytes of a CONNECT tunnel go: HTTP back to the route table, other protocols straight to the service."""
    if port.protocol.is_http:
        return {"cluster": TUNNEL}
    clusters = None
    if table is not None:
        clusters = l4_clusters(table.tls, listening, service.host) or l4_clusters(table.tcp, listening)
    wanted = clusters or [(cluster_name("outbound", port.number, "", service.host), 1)]
    return cluster_members(relayed(listening.scope, wanted))


def service_names(service: Service, scope: Scope) -> list[str]:
    """The names under which clients of a namespace may call a service, the longest first, then its addresses."""
    names = [service.host]
    if service.kubernetes:
        names += [f"{service.host}.", *short_names(service, scope.namespace)]
        if not service.addresses and service.resolution is Resolution.ENDPOINTS:
            names += [f"*.{name}" for name in tuple(names)]
    return [*names, *(service.addresses or [address for address in service.allocated if ":" not in address])]


def short_names(service: Service, namespace: str) -> list[str]:
    """The search-list forms: the bare name works in the service's own namespace only."""
    name, owner = service.name, service.namespace
    longer = [f"{name}.{owner}.svc", f"{name}.{owner}"]
    return [name, *longer] if owner == namespace else longer


def _with_port(names: Sequence[str], port: int) -> list[str]:
    with_port = [f"{name}:{port}" for name in names]
    return (
        [domain for pair in zip(names, with_port, strict=True) for domain in pair]
        if port == DEFAULT_PORT
        else with_port
    )


def _last_host(scope: Scope, ports: Callable[[int], int]) -> Obj:
    """What happens to everything else: forwarded as it is, or refused."""
    if not scope.allow_unknown_hosts:
        routes: list[Obj] = [
            {**tunnel_route({"cluster": BLACK_HOLE_TUNNEL}), "name": "block_all"},
            {"name": "block_all", "match": {"prefix": "/"}, "direct_response": {"status": 502}},
        ]
        for route in routes:
            route.update(route_via(BLACK_HOLE))
        return virtual_host("block_all", ["*"], routes)
    if scope.sidecar is not None and scope.sidecar.egress_proxy is not None:
        target = cluster_of(scope.sidecar.egress_proxy, Listening(scope, MESH, DEFAULT_PORT))
        return virtual_host("allow_any", ["*"], [_connect(target, []), _forward(target, [])])
    lab = lab_prefix(scope)
    # A request for the proxy itself would go round in circles; upstream's virtualOutbound-blackhole.
    own = [{"name": ":authority", "string_match": {"suffix": f":{ports(HTTP_PROXY_PORT)}"}}]
    routes = [_connect(BLACK_HOLE, own), _forward(BLACK_HOLE, own), *_moved_ports(scope, ports)]
    if lab:
        inside = [{"name": ":authority", "string_match": {"prefix": lab}}]
        routes += [_connect(LAB_PASSTHROUGH, inside), _forward(LAB_PASSTHROUGH, inside)]
    routes += [_connect(PASSTHROUGH, []), _forward(PASSTHROUGH, [])]
    for route in routes:
        route.update(route_via(PASSTHROUGH))
    return {**virtual_host("allow_any", ["*"], routes), **WITHOUT_PEER}


def moved_ports(scope: Scope, ports: Callable[[int], int]) -> frozenset[int]:
    """The nominal ports of the lab behind which another one is really bound."""
    return frozenset(port for address, port in _declared(scope) if address.startswith("127.") and ports(port) != port)


def _declared(scope: Scope) -> set[tuple[str, int]]:
    declared = {(w.ip, p.number) for w in scope.mesh.workloads if w.ip for p in w.ports}
    return declared | {(e.address, e.port) for s in scope.services.values() for p in s.ports for e in p.endpoints}


def lab_prefix(scope: Scope) -> str:
    """What the lab's own addresses begin with, such as ``127.77.``."""
    address = next((w.ip for w in scope.mesh.workloads if w.ip.startswith("127.")), "")
    return ".".join(address.split(".")[:2]) + "." if address else ""


def _moved_ports(scope: Scope, ports: Callable[[int], int]) -> list[Obj]:
    """Routes for pod addresses called directly on ports behind which another one is really bound."""
    found: list[Obj] = []
    for address, port in sorted(_declared(scope)):
        real = ports(port)
        if real == port or not address.startswith("127."):
            continue
        names = [f"{address}:{port}", *([address] if port == DEFAULT_PORT else [])]
        for name in names:
            wanted = [{"name": ":authority", "string_match": {"exact": name}}]
            for route in (_connect(LAB_PASSTHROUGH, wanted), _forward(LAB_PASSTHROUGH, wanted)):
                route["typed_per_filter_config"] = {FORWARD_PROXY_FILTER: forward_proxy_host(f"{address}:{real}")}
                found.append(route)
    return found


def _forward(cluster: str, headers: Sequence[Obj]) -> Obj:
    match: Obj = {"prefix": "/", **({"headers": list(headers)} if headers else {})}
    return {"name": "allow_any", "match": match, "route": {"cluster": cluster, "timeout": "0s"}}


def _connect(cluster: str, headers: Sequence[Obj]) -> Obj:
    route = tunnel_route({"cluster": cluster})
    route["name"] = "allow_any"
    if headers:
        route["match"]["headers"] = list(headers)
    return route
