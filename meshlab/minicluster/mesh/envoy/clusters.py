"""Clusters: one per service port and subset on the outbound side, the fixed ones, and those of the pod's own ports."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.envoy.connection import pool_members, protocol_members, speaks_http2, traffic_members
from meshlab.minicluster.mesh.envoy.filters import DNS_CACHE
from meshlab.minicluster.mesh.envoy.telemetry import service_metadata
from meshlab.minicluster.mesh.envoy.tls import (
    ALPN_HTTP1,
    ALPN_HTTP2,
    ALPN_TCP,
    announced,
    auto_mtls_matches,
    client_socket,
)
from meshlab.minicluster.mesh.envoy.vocabulary import (
    ADS,
    BLACK_HOLE,
    BLACK_HOLE_TUNNEL,
    CAPTURED_PASSTHROUGH,
    INBOUND_PASSTHROUGH,
    LAB_PASSTHROUGH,
    ORIGINAL,
    PASSTHROUGH,
    TUNNEL,
    any_of,
    cluster_name,
    config_path,
    internal_cluster,
    istio_metadata,
    lab_passthrough,
    sni_name,
    socket_address,
)
from meshlab.minicluster.mesh.model import (
    MtlsMode,
    Protocol,
    ProxyNode,
    Resolution,
    Service,
    ServicePort,
    Settings,
    spiffe_id,
)
from meshlab.minicluster.mesh.policy import ConnectionPool, ServicePolicy, TrafficPolicy
from meshlab.minicluster.mesh.scope import InboundPort, Scope

Ports = Callable[[int], int]
"""The real port behind a nominal one."""

ANY_SOURCE: Obj = {"source_address": {"address": "0.0.0.0", "port_value": 0}}
"""Overrides the bootstrap's binding to the pod's address: that one is loopback and cannot leave the host."""

SIDECAR_SOURCE: Obj = {"source_address": {"address": "127.0.0.6", "port_value": 0}}
"""The address from which Istio's sidecars call their application."""


def outbound_clusters(scope: Scope, ports: Ports) -> dict[str, Obj]:
    """The clusters for everything a client in that scope may call."""
    found: dict[str, Obj] = {}
    for service in scope.services.values():
        policy = scope.service_policy(service.host, service.namespace)
        for port in service.ports:
            if port.protocol is Protocol.UDP:
                continue
            for subset in ("", *(s.name for s in (policy.subsets if policy is not None else ()))):
                cluster = outbound_cluster(scope, service, port, subset, policy, ports)
                found[cluster["name"]] = cluster
                if goes_by_original_destination(service) and not port.protocol.is_http:
                    original = _by_original_destination(
                        cluster, cluster_name(ORIGINAL, port.number, subset, service.host)
                    )
                    found[original["name"]] = original
    return found


def goes_by_original_destination(service: Service) -> bool:
    """Whether captured connections to a service are for the address that the client chose, and no other."""
    headless = service.kubernetes and not service.addresses and service.resolution is Resolution.ENDPOINTS
    return headless or service.resolution is Resolution.NONE


def _by_original_destination(cluster: Obj, name: str) -> Obj:
    """The same cluster for captured connections, which go where they were going; otherwise it chooses by itself.

    There are no endpoints that could say whether they speak mutual TLS; as upstream, it is used if it may be.
    """
    members = {key: value for key, value in cluster.items() if key not in ("cluster_type", "eds_cluster_config")}
    for other in ("ring_hash_lb_config", "maglev_lb_config", "least_request_lb_config", "round_robin_lb_config"):
        members.pop(other, None)
    matches = members.pop("transport_socket_matches", None)
    if matches:
        members["transport_socket"] = matches[0]["transport_socket"]
    return {**members, "name": name, "type": "ORIGINAL_DST", "lb_policy": "CLUSTER_PROVIDED"}


def outbound_cluster(
    scope: Scope, service: Service, port: ServicePort, subset: str, policy: ServicePolicy | None, ports: Ports
) -> Obj:
    """The cluster for one port of a service, or for a subset of it."""
    settings = scope.mesh.settings
    name = cluster_name("outbound", port.number, subset, service.host)
    traffic = scope.traffic_policy(service.host, service.namespace, port.number, subset)
    metadata: Obj = {
        "services": [{"host": service.host, "name": service.name, "namespace": service.namespace}],
        "default_original_port": port.number,
    }
    if policy is not None:
        metadata["config"] = config_path(policy.ref)
    if subset:
        metadata["subset"] = subset
    cluster: Obj = {
        "name": name,
        **_discovery(name, service, port, ports),
        **traffic_members(traffic, service, settings),
        **announced(_tls(scope, service, port, subset, traffic), traffic.proxy_protocol),
        "metadata": istio_metadata(service_metadata(service.host, service.name, service.namespace), **metadata),
    }
    if port.protocol.is_http or port.protocol is Protocol.AUTO:
        cluster |= protocol_members(port.protocol, traffic.connection_pool, settings)
    if cluster.get("cluster_type"):
        # The forward proxy balances by itself.
        cluster["lb_policy"] = "CLUSTER_PROVIDED"
        for other in ("ring_hash_lb_config", "maglev_lb_config", "least_request_lb_config", "round_robin_lb_config"):
            cluster.pop(other, None)
    return cluster


