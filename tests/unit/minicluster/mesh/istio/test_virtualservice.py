"""VirtualService: what it means in the model, and what is said of what cannot work."""

from __future__ import annotations

from typing import Any

from meshlab.minicluster.mesh.routing import Destination, HttpRoute, Mirror, RouteTable
from tests.fakes.istio_world import World


def table(spec: dict[str, Any], world: World | None = None) -> RouteTable:
    world = world or World()
    world.add({"kind": "VirtualService", "metadata": {"name": "x", "namespace": "shop"}, "spec": spec})
    (found,) = world.mesh().route_tables
    return found


def route(**members: Any) -> HttpRoute:
    spec = {"hosts": ["web"], "http": [{"route": [{"destination": {"host": "web"}}], **members}]}
    (found,) = table(spec).http
    return found


def test_short_hosts_of_table_and_destinations_are_the_resources_namespace() -> None:
    found = table(
        {"hosts": ["web", "web.shop.svc.cluster.local"], "http": [{"route": [{"destination": {"host": "api"}}]}]}
    )

    assert found.hosts == ("web.shop.svc.cluster.local",)
    assert found.gateways == ("mesh",)
    assert found.http[0].splits[0].destination == Destination("api.shop.svc.cluster.local")


def test_weights_of_zero_are_dropped_among_several() -> None:
    splits = [{"destination": {"host": h}, "weight": w} for h, w in (("a", 0), ("b", 3), ("c", 1))]
    assert [s.weight for s in route(route=splits).splits] == [3, 1]
    assert len(route(route=splits[:1]).splits) == 1


def test_retries() -> None:
    default = route()
    assert default.retry is None
    wanted = route(retries={"attempts": 3, "perTryTimeout": "2s", "retryOn": "gateway-error, 429 ,reset"}).retry
    assert wanted is not None
    assert (wanted.attempts, wanted.per_try_timeout_s) == (3, 2.0)
    assert wanted.retry_on == ("gateway-error", "reset", "retriable-status-codes")
    assert wanted.status_codes == (429,)


def test_fault_without_percentage_hits_nobody() -> None:
    fault = route(
        fault={"delay": {"fixedDelay": "5s"}, "abort": {"httpStatus": 500, "percentage": {"value": 10}}}
    ).fault
    assert fault is not None
    assert (fault.delay_s, fault.delay_percent) == (5.0, 0.0)
    assert (fault.abort_status, fault.abort_percent) == (500, 10.0)


def test_mirrors_old_and_new() -> None:
    old = route(mirror={"host": "copy", "subset": "v2"}, mirrorPercentage={"value": 5})
    assert old.mirrors == (Mirror(Destination("copy.shop.svc.cluster.local", "v2"), 5.0),)
    assert route(mirror={"host": "copy"}).mirrors[0].percent == 100.0
    assert route(mirror={"host": "copy"}, mirrorPercentage={"value": 0}).mirrors == ()
    assert len(route(mirrors=[{"destination": {"host": "a"}}, {"destination": {"host": "b"}}]).mirrors) == 2


def problems(spec: dict[str, Any], *more: str) -> list[tuple[str, str]]:
    world = World()
    for manifest in more:
        world.apply(manifest)
    world.add({"kind": "VirtualService", "metadata": {"name": "x"}, "spec": spec})
    return [(p.code, p.message) for p in world.translate().problems]


def test_undefined_subset_and_unknown_host_are_reported() -> None:
    world_service = "{kind: Service, metadata: {name: web}, spec: {ports: [{port: 80}]}}"
    spec = {
        "hosts": ["web"],
        "http": [{"route": [{"destination": {"host": "web", "subset": "v1"}}, {"destination": {"host": "no"}}]}],
    }
    spec["http"][0]["route"][0]["weight"] = spec["http"][0]["route"][1]["weight"] = 50  # type: ignore[index]

    found = problems(spec, world_service)

    assert [code for code, _ in found] == ["virtualservice.subset", "virtualservice.destination"]
    assert "subset v1" in found[0][1]
    assert "no.default.svc.cluster.local" in found[1][1]

    rule = "{kind: DestinationRule, metadata: {name: web}, spec: {host: web, subsets: [{name: v1}]}}"
    assert [code for code, _ in problems(spec, world_service, rule)] == ["virtualservice.destination"]


def test_routes_that_cannot_work_are_left_out_and_reported() -> None:
    spec = {
        "hosts": ["web"],
        "http": [
            {"match": [{"uri": {"regex": "(?=x)"}}], "directResponse": {"status": 200}},
            {"name": "empty"},
            {"name": "delegating", "delegate": {"name": "y"}},
            {"directResponse": {"status": 204}},
        ],
    }
    world = World()
    world.add({"kind": "VirtualService", "metadata": {"name": "x"}, "spec": spec})
    translation = world.translate()

    assert [p.code for p in translation.problems] == [
        "virtualservice.regex",
        "virtualservice.action",
        "virtualservice.delegate",
    ]
    assert [r.direct_response.status for r in translation.model.route_tables[0].http if r.direct_response] == [204]


def test_unreadable_objects_are_reported_not_raised() -> None:
    world = World()
    specs: tuple[Any, ...] = (None, [], "text", {"hosts": "web"}, {"hosts": ["web"], "http": {"a": 1}}, {"hosts": [1]})
    for spec in specs:
        world.add({"kind": "VirtualService", "metadata": {"name": "x"}, "spec": spec})
    assert all(not found.http for found in world.mesh().route_tables)
