"""AUTO_PASSTHROUGH: a gateway that sends mesh traffic on by the server name that Istio's sidecars give it.

The name ``outbound_.80_.v1_.host`` says port, subset and service. A chain per service port lets nothing in that does
not offer Istio's protocols, so plain clients get no further; the TLS of the sidecars is not ended here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.envoy.connection import traffic_members
from meshlab.minicluster.mesh.envoy.filters import tcp_proxy
from meshlab.minicluster.mesh.envoy.telemetry import GATEWAY_CONNECTIONS
from meshlab.minicluster.mesh.envoy.tls import MESH_ALPN
from meshlab.minicluster.mesh.envoy.vocabulary import ADS, cluster_name, sni_name
from meshlab.minicluster.mesh.hostnames import host_matches
from meshlab.minicluster.mesh.model import Protocol, Resolution, Service
from meshlab.minicluster.mesh.scope import Scope


def auto_passthrough_chains(patterns: Sequence[str], scope: Scope) -> Iterator[Obj]:
    """A filter chain for each service port, and for each of its subsets, that a host pattern of the server covers."""
    for service, port, subset in _reachable(patterns, scope):
        name = sni_name(port, subset, service.host)
        yield {
            "filter_chain_match": {"server_names": [name], "application_protocols": list(MESH_ALPN)},
            "filters": [tcp_proxy(name, scope.mesh.settings, [(name, 1)], GATEWAY_CONNECTIONS)],
        }


def auto_passthrough_clusters(patterns: Sequence[str], scope: Scope) -> Iterator[Obj]:
    """The clusters behind those chains: the endpoints of the ordinary ones, without TLS of the gateway's own."""
    for service, port, subset in _reachable(patterns, scope):
        traffic = scope.traffic_policy(service.host, service.namespace, port, subset)
        yield {
            "name": sni_name(port, subset, service.host),
            "type": "EDS",
            "eds_cluster_config": {
                "eds_config": ADS,
                "service_name": cluster_name("outbound", port, subset, service.host),
            },
            **traffic_members(traffic, service, scope.mesh.settings),
        }


def _reachable(patterns: Sequence[str], scope: Scope) -> Iterator[tuple[Service, int, str]]:
    for service in scope.services.values():
        if service.mesh_external or service.resolution is not Resolution.ENDPOINTS:
            continue
        if not any(host_matches(pattern, service.host) for pattern in patterns):
            continue
        policy = scope.service_policy(service.host, service.namespace)
        for port in service.ports:
            if port.protocol is not Protocol.UDP:
                for subset in ("", *(s.name for s in (policy.subsets if policy is not None else ()))):
                    yield service, port.number, subset
