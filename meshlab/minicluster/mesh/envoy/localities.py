"""Endpoints by place: which are preferred from where a client runs, and how much each place gets.

Source: https://istio.io/latest/docs/tasks/traffic-management/locality-load-balancing/ and the reference of
``LocalityLoadBalancerSetting``.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from meshlab.minicluster.mesh.model import Endpoint, Labels, Locality
from meshlab.minicluster.mesh.policy import LocalityPolicy

REGION_LABEL = "topology.kubernetes.io/region"
ZONE_LABEL = "topology.kubernetes.io/zone"
SUB_ZONE_LABEL = "topology.istio.io/subzone"


@dataclass(frozen=True, slots=True)
class Group:
    """Endpoints of one place that are equally preferred."""

    place: Locality
    endpoints: tuple[Endpoint, ...]
    priority: int
    weight: int


@dataclass(frozen=True, slots=True)
class Client:
    """Whom endpoints are ranked for."""

    place: Locality
    labels: Labels


def groups(
    endpoints: Iterable[Endpoint], policy: LocalityPolicy | None, client: Client, *, failover: bool
) -> list[Group]:
    """The endpoints in groups, sorted by place.

    Args:
        endpoints: the endpoints.
        policy: the locality policy in force; None: places do not count.
        client: whom it is for.
        failover: whether clients notice bad endpoints; without that they would never leave the nearest place.
    """
    by_place: dict[Locality, list[Endpoint]] = defaultdict(list)
    for endpoint in endpoints:
        by_place[endpoint.locality].append(endpoint)
    found = [
        Group(place, tuple(group), 0, sum(e.weight for e in group))
        for place, group in sorted(by_place.items(), key=lambda item: str(item[0]))
    ]
    if policy is None:
        return found
    if policy.distribute:
        return _distributed(found, policy, client.place)
    if not failover:
        return found
    if policy.failover_priority:
        found = _without_gaps([part for group in found for part in _by_labels(group, policy, client)])
    if policy.failover or not policy.failover_priority:
        found = _without_gaps(
            [replace(g, priority=g.priority * 5 + _distance(g.place, policy, client.place)) for g in found]
        )
    return found


def _without_gaps(found: Sequence[Group]) -> list[Group]:
    """Priorities that count from 0 without gaps, as Envoy wants them."""
    order = {rank: position for position, rank in enumerate(sorted({group.priority for group in found}))}
    return [replace(group, priority=order[group.priority]) for group in found]


def _distance(place: Locality, policy: LocalityPolicy, client: Locality) -> int:
    """The client's own sub-zone, zone, region, a region it fails over to, the rest: 0 to 4."""
    if place.region != client.region:
        targets = [to for source, to in policy.failover if source == client.region]
        return 4 if targets and place.region != targets[0] else 3
    if place.zone != client.zone:
        return 2
    return 0 if place.sub_zone == client.sub_zone else 1


def _by_labels(group: Group, policy: LocalityPolicy, client: Client) -> Iterable[Group]:
    """A place's endpoints by how many of the labels they share with the client, counted from the first one on."""
    names = [label.partition("=") for label in policy.failover_priority]
    wanted = {name: value if given else label_of(client.labels, client.place, name) for name, given, value in names}
    ranked: dict[int, list[Endpoint]] = defaultdict(list)
    for endpoint in group.endpoints:
        differing = (
            len(names) - position
            for position, (name, _, _) in enumerate(names)
            if label_of(endpoint.labels, endpoint.locality, name) != wanted[name]
        )
        ranked[next(differing, 0)].append(endpoint)
    for priority, endpoints in sorted(ranked.items()):
        yield Group(group.place, tuple(endpoints), priority, sum(e.weight for e in endpoints))


def label_of(labels: Labels, place: Locality, name: str) -> str:
    """A label, topology labels standing for the place."""
    topology = {REGION_LABEL: place.region, ZONE_LABEL: place.zone, SUB_ZONE_LABEL: place.sub_zone}
    return labels.get(name) or topology.get(name, "")


def _distributed(found: Sequence[Group], policy: LocalityPolicy, client: Locality) -> list[Group]:
    """Weights per place where the policy distributes traffic from the client's place; other places get nothing."""
    shares = next((targets for source, targets in policy.distribute if covers(source, client)), None)
    if shares is None:
        return list(found)
    weights: dict[Locality, int] = {}
    for target, share in shares:
        reached = [group for group in found if covers(target, group.place) and group.place not in weights]
        total = sum(group.weight for group in reached)
        weights |= {group.place: math.ceil(group.weight * share / total) for group in reached}
    return [replace(group, weight=weights[group.place]) for group in found if weights.get(group.place)]


def covers(pattern: str, place: Locality) -> bool:
    """Whether ``region/zone/subzone``, its end missing or ``*``, covers a place."""
    parts = (place.region, place.zone, place.sub_zone)
    return all(wanted in ("*", "") or wanted == part for wanted, part in zip(pattern.split("/"), parts, strict=False))
