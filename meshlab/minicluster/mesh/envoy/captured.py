"""Captured connections: the listeners that take what programs connect to, told apart by address and port.

A program of the pod connects as if there were no proxy. What carries its connections (on a real node iptables, here the
programs' own network layer) brings each to ``virtualOutbound`` and says where it was going, in a PROXY header. From
there everything is upstream's: the listener of that destination takes over, ``0.0.0.0_<port>`` for HTTP,
``<address>_<port>`` for everything else, and what no listener knows goes through or into a black hole.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.envoy.capturedroutes import any_host_routes, port_routes
from meshlab.minicluster.mesh.envoy.clusters import goes_by_original_destination
from meshlab.minicluster.mesh.envoy.connections import connection_members
from meshlab.minicluster.mesh.envoy.filters import (
    FORWARD_PROXY,
    HTTP_INSPECTOR,
    PROXY_PROTOCOL,
    TLS_INSPECTOR,
    connection_manager,
    offering,
    tcp_proxy,
)
from meshlab.minicluster.mesh.envoy.routes import Listening, cluster_of, split_clusters
from meshlab.minicluster.mesh.envoy.telemetry import GATEWAY_CONNECTIONS, OUTBOUND_REQUESTS, TELL_PEER
from meshlab.minicluster.mesh.envoy.tls import ALPN_TCP
from meshlab.minicluster.mesh.envoy.virtualhosts import DEFAULT_PORT, MESH, RoutedPort
from meshlab.minicluster.mesh.envoy.vocabulary import (
    BLACK_HOLE,
    CAPTURED_PASSTHROUGH,
    HTTP_PROXY,
    HTTP_PROXY_PORT,
    ORIGINAL,
    VIRTUAL_OUTBOUND,
    cluster_name,
    lab_passthrough,
    socket_address,
)
from meshlab.minicluster.mesh.model import Protocol, ProxyNode
from meshlab.minicluster.mesh.routing import L4Route
from meshlab.minicluster.mesh.scope import SIDECAR_PORTS, Scope
from meshlab.minicluster.mesh.sidecars import EgressListener

ANY_ADDRESS = "0.0.0.0"
LOOPBACK = "127.0.0.1"
HTTP = ("http/1.1", "h2c")
"""What upstream's outbound listeners take for HTTP."""

Clusters = Sequence[tuple[str, int]]
Place = tuple[str, int]
"""Address and port of a listener."""


@dataclass(slots=True)
class _Draft:
    """A listener that is being put together."""

    bound: bool = False
    """Really bound: programs connect to it as it is."""
    route: str = ""
    """The route configuration of its requests; empty if it takes none."""
    proxy: bool = False
    """Whether programs use it as an HTTP proxy."""
    chains: list[Obj] = field(default_factory=list)
    sniffs_tls: bool = False
    rest: Sequence[Obj] = ()
    """The filters for connections that no chain matches."""
    taken: set[tuple[str, str]] = field(default_factory=set)
    """The (name, range of addresses) pairs that its chains match; Envoy refuses a second chain for one of them."""

    def add(self, chains: Iterable[Obj]) -> None:
        """Add chains, without what an earlier one matches already."""
        for chain in chains:
            match = chain.get("filter_chain_match", {})
            ranges = [f"{each['address_prefix']}/{each['prefix_len']}" for each in match.get("prefix_ranges", ())]
            names = list(dict.fromkeys(match.get("server_names", ())))
            wanted = [name for name in names or [""] if not any((name, each) in self.taken for each in ranges or [""])]
            self.taken |= {(name, each) for name in wanted for each in ranges or [""]}
            if wanted and names:
                self.chains.append({**chain, "filter_chain_match": {**match, "server_names": wanted}})
            elif wanted:
                self.chains.append(chain)


