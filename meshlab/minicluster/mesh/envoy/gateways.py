"""A gateway proxy's listeners and routes: the servers of every Gateway that selects it, merged by port and address.

Where two servers want the same port, the older one wins: servers of plain HTTP share it, servers with TLS share it as
long as they have different hosts, anything else that comes later is left out (upstream's ``MergeGateways``).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.envoy.autopassthrough import auto_passthrough_chains
from meshlab.minicluster.mesh.envoy.connections import connection_members
from meshlab.minicluster.mesh.envoy.filters import (
    PROXY_PROTOCOL,
    SERVER_NAME,
    TLS_INSPECTOR,
    connection_manager,
    offering,
    tcp_proxy,
)
from meshlab.minicluster.mesh.envoy.routes import Listening, l4_clusters, table_routes
from meshlab.minicluster.mesh.envoy.telemetry import GATEWAY_CONNECTIONS, GATEWAY_REQUESTS, TELL_PEER
from meshlab.minicluster.mesh.envoy.tls import ALPN_TCP, gateway_socket
from meshlab.minicluster.mesh.envoy.vocabulary import socket_address
from meshlab.minicluster.mesh.hostnames import host_matches, intersect
from meshlab.minicluster.mesh.model import (
    Edge,
    Mesh,
    Protocol,
    ProxyNode,
    Service,
    Settings,
    Workload,
    matches,
    visible,
)
from meshlab.minicluster.mesh.routing import Gateway, GatewayServer, RouteTable
from meshlab.minicluster.mesh.scope import Scope, selecting_services, target_port

PASSING = ("PASSTHROUGH", "AUTO_PASSTHROUGH")
"""Modes in which TLS is passed on."""


@dataclass(frozen=True, slots=True)
class BoundServer:
    """A server, and the gateway proxy's port on which it listens."""

    gateway: Gateway
    server: GatewayServer
    port: int
    """Nominal target port: 8080 for the ingress gateway's port 80."""

    @property
    def route_name(self) -> str:
        """Istio's name for its route configuration."""
        server = self.server
        if not self.uses_tls:
            return f"http.{self.port}"
        return f"https.{server.port}.{server.port_name}.{self.gateway.name}.{self.gateway.namespace}"

    @property
    def uses_tls(self) -> bool:
        """Whether clients speak TLS there, ended by the proxy or not."""
        return self.server.tls.mode != "NONE"

    @property
    def is_http(self) -> bool:
        """Whether it looks into requests: plain HTTP, or HTTPS whose TLS it ends."""
        if self.server.protocol is Protocol.HTTPS:
            return self.server.tls.mode not in PASSING
        return self.server.protocol.is_http


def bound_servers(mesh: Mesh, proxy: ProxyNode) -> list[BoundServer]:
    """The servers this proxy has to serve, oldest gateway first, without those that cannot have their port."""
    workload = mesh.workloads_by_name.get((proxy.namespace, proxy.pod))
    labels = workload.labels if workload is not None else proxy.labels
    services = selecting_services(mesh.services, proxy.namespace, labels)
    found: list[BoundServer] = []
    for gateway in sorted(mesh.gateways, key=lambda g: (g.created, g.name, g.namespace)):
        if gateway.services:
            targets = _targets([s for s in services if s.host in gateway.services], workload)
            found += [BoundServer(gateway, s, targets[s.port]) for s in gateway.servers if s.port in targets]
        elif matches(gateway.selector, labels):
            targets = _targets(services, workload)
            found += [BoundServer(gateway, s, targets.get(s.port, s.port)) for s in gateway.servers]
    return _merged(found)


def _targets(services: Iterable[Service], workload: Workload | None) -> dict[int, int]:
    """The proxy's port behind each service port; of several services the oldest one's."""
    found: dict[int, int] = {}
    for service in services:
        for port in service.ports:
            target = target_port(port.target_port, workload)
            if target is not None:
                found.setdefault(port.number, target)
    return found


def _merged(servers: Iterable[BoundServer]) -> list[BoundServer]:
    """The servers that get their port: those that agree with the first one there."""
    first: dict[tuple[int, str], BoundServer] = {}
    hosts: set[tuple[int, str, tuple[str, str]]] = set()
    found: list[BoundServer] = []
    for bound in servers:
        place = (bound.port, bound.server.bind)
        holder = first.get(place)
        if holder is not None and not _share_port(holder, bound):
            continue
        if bound.uses_tls:
            wanted = {(*place, host) for host in bound.server.hosts}
            if wanted & hosts:
                continue
            hosts |= wanted
        first.setdefault(place, bound)
        found.append(bound)
    return found