def _discovery(name: str, service: Service, port: ServicePort, ports: Ports) -> Obj:
    if service.resolution is Resolution.ENDPOINTS:
        members: Obj = {"type": "EDS", "eds_cluster_config": {"eds_config": ADS, "service_name": name}}
        if service.mesh_external and not all(e.address.startswith("127.") for e in port.endpoints):
            members["upstream_bind_config"] = ANY_SOURCE
        return members
    if service.resolution is Resolution.NONE:
        return {**_forward_proxy_type(), "upstream_bind_config": ANY_SOURCE}
    return {
        "type": "LOGICAL_DNS" if service.one_address else "STRICT_DNS",
        "dns_lookup_family": "V4_ONLY",
        "upstream_bind_config": ANY_SOURCE,
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [
                {
                    "lb_endpoints": [
                        {
                            "endpoint": {"address": socket_address(e.address, e.port)},
                            "load_balancing_weight": e.weight,
                        }
                        for e in (port.endpoints[:1] if service.one_address else port.endpoints)
                    ]
                }
            ],
        },
    }


def _forward_proxy_type() -> Obj:
    return {
        "cluster_type": {
            "name": "envoy.clusters.dynamic_forward_proxy",
            "typed_config": any_of(
                "envoy.extensions.clusters.dynamic_forward_proxy.v3.ClusterConfig",
                dns_cache_config=DNS_CACHE,
                # Without this Envoy wants automatic SNI checks, which a plain-text cluster has no use for.
                allow_insecure_cluster_options=True,
            ),
        }
    }


def _tls(scope: Scope, service: Service, port: ServicePort, subset: str, traffic: TrafficPolicy) -> Obj:
    """The transport socket: what the policy says, else automatic mutual TLS towards sidecars."""
    settings = scope.mesh.settings
    sni = sni_name(port.number, subset, service.host)
    sans = [
        *service.subject_alt_names,
        *(spiffe_id(settings.trust_domain, *identity) for identity in service.identities()),
    ]
    if port.protocol.is_http or port.protocol is Protocol.AUTO:
        http2 = speaks_http2(port.protocol, traffic.connection_pool, settings)
        alpn: tuple[str, ...] = ALPN_HTTP2 if http2 else ALPN_HTTP1
    else:
        alpn = ALPN_TCP
    if traffic.tls is not None:
        socket = client_socket(traffic.tls, service.host, sni, sans, alpn)
        return {"transport_socket": socket} if socket is not None else {}
    if not settings.auto_mtls or service.mesh_external or service.resolution is not Resolution.ENDPOINTS:
        return {}
    if scope.mesh.mtls_mode(service.namespace, {}, None) is MtlsMode.DISABLE:
        return {}
    return {"transport_socket_matches": auto_mtls_matches(sni, sans, alpn)}


def fixed_clusters() -> Iterator[Obj]:
    """The clusters that every sidecar has."""
    yield {"name": BLACK_HOLE, "type": "STATIC", "connect_timeout": "10s"}
    yield {
        "name": INBOUND_PASSTHROUGH,
        "type": "ORIGINAL_DST",
        "lb_policy": "CLUSTER_PROVIDED",
        "connect_timeout": "10s",
        "upstream_bind_config": SIDECAR_SOURCE,
    }
    forward: Obj = {"connect_timeout": "10s", "lb_policy": "CLUSTER_PROVIDED", **_forward_proxy_type()}
    yield {"name": PASSTHROUGH, **forward, "upstream_bind_config": ANY_SOURCE}
    yield {"name": LAB_PASSTHROUGH, **forward}
    yield internal_cluster(TUNNEL)
    yield internal_cluster(BLACK_HOLE_TUNNEL)


def passthrough_clusters(moved: Iterable[int], ports: Ports) -> Iterator[Obj]:
    """The clusters of captured connections to unknown destinations.

    Args:
        moved: the nominal ports behind which another one is really bound.
        ports: the real port behind a nominal one.
    """
    original: Obj = {
        "connect_timeout": "10s",
        "type": "ORIGINAL_DST",
        "lb_policy": "CLUSTER_PROVIDED",
        "metadata": {"filter_metadata": service_metadata(PASSTHROUGH, PASSTHROUGH, "unknown")},
    }
    yield {"name": CAPTURED_PASSTHROUGH, **original, "upstream_bind_config": ANY_SOURCE}
    yield {"name": lab_passthrough(0), **original}
    for port in moved:
        override = {"upstream_port_override": ports(port)}
        yield {"name": lab_passthrough(port), **original, "original_dst_lb_config": override}


def inbound_cluster(proxy: ProxyNode, inbound: InboundPort, settings: Settings, ports: Ports) -> Obj:
    """The cluster of one of the pod's own ports: the program behind the sidecar."""
    name = cluster_name("inbound", inbound.port, "", "")
    services = [
        {"host": host, "name": host.split(".", 1)[0], "namespace": proxy.namespace} for host, _ in inbound.services
    ]
    program = (
        {"pipe": {"path": inbound.app_path}}
        if inbound.app_path
        else socket_address(proxy.hidden_ip, ports(inbound.app_port or inbound.port))
    )
    pool = inbound.pool or ConnectionPool()
    cluster: Obj = {
        "name": name,
        "type": "STATIC",
        **pool_members(pool, settings),
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": program}}]}],
        },
        "metadata": istio_metadata(service_metadata(**services[0]) if services else {}, services=services),
    }
    if inbound.protocol.is_http or inbound.protocol is Protocol.AUTO:
        cluster |= protocol_members(inbound.protocol, replace(pool, use_client_protocol=True), settings)
    if not inbound.app_path:
        cluster["upstream_bind_config"] = SIDECAR_SOURCE
    return cluster