def captured_listeners(scope: Scope, routed: Sequence[RoutedPort], *, allocated: bool) -> dict[str, Obj]:
    """The listeners of captured connections, by name; of route tables only those for connections matter to them.

    Args:
        scope: what the clients see.
        routed: the ports that they may call.
        allocated: whether names resolve to addresses that the control plane gave to services without any.
    """
    drafts: dict[Place, _Draft] = {}
    for found in routed:
        number, protocol = found.port.number, found.port.protocol
        bound, addresses = _addresses(scope, found, allocated=allocated)
        if _by_port(found, addresses):
            draft = drafts.setdefault((ANY_ADDRESS, number), _Draft())
            draft.route = str(number)
            draft.rest = _unknown(scope)
            if bound is not None:
                drafts.setdefault((bound.bind, number), _Draft(True, str(number)))
        elif protocol is Protocol.AUTO:
            for address in addresses:
                drafts[address, number] = _Draft(bound is not None, found.name, rest=_tcp(scope, found, _plain(found)))
        else:
            _add_connections(drafts, scope, found, addresses, bound)
    for listener in scope.http_proxies:
        drafts[listener.bind, listener.port] = _Draft(True, HTTP_PROXY, proxy=True)
    return {_name(place): _listener(place, draft, scope) for place, draft in sorted(drafts.items())}


def captured_routes(
    scope: Scope, routed: Sequence[RoutedPort], moved: Container[int], *, allocated: bool
) -> dict[str, Obj]:
    """The route configurations of the HTTP among captured connections, by name.

    Args:
        scope: what the clients see.
        routed: the ports that they may call.
        moved: the nominal ports of the lab behind which another one is bound.
        allocated: as above.
    """
    requests: dict[int, list[RoutedPort]] = {}
    routes: dict[str, Obj] = {}
    for found in routed:
        if _by_port(found, _addresses(scope, found, allocated=allocated)[1]):
            requests.setdefault(found.port.number, []).append(found)
        elif found.port.protocol is Protocol.AUTO:
            routes[found.name] = any_host_routes(found)
    for number, group in requests.items():
        routes[str(number)] = port_routes(scope, number, group, moved=number in moved)
    return routes


def _addresses(scope: Scope, found: RoutedPort, *, allocated: bool) -> tuple[EgressListener | None, Sequence[str]]:
    """The listener to which programs connect by themselves, if there is one, and the addresses that mean the port."""
    bound = scope.bound_listener(found.service, found.port.number)
    if bound is not None:
        return bound, [bound.bind]
    return None, found.service.captured_addresses(allocated=allocated)


def _by_port(found: RoutedPort, addresses: Sequence[str]) -> bool:
    """Whether all requests to the port's number are told apart by their hosts alone."""
    protocol = found.port.protocol
    return protocol.is_http or (protocol is Protocol.AUTO and not addresses)


def _add_connections(
    drafts: dict[Place, _Draft],
    scope: Scope,
    found: RoutedPort,
    addresses: Sequence[str],
    bound: EgressListener | None,
) -> None:
    """Listeners for a port that carries no HTTP.

    Without an address only the name that a TLS client asks for tells services apart; of others the oldest has the
    port. A headless service has a listener for each of its pods, which clients call by their addresses.
    """
    tls = found.port.protocol in (Protocol.TLS, Protocol.HTTPS)
    if not addresses and found.service.kubernetes and not tls:
        for endpoint in found.port.endpoints:
            if endpoint.mesh_tls:
                draft = drafts.setdefault((endpoint.address, found.port.number), _Draft())
                draft.add([{"filters": _tcp(scope, found, _plain(found))}])
        return
    networks = () if addresses else found.service.networks
    for address in addresses or [ANY_ADDRESS]:
        draft = drafts.setdefault((address, found.port.number), _Draft(bound is not None))
        chains = _tls_chains(scope, found, by_name=not addresses) if tls else _tcp_chains(scope, found, networks)
        draft.add(chains)
        draft.sniffs_tls = draft.sniffs_tls or tls
        if tls and not addresses:
            draft.rest = _unknown(scope)


def listeners_for(proxy: ProxyNode, listeners: Mapping[str, Obj]) -> dict[str, Obj]:
    """The listeners as one proxy has them: what is bound for the pod's programs is bound where they are.

    There is none for the pod's own address, as the pod's connections to itself are not captured.
    """
    found: dict[str, Obj] = {}
    bound: set[int] = set(SIDECAR_PORTS)
    for name, listener in listeners.items():
        address = listener.get("address", {}).get("socket_address", {})
        port = address.get("port_value", 0)
        if address.get("address") == proxy.ip:
            continue
        if listener.get("bind_to_port") is not False and address.get("address") in (ANY_ADDRESS, LOOPBACK):
            if port not in bound:
                bound.add(port)
                found[name] = {**listener, "address": socket_address(proxy.hidden_ip, port)}
            continue
        found[name] = listener
    return found


