"""Network and HTTP filters: the connection manager as Istio sets it up, TCP proxies, listener filters."""

from __future__ import annotations

from collections.abc import Sequence

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.envoy.filelogs import access_logs
from meshlab.minicluster.mesh.envoy.vocabulary import ADS, any_of, extension
from meshlab.minicluster.mesh.model import Settings

HTTP = "envoy.extensions.filters.http."
NETWORK = "envoy.extensions.filters.network."
LISTENER_FILTERS = "envoy.extensions.filters.listener."

CONNECTION_MANAGER = "envoy.filters.network.http_connection_manager"
TCP_PROXY = "envoy.filters.network.tcp_proxy"
CORS_FILTER = "envoy.filters.http.cors"
FAULT_FILTER = "envoy.filters.http.fault"
FILTER_STATE_FILTER = "envoy.filters.http.set_filter_state"
FORWARD_PROXY_FILTER = "envoy.filters.http.dynamic_forward_proxy"

SERVER_NAME = "istio-envoy"

DNS_CACHE: Obj = {
    "name": "dynamic_forward_proxy",
    "dns_lookup_family": "V4_ONLY",
    "host_ttl": "60s",
    "dns_query_timeout": "5s",
}
"""Shared by the forward-proxy filter and its clusters: Envoy wants the very same settings in both."""

CORS: Obj = extension(CORS_FILTER, HTTP + "cors.v3.Cors")
FAULT: Obj = extension(FAULT_FILTER, HTTP + "fault.v3.HTTPFault")
FORWARD_PROXY: Obj = extension(
    FORWARD_PROXY_FILTER, HTTP + "dynamic_forward_proxy.v3.FilterConfig", dns_cache_config=DNS_CACHE
)
FILTER_STATE: Obj = extension(FILTER_STATE_FILTER, HTTP + "set_filter_state.v3.Config")
ROUTER: Obj = extension("envoy.filters.http.router", HTTP + "router.v3.Router")

TLS_INSPECTOR: Obj = extension(
    "envoy.filters.listener.tls_inspector", LISTENER_FILTERS + "tls_inspector.v3.TlsInspector"
)
PROXY_PROTOCOL: Obj = extension(
    "envoy.filters.listener.proxy_protocol", LISTENER_FILTERS + "proxy_protocol.v3.ProxyProtocol"
)
HTTP_INSPECTOR: Obj = extension(
    "envoy.filters.listener.http_inspector", LISTENER_FILTERS + "http_inspector.v3.HttpInspector"
)

WEBSOCKET: Obj = {"upgrade_type": "websocket"}
CONNECT: Obj = {"upgrade_type": "CONNECT"}


def connection_manager(
    stat_prefix: str,
    settings: Settings,
    *,
    route_config_name: str = "",
    filters: Sequence[Obj] = (),
    upgrades: Sequence[Obj] = (WEBSOCKET,),
    telemetry: Sequence[Obj] = (),
    members: Obj,
) -> Obj:
    """An HTTP connection manager whose routes come by RDS.

    Args:
        stat_prefix: the name of its statistics.
        settings: the mesh's settings (access logs).
        telemetry: loggers that count requests (`telemetry`).
        route_config_name: its route configuration.
        filters: HTTP filters before CORS, fault and router, which are always there: routes configure them.
        upgrades: connection upgrades that are let through.
        members: what differs between inbound, outbound and gateway.
    """
    return extension(
        CONNECTION_MANAGER,
        NETWORK + "http_connection_manager.v3.HttpConnectionManager",
        stat_prefix=stat_prefix,
        rds={"route_config_name": route_config_name, "config_source": ADS},
        http_filters=[*filters, FAULT, CORS, ROUTER],
        upgrade_configs=list(upgrades),
        access_log=[*access_logs(settings), *telemetry],
        normalize_path=True,
        stream_idle_timeout="0s",
        **{"http_protocol_options": {"accept_http_10": True}, **members},
    )


def tcp_proxy(
    stat_prefix: str,
    settings: Settings,
    clusters: Sequence[tuple[str, int]],
    telemetry: Sequence[Obj],
    **members: object,
) -> Obj:
    """A TCP proxy to one cluster, or to several by weight; ``members`` are what a policy says of its connections."""
    target: Obj
    if len(clusters) == 1:
        target = {"cluster": clusters[0][0]}
    else:
        target = {"weighted_clusters": {"clusters": [{"name": name, "weight": weight} for name, weight in clusters]}}
    return extension(
        TCP_PROXY,
        NETWORK + "tcp_proxy.v3.TcpProxy",
        stat_prefix=stat_prefix,
        access_log=[*access_logs(settings), *telemetry],
        **target,
        **members,
    )


def forward_proxy_host(authority: str) -> Obj:
    """Per-route settings of the forward-proxy filter: dial another address than the request names."""
    return any_of(HTTP + "dynamic_forward_proxy.v3.PerRouteConfig", host_rewrite_literal=authority)


def offered_protocols(alpn: Sequence[str]) -> Obj:
    """Per-route settings of the filter-state filter: offer these protocols upstream instead of the cluster's."""
    return any_of(HTTP + "set_filter_state.v3.Config", on_request_headers=[_offer(alpn)])


def offering(alpn: Sequence[str]) -> Obj:
    """A network filter that does the same for a connection."""
    return extension(
        "envoy.filters.network.set_filter_state",
        NETWORK + "set_filter_state.v3.Config",
        on_new_connection=[_offer(alpn)],
    )


def _offer(alpn: Sequence[str]) -> Obj:
    return {
        "object_key": "envoy.network.application_protocols",
        "format_string": {"text_format_source": {"inline_string": ",".join(alpn)}},
        "shared_with_upstream": "ONCE",
    }