def _share_port(first: BoundServer, second: BoundServer) -> bool:
    if first.uses_tls or second.uses_tls:
        return first.uses_tls and second.uses_tls
    return first.is_http and second.is_http


def gateway_listeners(
    proxy: ProxyNode, servers: Sequence[BoundServer], scope: Scope, ports: Callable[[int], int]
) -> list[Obj]:
    """One listener per port and address."""
    places: dict[tuple[int, str], list[BoundServer]] = defaultdict(list)
    for bound in servers:
        places[bound.port, bound.server.bind].append(bound)
    found: list[Obj] = []
    for (port, bind), group in sorted(places.items(), key=lambda item: item[0]):
        address = _address(bind, proxy)
        chains = list(_chains(group, scope, proxy.edge)) if address else []
        if not chains:
            continue
        listener: Obj = {
            "name": f"{bind or '0.0.0.0'}_{port}",
            "address": socket_address(address, ports(port)),
            "traffic_direction": "OUTBOUND",
            "enable_reuse_port": False,
            "filter_chains": chains,
        }
        looking = [PROXY_PROTOCOL] if proxy.edge.proxy_protocol else []
        looking += [TLS_INSPECTOR] if group[0].uses_tls else []
        if looking:
            listener["listener_filters"] = looking
        found.append(listener)
    return found


def _address(bind: str, proxy: ProxyNode) -> str:
    """The really bound address: a pod's loopback is its hidden address; one that the pod does not have is none."""
    if bind in ("", "0.0.0.0", "::", proxy.ip):
        return proxy.ip
    return proxy.hidden_ip if bind in ("127.0.0.1", "::1") else ""


def _chains(group: Sequence[BoundServer], scope: Scope, edge: Edge) -> Iterable[Obj]:
    settings = scope.mesh.settings
    first = group[0]
    if not first.uses_tls:
        if first.is_http:
            yield {"filters": [_http(first, settings, edge)]}
            return
        clusters = _tcp_clusters(first, scope)
        if clusters:
            yield {"filters": _forwarding(f"tcp.{first.port}", scope, clusters)}
        return
    taken: set[str] = set()
    for bound in group:
        if bound.server.tls.mode == "AUTO_PASSTHROUGH":
            yield from auto_passthrough_chains([host for _, host in bound.server.hosts], scope)
            continue
        if bound.server.tls.mode == "PASSTHROUGH":
            yield from _passed_chains(bound, scope, taken)
            continue
        # Two servers may name one host for different namespaces; Envoy takes a server name once.
        names = [host for host in dict.fromkeys(host for _, host in bound.server.hosts) if host not in taken]
        if not names:
            continue
        if bound.is_http:
            filters = [_http(bound, settings, edge)]
        else:
            clusters = _tcp_clusters(bound, scope)
            if not clusters:
                continue
            filters = _forwarding(bound.route_name, scope, clusters)
        taken.update(names)
        yield {
            "filter_chain_match": _server_names(names),
            "filters": filters,
            "transport_socket": gateway_socket(bound.server.tls, settings.trust_domain),
        }


def _server_names(names: Sequence[str]) -> Obj:
    return {} if "*" in names else {"server_names": list(names)}


def _passed_chains(bound: BoundServer, scope: Scope, taken: set[str]) -> Iterable[Obj]:
    """TLS that is passed on: a chain per server name that some table's tls route wants."""
    listening = Listening(scope, frozenset({bound.gateway.key}), bound.server.port)
    for table in _tables(bound, scope):
        for route in table.tls:
            names = [n for m in route.matches for n in m.sni_hosts if n not in taken and _admits(bound, table, n)]
            clusters = l4_clusters([route], listening, names[0]) if names else None
            if clusters:
                taken.update(names)
                yield {
                    "filter_chain_match": _server_names(list(dict.fromkeys(names))),
                    "filters": _forwarding(clusters[0][0], scope, clusters),
                }


def _forwarding(stat_prefix: str, scope: Scope, clusters: Sequence[tuple[str, int]]) -> list[Obj]:
    """Filters that send a connection's bytes on.

    To the mesh they go as TCP, whatever the service's port may carry: a sidecar that is offered HTTP looks into it.
    """
    members = connection_members(scope, clusters)
    proxy = tcp_proxy(stat_prefix, scope.mesh.settings, clusters, GATEWAY_CONNECTIONS, **members)
    hosts = [name.rpartition("|")[2] for name, _ in clusters]
    outside = any((service := scope.services.get(host)) is None or service.mesh_external for host in hosts)
    return [proxy] if outside else [offering(ALPN_TCP), proxy]


