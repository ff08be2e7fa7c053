"""Endpoints by place: failover, labels, weights."""

from __future__ import annotations

from meshlab.minicluster.mesh.envoy.localities import Client, Group, groups
from meshlab.minicluster.mesh.model import Endpoint, Locality
from meshlab.minicluster.mesh.policy import LocalityPolicy

HOME = Locality("r1", "z1", "s1")
PLACES = (HOME, Locality("r1", "z1", "s2"), Locality("r1", "z2"), Locality("r2", "z1"), Locality("r3", "z1"))
CLIENT = Client(HOME, {"version": "v1", "app": "web"})


def endpoint(place: Locality, version: str = "v1", weight: int = 1) -> Endpoint:
    return Endpoint("127.77.1.2", 80, labels={"version": version, "app": "web"}, locality=place, weight=weight)


def priorities(found: list[Group]) -> dict[str, int]:
    return {f"{group.place} {group.endpoints[0].labels['version']}": group.priority for group in found}


def test_nearer_places_come_first_without_gaps() -> None:
    found = groups([endpoint(p) for p in PLACES], LocalityPolicy(), CLIENT, failover=True)
    assert [(str(g.place), g.priority) for g in found] == [
        ("r1/z1/s1", 0),
        ("r1/z1/s2", 1),
        ("r1/z2", 2),
        ("r2/z1", 3),
        ("r3/z1", 3),
    ]
    far = groups([endpoint(PLACES[2]), endpoint(PLACES[4])], LocalityPolicy(), CLIENT, failover=True)
    assert [g.priority for g in far] == [0, 1]


def test_a_region_may_have_a_successor() -> None:
    policy = LocalityPolicy(failover=(("r1", "r3"),))
    found = groups([endpoint(p) for p in PLACES], policy, CLIENT, failover=True)
    assert {str(g.place): g.priority for g in found}["r3/z1"] < {str(g.place): g.priority for g in found}["r2/z1"]


def test_places_do_not_count_without_failover_or_policy() -> None:
    for policy, failover in ((LocalityPolicy(), False), (None, True)):
        found = groups([endpoint(p) for p in PLACES], policy, CLIENT, failover=failover)
        assert {g.priority for g in found} == {0}


def test_labels_rank_from_the_first_that_differs() -> None:
    policy = LocalityPolicy(failover_priority=("app", "version", "topology.kubernetes.io/region"))
    endpoints = [endpoint(HOME), endpoint(HOME, "v2"), endpoint(PLACES[3])]
    found = groups(endpoints, policy, CLIENT, failover=True)
    assert priorities(found) == {"r1/z1/s1 v1": 0, "r2/z1 v1": 1, "r1/z1/s1 v2": 2}


def test_a_label_may_stand_for_another_value_than_the_clients() -> None:
    policy = LocalityPolicy(failover_priority=("version=v2",))
    found = groups([endpoint(HOME), endpoint(HOME, "v2")], policy, CLIENT, failover=True)
    assert priorities(found) == {"r1/z1/s1 v2": 0, "r1/z1/s1 v1": 1}


def test_shares_are_divided_among_the_places_they_cover() -> None:
    policy = LocalityPolicy(distribute=(("r1/*", (("r1/z1/*", 60), ("r2/*", 40))),))
    endpoints = [endpoint(HOME, weight=2), endpoint(PLACES[1]), endpoint(PLACES[2]), endpoint(PLACES[3])]
    found = groups(endpoints, policy, CLIENT, failover=True)
    assert {str(g.place): g.weight for g in found} == {"r1/z1/s1": 40, "r1/z1/s2": 20, "r2/z1": 40}
    elsewhere = groups(endpoints, policy, Client(Locality("r9"), {}), failover=True)
    assert len(elsewhere) == 4