def virtual_outbound(scope: Scope, proxy: ProxyNode, ports: Callable[[int], int], moved: Iterable[int]) -> Obj:
    """Where captured connections come in.

    Args:
        scope: what the proxy sees.
        proxy: whose programs connect.
        ports: the real port behind a nominal one.
        moved: the nominal ports of the lab behind which another one is bound.
    """
    chains = [
        {
            "name": f"{VIRTUAL_OUTBOUND}-blackhole",
            "filter_chain_match": {"destination_port": HTTP_PROXY_PORT},
            "filters": [tcp_proxy(BLACK_HOLE, scope.mesh.settings, [(BLACK_HOLE, 1)], ())],
        }
    ]
    if _unknown_cluster(scope) == CAPTURED_PASSTHROUGH:
        inside = {"prefix_ranges": [{"address_prefix": "127.0.0.0", "prefix_len": 8}]}
        for port in sorted({*moved} - {HTTP_PROXY_PORT}):
            match = {**inside, "destination_port": port}
            chains.append(_catch_all(scope, f"-lab-{port}", lab_passthrough(port), match))
        chains.append(_catch_all(scope, "-lab", lab_passthrough(0), inside))
    chains.append(_catch_all(scope, "", _unknown_cluster(scope), {}))
    return {
        "name": VIRTUAL_OUTBOUND,
        "address": socket_address(proxy.hidden_ip, ports(HTTP_PROXY_PORT)),
        "traffic_direction": "OUTBOUND",
        "enable_reuse_port": False,
        "use_original_dst": True,
        "listener_filters": [PROXY_PROTOCOL],
        "filter_chains": chains,
    }


def _catch_all(scope: Scope, suffix: str, cluster: str, match: Obj) -> Obj:
    filters = [tcp_proxy(cluster, scope.mesh.settings, [(cluster, 1)], GATEWAY_CONNECTIONS)]
    chain: Obj = {"name": f"{VIRTUAL_OUTBOUND}-catchall-tcp{suffix}", "filters": filters}
    return {**chain, "filter_chain_match": match} if match else chain


def _listener(place: Place, draft: _Draft, scope: Scope) -> Obj:
    address, number = place
    settings = scope.mesh.settings
    chains = list(draft.chains)
    if draft.route:
        manager = connection_manager(
            f"outbound_{address}_{number}",
            settings,
            route_config_name=draft.route,
            filters=[TELL_PEER, FORWARD_PROXY],
            telemetry=OUTBOUND_REQUESTS,
            members={},
        )
        match = {} if draft.proxy else {"transport_protocol": "raw_buffer", "application_protocols": list(HTTP)}
        chains.append({"filters": [manager], **({"filter_chain_match": match} if match else {})})
    listener: Obj = {
        "name": _name(place),
        "address": _address(address, number),
        "traffic_direction": "OUTBOUND",
        "filter_chains": chains,
    }
    if draft.rest and all("filter_chain_match" in chain for chain in chains):
        listener["default_filter_chain"] = {"name": "PassthroughFilterChain", "filters": list(draft.rest)}
    inspectors = [TLS_INSPECTOR] if draft.sniffs_tls or (draft.route and not draft.proxy) else []
    if draft.route and not draft.proxy:
        inspectors.append(HTTP_INSPECTOR)
    if inspectors:
        # As upstream: a server that speaks first is waited for in vain on a port whose protocol must be guessed.
        listener |= {"listener_filters": inspectors, "listener_filters_timeout": "0s"}
        listener["continue_on_listener_filters_timeout"] = True
    if not draft.bound:
        listener["bind_to_port"] = False
    return listener


def _address(address: str, number: int) -> Obj:
    if address.startswith("unix://"):
        return {"pipe": {"path": address.removeprefix("unix://")}}
    return socket_address(address, number)


def _name(place: Place) -> str:
    return f"{place[0]}_{place[1]}"


