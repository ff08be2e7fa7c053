"""Endpoints: the addresses behind each EDS cluster, with what a client must know of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.envoy.connection import locality_policy
from meshlab.minicluster.mesh.envoy.localities import Client, groups
from meshlab.minicluster.mesh.envoy.vocabulary import cluster_name, socket_address
from meshlab.minicluster.mesh.model import Endpoint, Locality, Mesh, MtlsMode, Protocol, Resolution, Service, matches
from meshlab.minicluster.mesh.policy import TrafficPolicy
from meshlab.minicluster.mesh.scope import Scope
from meshlab.minicluster.mesh.telemetry import METADATA, PEER_KEY, Peer

LOOPBACK = "127.0.0.1"


def load_assignments(scope: Scope, locality: Locality, ports: Callable[[int], int]) -> dict[str, Obj]:
    """A ClusterLoadAssignment for every EDS cluster of the scope.

    Args:
        scope: what the client sees.
        locality: where the client runs; it counts where a policy ranks endpoints by place.
        ports: the real port behind a nominal one.
    """
    found: dict[str, Obj] = {}
    known: dict[int, Obj] = {}
    client = Client(locality, scope.labels)
    for service in scope.services.values():
        if service.resolution is not Resolution.ENDPOINTS:
            continue
        policy = scope.service_policy(service.host, service.namespace)
        for port in service.ports:
            if port.protocol is Protocol.UDP:
                continue
            subsets = [("", {}), *((s.name, s.labels) for s in (policy.subsets if policy is not None else ()))]
            for subset, labels in subsets:
                chosen = [e for e in port.endpoints if matches(labels, e.labels)]
                traffic = scope.traffic_policy(service.host, service.namespace, port.number, subset)
                name = cluster_name("outbound", port.number, subset, service.host)
                found[name] = {
                    "cluster_name": name,
                    "endpoints": _by_locality(scope, service, chosen, traffic, client, ports, known),
                }
    return found


def own_loopback(assignments: Mapping[str, Obj], address: str) -> dict[str, Obj]:
    """The assignments for one proxy: ``127.0.0.1`` in a ServiceEntry is a program beside it, in its own pod.

    Args:
        assignments: what proxies have in common.
        address: where the programs of the proxy's pod listen.
    """
    found = dict(assignments)
    for name, assignment in assignments.items():
        if any(_is_loopback(item) for group in assignment["endpoints"] for item in group["lb_endpoints"]):
            groups = [
                {**group, "lb_endpoints": [_moved(item, address) for item in group["lb_endpoints"]]}
                for group in assignment["endpoints"]
            ]
            found[name] = {**assignment, "endpoints": groups}
    return found


def _is_loopback(item: Obj) -> bool:
    return bool(item["endpoint"]["address"]["socket_address"]["address"] == LOOPBACK)


def _moved(item: Obj, address: str) -> Obj:
    if not _is_loopback(item):
        return item
    port = item["endpoint"]["address"]["socket_address"]["port_value"]
    return {**item, "endpoint": {**item["endpoint"], "address": socket_address(address, port)}}


def _by_locality(
    scope: Scope,
    service: Service,
    endpoints: Sequence[Endpoint],
    traffic: TrafficPolicy,
    client: Client,
    ports: Callable[[int], int],
    known: dict[int, Obj],
) -> list[Obj]:
    policy = locality_policy(traffic, service, scope.mesh.settings)
    failover = traffic.outlier_detection is not None or bool(service.failover_priority)
    found: list[Obj] = []
    for group in groups(endpoints, policy, client, failover=failover):
        place = group.place
        entry: Obj = {"lb_endpoints": [_endpoint(scope.mesh, e, ports, known) for e in group.endpoints]}
        if place != Locality():
            entry["locality"] = {
                key: value
                for key, value in (("region", place.region), ("zone", place.zone), ("sub_zone", place.sub_zone))
                if value
            }
        entry["load_balancing_weight"] = group.weight
        if group.priority:
            entry["priority"] = group.priority
        found.append(entry)
    return found


def _endpoint(mesh: Mesh, endpoint: Endpoint, ports: Callable[[int], int], known: dict[int, Obj]) -> Obj:
    """One endpoint; the same `Endpoint` becomes the same object in every cluster it is part of."""
    existing = known.get(id(endpoint))
    if existing is not None:
        return existing
    metadata: Obj = {}
    if endpoint.mesh_tls and mesh.mtls_mode(endpoint.namespace, endpoint.labels, endpoint.port) is not MtlsMode.DISABLE:
        metadata["envoy.transport_socket_match"] = {"tlsMode": "istio"}
    if endpoint.workload:
        peer = Peer.of(endpoint.workload, endpoint.namespace, endpoint.labels)
        known_as = (peer.workload, peer.namespace, peer.canonical_service, peer.canonical_revision, peer.cluster)
        metadata["istio"] = {"workload": ";".join(known_as)}
        metadata[METADATA] = {PEER_KEY: peer.encode()}
    built: Obj = {
        "endpoint": {"address": _address(endpoint, ports)},
        "load_balancing_weight": endpoint.weight,
        "health_status": "DRAINING" if endpoint.draining else "HEALTHY",
    }
    if metadata:
        built["metadata"] = {"filter_metadata": metadata}
    known[id(endpoint)] = built
    return built


def _address(endpoint: Endpoint, ports: Callable[[int], int]) -> Obj:
    if endpoint.address.startswith("unix://"):
        return {"pipe": {"path": endpoint.address.removeprefix("unix://")}}
    return socket_address(endpoint.address, ports(endpoint.port))
