"""A sidecar's listeners: the HTTP proxy its programs use, and one per port on which the pod receives.

Istio's sidecars have one virtualInbound listener, which needs redirected connections. Here each port is really bound
at the pod's address, so every inbound port is a listener of its own, ``inbound_0.0.0.0_<port>``, with the filter chains
that virtualInbound would have for that port.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.envoy.filters import (
    CONNECT,
    FILTER_STATE,
    FORWARD_PROXY,
    HTTP_INSPECTOR,
    SERVER_NAME,
    TLS_INSPECTOR,
    WEBSOCKET,
    connection_manager,
    tcp_proxy,
)
from meshlab.minicluster.mesh.envoy.telemetry import (
    INBOUND_CONNECTIONS,
    INBOUND_REQUESTS,
    OUTBOUND_REQUESTS,
    PROXIED_REQUESTS,
    TAKE_PEER,
    TELL_PEER,
)
from meshlab.minicluster.mesh.envoy.tls import MESH_ALPN, MESH_HTTP_ALPN, MESH_TCP_ALPN, mesh_server
from meshlab.minicluster.mesh.envoy.vocabulary import (
    BLACK_HOLE,
    BLACK_HOLE_TUNNEL,
    HTTP_PROXY,
    HTTP_PROXY_PORT,
    TUNNEL,
    cluster_name,
    socket_address,
)
from meshlab.minicluster.mesh.model import MtlsMode, Protocol, ProxyNode, Settings
from meshlab.minicluster.mesh.scope import InboundPort

VIRTUAL_INBOUND_PORT = 15006
PLAIN_HTTP = ("http/1.0", "http/1.1", "h2c")
"""What Envoy's HTTP inspector recognises."""

RETRY_INBOUND: Obj = {"retry_on": "reset-before-request", "num_retries": 2}
"""The program may close an idle connection just as the sidecar uses it again."""

CERTIFICATE_HEADER: Obj = {
    "forward_client_cert_details": "APPEND_FORWARD",
    "set_current_client_cert_details": {"subject": True, "dns": True, "uri": True},
}
"""XFCC as Istio writes it: ``By=...;Hash=...;Subject="";URI=...``. Without a client certificate Envoy removes it."""


def outbound_listeners(proxy: ProxyNode, settings: Settings, ports: Callable[[int], int]) -> list[Obj]:
    """The HTTP proxy at 15001, and the internal listener that unpacks HTTP out of its tunnels."""
    proxied = connection_manager(
        "outbound_http_proxy",
        settings,
        route_config_name=HTTP_PROXY,
        filters=[TELL_PEER, FILTER_STATE, FORWARD_PROXY],
        upgrades=[WEBSOCKET, CONNECT],
        telemetry=PROXIED_REQUESTS,
        members={},
    )
    unpacked = connection_manager(
        "outbound_http_proxy_tunnel",
        settings,
        route_config_name=HTTP_PROXY,
        filters=[TELL_PEER, FORWARD_PROXY],
        telemetry=OUTBOUND_REQUESTS,
        members={},
    )
    return [
        {
            "name": HTTP_PROXY,
            "address": socket_address(proxy.ip, ports(HTTP_PROXY_PORT)),
            "traffic_direction": "OUTBOUND",
            # Two Envoys would share a port in silence; without this the second one says that it is taken.
            "enable_reuse_port": False,
            "filter_chains": [{"filters": [proxied]}],
        },
        {
            "name": TUNNEL,
            "internal_listener": {},
            "traffic_direction": "OUTBOUND",
            "filter_chains": [{"filters": [unpacked]}],
        },
        {
            "name": BLACK_HOLE_TUNNEL,
            "internal_listener": {},
            "traffic_direction": "OUTBOUND",
            # It waits for the client's first bytes; closed sooner, the tunnel would be refused and not opened.
            "listener_filters": [TLS_INSPECTOR],
            "filter_chains": [{"filters": [tcp_proxy(BLACK_HOLE, settings, [(BLACK_HOLE, 1)], ())]}],
        },
    ]


def virtual_inbound(proxy: ProxyNode, settings: Settings, ports: Callable[[int], int]) -> Obj:
    """Port 15006. Nothing is redirected to it here; whoever connects to it is turned away, as upstream."""
    blocked = tcp_proxy(BLACK_HOLE, settings, [(BLACK_HOLE, 1)], ())
    return {
        "name": "virtualInbound",
        "address": socket_address(proxy.ip, ports(VIRTUAL_INBOUND_PORT)),
        "traffic_direction": "INBOUND",
        "enable_reuse_port": False,
        "filter_chains": [{"name": "virtualInbound-blackhole", "filters": [blocked]}],
    }


