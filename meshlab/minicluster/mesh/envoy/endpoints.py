"""Endpoints: the addresses behind each EDS cluster, with what a client must know of each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.envoy.vocabulary import cluster_name, socket_address
from meshlab.minicluster.mesh.model import Endpoint, Locality, Mesh, MtlsMode, Protocol, Resolution, matches
from meshlab.minicluster.mesh.policy import LocalityPolicy, TrafficPolicy
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
                    "endpoints": _by_locality(scope.mesh, chosen, traffic, locality, ports, known),
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
    mesh: Mesh,
    endpoints: Sequence[Endpoint],
    traffic: TrafficPolicy,
    client: Locality,
    ports: Callable[[int], int],
    known: dict[int, Obj],
) -> list[Obj]:
    groups: dict[Locality, list[Endpoint]] = defaultdict(list)
    for endpoint in endpoints:
        groups[endpoint.locality].append(endpoint)
    places = sorted(groups, key=str)
    ranked = _ranks(places, traffic, client)
    shares = _shares(places, traffic, client)
    found: list[Obj] = []
    for place in places:
        if shares is not None and not shares.get(place):
            continue
        group: Obj = {"lb_endpoints": [_endpoint(mesh, e, ports, known) for e in groups[place]]}
        if place != Locality():
            group["locality"] = {
                key: value
                for key, value in (("region", place.region), ("zone", place.zone), ("sub_zone", place.sub_zone))
                if value
            }
        group["load_balancing_weight"] = shares[place] if shares is not None else sum(e.weight for e in groups[place])
        if ranked.get(place):
            group["priority"] = ranked[place]
        found.append(group)
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
        "endpoint": {"address": socket_address(endpoint.address, ports(endpoint.port))},
        "load_balancing_weight": endpoint.weight,
        "health_status": "DRAINING" if endpoint.draining else "HEALTHY",
    }
    if metadata:
        built["metadata"] = {"filter_metadata": metadata}
    known[id(endpoint)] = built
    return built


def _locality_policy(traffic: TrafficPolicy) -> LocalityPolicy | None:
    """The locality policy in force. Istio's default is on, but failover also needs outlier detection."""
    policy = traffic.load_balancing.locality if traffic.load_balancing is not None else None
    if policy is None:
        policy = LocalityPolicy()
    return policy if policy.enabled else None


def _ranks(places: Sequence[Locality], traffic: TrafficPolicy, client: Locality) -> dict[Locality, int]:
    """Priorities for failover: the client's own sub-zone, zone, region, a region it fails over to, then the rest."""
    policy = _locality_policy(traffic)
    if policy is None or policy.distribute or traffic.outlier_detection is None or not client.region:
        return {}
    targets = {to for source, to in policy.failover if source == client.region}
    wanted: dict[Locality, int] = {}
    for place in places:
        if place == client:
            wanted[place] = 0
        elif (place.region, place.zone) == (client.region, client.zone):
            wanted[place] = 1
        elif place.region == client.region:
            wanted[place] = 2
        elif place.region in targets:
            wanted[place] = 3
        else:
            wanted[place] = 4 if targets else 3
    # Envoy wants priorities without gaps.
    order = {rank: position for position, rank in enumerate(sorted(set(wanted.values())))}
    return {place: order[rank] for place, rank in wanted.items()}


def _shares(places: Sequence[Locality], traffic: TrafficPolicy, client: Locality) -> dict[Locality, int] | None:
    """Weights per place where the policy distributes traffic from the client's place; None where it does not."""
    policy = _locality_policy(traffic)
    for source, targets in policy.distribute if policy is not None else ():
        if not _place_matches(source, client):
            continue
        shares: dict[Locality, int] = {}
        for to, weight in targets:
            reached = [place for place in places if _place_matches(to, place) and place not in shares]
            for place in reached:
                shares[place] = max(weight * 128 // len(reached), 1) if weight else 0
        return shares
    return None


def _place_matches(pattern: str, place: Locality) -> bool:
    """Whether ``region/zone/subzone``, its end missing or ``*``, covers a place."""
    parts = (place.region, place.zone, place.sub_zone)
    return all(wanted in ("*", "") or wanted == part for wanted, part in zip(pattern.split("/"), parts, strict=False))