def _tls_chains(scope: Scope, found: RoutedPort, *, by_name: bool) -> Iterator[Obj]:
    """A chain per name that routes tell apart, else one for the service.

    Args:
        scope: what the clients see.
        found: the port.
        by_name: whether the service has no address by which its connections are known.
    """
    routed = False
    for route in found.table.tls if found.table is not None else ():
        for match in route.matches:
            if scope.source_matches(match, MESH, found.port.number):
                routed = True
                yield _chain(scope, found, route, match.sni_hosts, match.destination_subnets)
    if not routed:
        match_host = [found.service.host] if by_name and found.service.host != "*" else []
        yield _matched({"filters": _tcp(scope, found, _plain(found))}, match_host, ())


def _tcp_chains(scope: Scope, found: RoutedPort, networks: Sequence[str]) -> Iterator[Obj]:
    """A chain per range of addresses that routes tell apart, then one for every connection.

    Args:
        scope: what the clients see.
        found: the port.
        networks: the ranges of addresses by which connections are known to be for the service; none: any.
    """
    for route in found.table.tcp if found.table is not None else ():
        if not route.matches:
            yield _chain(scope, found, route, (), networks)
            return
        for match in route.matches:
            if scope.source_matches(match, MESH, found.port.number):
                yield _chain(scope, found, route, (), match.destination_subnets or networks)
                if not match.destination_subnets:
                    return
    yield _matched({"filters": _tcp(scope, found, _plain(found))}, (), networks)


def _chain(scope: Scope, found: RoutedPort, route: L4Route, names: Sequence[str], subnets: Sequence[str]) -> Obj:
    clusters = split_clusters(route.splits, Listening(scope, MESH, found.port.number))
    return _matched({"filters": _tcp(scope, found, clusters)}, names, subnets)


def _matched(chain: Obj, names: Sequence[str], subnets: Sequence[str]) -> Obj:
    match: Obj = {}
    if names and "*" not in names:
        match["server_names"] = list(names)
    if subnets:
        match["prefix_ranges"] = [_range(subnet) for subnet in dict.fromkeys(subnets)]
    return {**chain, "filter_chain_match": match} if match else chain


def _range(subnet: str) -> Obj:
    network = ipaddress.ip_network(subnet, strict=False)
    return {"address_prefix": str(network.network_address), "prefix_len": network.prefixlen}


def _plain(found: RoutedPort) -> Clusters:
    return [(cluster_name("outbound", found.port.number, "", found.service.host), 1)]


def _tcp(scope: Scope, found: RoutedPort, clusters: Clusters) -> list[Obj]:
    """The filters of connections to a service."""
    name = clusters[0][0] if len(clusters) == 1 else _plain(found)[0][0]
    members = connection_members(scope, clusters)
    clusters = [(_to_original(scope, cluster), weight) for cluster, weight in clusters]
    proxy = tcp_proxy(name, scope.mesh.settings, clusters, GATEWAY_CONNECTIONS, **members)
    # The clusters of ports without a declared protocol offer HTTP, which this is not.
    return [offering(ALPN_TCP), proxy] if found.port.protocol is Protocol.AUTO else [proxy]


def _to_original(scope: Scope, cluster: str) -> str:
    """The cluster, or the one that takes connections where they were going if its service has no addresses."""
    service = scope.services.get(cluster.rpartition("|")[2])
    if service is None or not goes_by_original_destination(service):
        return cluster
    return f"{ORIGINAL}|{cluster.partition('|')[2]}"


def _unknown(scope: Scope) -> list[Obj]:
    cluster = _unknown_cluster(scope)
    return [tcp_proxy(cluster, scope.mesh.settings, [(cluster, 1)], GATEWAY_CONNECTIONS)]


def _unknown_cluster(scope: Scope) -> str:
    """Where connections to unknown destinations go."""
    if not scope.allow_unknown_hosts:
        return BLACK_HOLE
    if scope.sidecar is not None and scope.sidecar.egress_proxy is not None:
        return cluster_of(scope.sidecar.egress_proxy, Listening(scope, MESH, DEFAULT_PORT))
    return CAPTURED_PASSTHROUGH