def _tcp_clusters(bound: BoundServer, scope: Scope) -> list[tuple[str, int]] | None:
    listening = Listening(scope, frozenset({bound.gateway.key}), bound.server.port)
    for table in _tables(bound, scope):
        if not _served_hosts(bound, table):
            continue
        # TLS routes of a server that ends TLS: its name was matched by the chain already.
        clusters = l4_clusters(table.tcp, listening) or (
            l4_clusters(table.tls, listening, table.hosts[0]) if bound.uses_tls else None
        )
        if clusters:
            return clusters
    return None


def _http(bound: BoundServer, settings: Settings, edge: Edge) -> Obj:
    return connection_manager(
        f"outbound_0.0.0.0_{bound.port}",
        settings,
        route_config_name=bound.route_name,
        filters=[TELL_PEER],
        telemetry=GATEWAY_REQUESTS,
        members={
            "server_name": SERVER_NAME,
            "use_remote_address": True,
            "xff_num_trusted_hops": edge.trusted_proxies,
            "forward_client_cert_details": edge.client_certificates,
            "set_current_client_cert_details": {"subject": True, "dns": True, "uri": True, "cert": True},
        },
    )


def gateway_routes(servers: Sequence[BoundServer], scope: Scope) -> dict[str, Obj]:
    """The route configurations of the HTTP servers, by name."""
    groups: dict[str, list[BoundServer]] = defaultdict(list)
    for bound in servers:
        if bound.is_http:
            groups[bound.route_name].append(bound)
    return {name: _route_configuration(name, group, scope) for name, group in sorted(groups.items())}


def _route_configuration(name: str, group: Sequence[BoundServer], scope: Scope) -> Obj:
    routes: dict[str, list[Obj]] = {}
    redirected: dict[str, None] = {}
    seen: set[tuple[str, str]] = set()
    for bound in group:
        listening = Listening(scope, frozenset({bound.gateway.key}), bound.server.port)
        for table in _tables(bound, scope):
            for host in _served_hosts(bound, table):
                if (str(table.ref), host) not in seen and table.http:
                    seen.add((str(table.ref), host))
                    routes.setdefault(host, []).extend(table_routes(table, listening))
        if bound.server.tls.https_redirect:
            redirected.update(dict.fromkeys(host for _, host in bound.server.hosts))
    port = group[0].server.port
    hosts: list[Obj] = []
    for host in sorted({*routes, *redirected}):
        virtual_host: Obj = {
            "name": f"{host}:{port}",
            "domains": [host],
            "routes": _catch_all_last(routes.get(host, [])),
            "include_request_attempt_count": True,
        }
        if any(host_matches(pattern, host) for pattern in redirected):
            virtual_host["require_tls"] = "ALL"
        hosts.append(virtual_host)
    if not hosts:
        hosts = [{"name": f"blackhole:{port}", "domains": ["*"]}]
    return {
        "name": name,
        "validate_clusters": False,
        "ignore_port_in_host_matching": True,
        "max_direct_response_body_size_bytes": 1048576,
        "virtual_hosts": hosts,
    }


def _catch_all_last(routes: Sequence[Obj]) -> list[Obj]:
    """Routes that take every request go behind the others, as several tables may speak for one host."""
    return sorted(routes, key=lambda route: route["match"] == {"prefix": "/"})


def _tables(bound: BoundServer, scope: Scope) -> list[RouteTable]:
    """The tables that are bound to the server's gateway, oldest first."""
    return [
        table
        for table in sorted(scope.mesh.route_tables, key=lambda t: t.age)
        if bound.gateway.key in table.gateways and visible(table.export_to, scope.namespace)
    ]


def _served_hosts(bound: BoundServer, table: RouteTable) -> list[str]:
    """The hosts of a table that the server lets in: the narrower pattern of each pair that meets."""
    found: dict[str, None] = {}
    for owner, pattern in bound.server.hosts:
        if owner not in ("*", table.namespace):
            continue
        for host in table.hosts:
            both = intersect(pattern, host)
            if both is not None:
                found[both] = None
    return list(found)


def _admits(bound: BoundServer, table: RouteTable, name: str) -> bool:
    return any(owner in ("*", table.namespace) and host_matches(pattern, name) for owner, pattern in bound.server.hosts)
