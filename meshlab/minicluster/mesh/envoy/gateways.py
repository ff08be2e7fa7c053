"""A gateway proxy's listeners and routes: the servers of every Gateway that selects it, merged by port."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.envoy.filters import SERVER_NAME, TLS_INSPECTOR, connection_manager, tcp_proxy
from meshlab.minicluster.mesh.envoy.routes import Listening, l4_clusters, table_routes
from meshlab.minicluster.mesh.envoy.telemetry import GATEWAY_CONNECTIONS, GATEWAY_REQUESTS, TELL_PEER
from meshlab.minicluster.mesh.envoy.tls import gateway_socket
from meshlab.minicluster.mesh.envoy.vocabulary import socket_address
from meshlab.minicluster.mesh.hostnames import host_matches, intersect
from meshlab.minicluster.mesh.model import Mesh, Protocol, ProxyNode, Settings, matches, visible
from meshlab.minicluster.mesh.routing import Gateway, GatewayServer, RouteTable
from meshlab.minicluster.mesh.scope import Scope, selecting_services, target_port

MEMBERS: Obj = {
    "server_name": SERVER_NAME,
    "use_remote_address": True,
    "forward_client_cert_details": "SANITIZE_SET",
    "set_current_client_cert_details": {"subject": True, "dns": True, "uri": True, "cert": True},
}

PASSING = ("PASSTHROUGH", "AUTO_PASSTHROUGH")


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
        if server.tls.mode in ("NONE",):
            return f"http.{self.port}"
        return f"https.{server.port}.{server.port_name}.{self.gateway.name}.{self.gateway.namespace}"

    @property
    def is_http(self) -> bool:
        """Whether it looks into requests: plain HTTP, or HTTPS whose TLS it ends."""
        if self.server.protocol is Protocol.HTTPS:
            return self.server.tls.mode not in PASSING
        return self.server.protocol.is_http


def bound_servers(mesh: Mesh, proxy: ProxyNode) -> list[BoundServer]:
    """The servers this proxy has to serve, oldest gateway first."""
    workload = mesh.workloads_by_name.get((proxy.namespace, proxy.pod))
    labels = workload.labels if workload is not None else proxy.labels
    targets: dict[int, int] = {}
    for service in selecting_services(mesh.services, proxy.namespace, labels):
        for port in service.ports:
            target = target_port(port.target_port, workload)
            if target is not None:
                targets.setdefault(port.number, target)
    return [
        BoundServer(gateway, server, server.target_port or targets.get(server.port, server.port))
        for gateway in sorted(mesh.gateways, key=lambda g: (g.created, g.name, g.namespace))
        if matches(gateway.selector, labels)
        for server in gateway.servers
    ]


def gateway_listeners(
    proxy: ProxyNode, servers: Sequence[BoundServer], scope: Scope, ports: Callable[[int], int]
) -> list[Obj]:
    """One listener per port; a port on which plain and TLS servers meet is the older server's."""
    by_port: dict[int, list[BoundServer]] = defaultdict(list)
    for bound in servers:
        by_port[bound.port].append(bound)
    found: list[Obj] = []
    for port, group in sorted(by_port.items()):
        plain = group[0].server.tls.mode == "NONE"
        group = [bound for bound in group if (bound.server.tls.mode == "NONE") == plain]  # noqa: PLW2901
        chains = list(_chains(group, scope))
        if not chains:
            continue
        listener: Obj = {
            "name": f"0.0.0.0_{port}",
            "address": socket_address(proxy.ip, ports(port)),
            "traffic_direction": "OUTBOUND",
            "enable_reuse_port": False,
            "filter_chains": chains,
        }
        if not plain:
            listener["listener_filters"] = [TLS_INSPECTOR]
        found.append(listener)
    return found


def _chains(group: Sequence[BoundServer], scope: Scope) -> Iterable[Obj]:
    settings = scope.mesh.settings
    first = group[0]
    if first.server.tls.mode == "NONE":
        if first.is_http:
            yield {"filters": [_http(first, settings)]}
            return
        clusters = _tcp_clusters(first, scope)
        if clusters:
            yield {"filters": [tcp_proxy(f"tcp.{first.port}", settings, clusters, GATEWAY_CONNECTIONS)]}
        return
    taken: set[str] = set()
    for bound in group:
        if bound.server.tls.mode in PASSING:
            yield from _passed_chains(bound, scope, taken)
            continue
        names = [host for _, host in bound.server.hosts if host not in taken]
        if not names:
            continue
        taken.update(names)
        if bound.is_http:
            filters = [_http(bound, settings)]
        else:
            clusters = _tcp_clusters(bound, scope)
            if not clusters:
                continue
            filters = [tcp_proxy(bound.route_name, settings, clusters, GATEWAY_CONNECTIONS)]
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
                    "filters": [tcp_proxy(clusters[0][0], scope.mesh.settings, clusters, GATEWAY_CONNECTIONS)],
                }


def _tcp_clusters(bound: BoundServer, scope: Scope) -> list[tuple[str, int]] | None:
    listening = Listening(scope, frozenset({bound.gateway.key}), bound.server.port)
    for table in _tables(bound, scope):
        clusters = l4_clusters(table.tcp, listening)
        if clusters:
            return clusters
    return None


def _http(bound: BoundServer, settings: Settings) -> Obj:
    return connection_manager(
        f"outbound_0.0.0.0_{bound.port}",
        settings,
        route_config_name=bound.route_name,
        filters=[TELL_PEER],
        telemetry=GATEWAY_REQUESTS,
        members=MEMBERS,
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