def inbound_listener(
    proxy: ProxyNode,
    inbound: InboundPort,
    settings: Settings,
    ports: Callable[[int], int],
) -> Obj:
    """The listener of one of the pod's ports, without policies."""
    inspectors, chains = _chains(inbound, settings)
    listener: Obj = {
        "name": f"inbound_0.0.0.0_{inbound.port}",
        "address": socket_address(proxy.ip, ports(inbound.port)),
        "traffic_direction": "INBOUND",
        "enable_reuse_port": False,
        "filter_chains": [{"name": f"0.0.0.0_{inbound.port}", **chain} for chain in chains],
    }
    if inspectors:
        listener["listener_filters"] = inspectors
        listener["listener_filters_timeout"] = "0s"
    return listener


def _chains(inbound: InboundPort, settings: Settings) -> tuple[list[Obj], list[Obj]]:
    """Listener filters and filter chains for the port's protocol and mTLS mode, as upstream combines them."""
    if not inbound.captured:
        name = cluster_name("inbound", inbound.port, "", "")
        return [], [{"filters": [tcp_proxy(name, settings, [(name, 1)], ())]}]
    http = [_http(inbound, settings)]
    tcp = [_tcp(inbound, settings)]
    aliases, minimum = settings.trust_domain_aliases, settings.mesh_tls_minimum
    http_tls = mesh_server(settings.trust_domain, aliases=aliases, minimum=minimum)
    tcp_tls = mesh_server(settings.trust_domain, (), aliases, minimum)
    mode = inbound.mtls
    if inbound.protocol.is_http:
        if mode is MtlsMode.DISABLE:
            return [], [{"filters": http}]
        if mode is MtlsMode.STRICT:
            return [TLS_INSPECTOR], [_chain(http, "tls", (), http_tls)]
        return [TLS_INSPECTOR], [_chain(http, "tls", MESH_ALPN, http_tls), _chain(http, "raw_buffer")]
    if inbound.protocol is Protocol.AUTO:
        if mode is MtlsMode.DISABLE:
            return [TLS_INSPECTOR, HTTP_INSPECTOR], [_chain(http, "raw_buffer", PLAIN_HTTP), {"filters": tcp}]
        if mode is MtlsMode.STRICT:
            return [TLS_INSPECTOR], [_chain(http, "tls", MESH_HTTP_ALPN, http_tls), _chain(tcp, "tls", (), tcp_tls)]
        return [TLS_INSPECTOR, HTTP_INSPECTOR], [
            _chain(http, "tls", MESH_HTTP_ALPN, http_tls),
            _chain(http, "raw_buffer", PLAIN_HTTP),
            _chain(tcp, "tls", MESH_TCP_ALPN, tcp_tls),
            _chain(tcp, "raw_buffer"),
            _chain(tcp, "tls"),
        ]
    if mode is MtlsMode.DISABLE:
        return [], [{"filters": tcp}]
    if mode is MtlsMode.STRICT:
        return [TLS_INSPECTOR], [_chain(tcp, "tls", (), tcp_tls)]
    return [TLS_INSPECTOR], [_chain(tcp, "tls", MESH_TCP_ALPN, tcp_tls), _chain(tcp, "raw_buffer"), _chain(tcp, "tls")]


def _chain(filters: Sequence[Obj], transport: str, alpn: Sequence[str] = (), socket: Obj | None = None) -> Obj:
    match: Obj = {"transport_protocol": transport}
    if alpn:
        match["application_protocols"] = list(alpn)
    chain: Obj = {"filter_chain_match": match, "filters": list(filters)}
    if socket is not None:
        chain["transport_socket"] = socket
    return chain


def _http(inbound: InboundPort, settings: Settings) -> Obj:
    return connection_manager(
        f"inbound_0.0.0.0_{inbound.port}",
        settings,
        route_config_name=cluster_name("inbound", inbound.port, "", ""),
        filters=[TAKE_PEER],
        telemetry=INBOUND_REQUESTS,
        members={"server_name": SERVER_NAME, **CERTIFICATE_HEADER},
    )


def _tcp(inbound: InboundPort, settings: Settings) -> Obj:
    name = cluster_name("inbound", inbound.port, "", "")
    return tcp_proxy(name, settings, [(name, 1)], INBOUND_CONNECTIONS)


def inbound_routes(inbound: InboundPort) -> Obj:
    """The route configuration of one of the pod's ports."""
    name = cluster_name("inbound", inbound.port, "", "")
    action: Obj = {"cluster": name, "timeout": "0s"}
    if inbound.protocol is not Protocol.GRPC:
        action["retry_policy"] = RETRY_INBOUND
    host = inbound.services[0][0] if inbound.services else ""
    route: Obj = {"name": "default", "match": {"prefix": "/"}, "route": action}
    if host:
        route["decorator"] = {"operation": f"{host}:{inbound.service_port}/*"}
    virtual_host: Obj = {"name": f"inbound|http|{inbound.service_port}", "domains": ["*"], "routes": [route]}
    return {"name": name, "validate_clusters": False, "virtual_hosts": [virtual_host]}
