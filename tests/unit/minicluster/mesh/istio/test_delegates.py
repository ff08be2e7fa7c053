"""Delegation: whose matches and settings a merged route has, and which routes do not fit."""

from __future__ import annotations

from typing import Any

import pytest

from meshlab.minicluster.mesh.routing import HttpRoute, RouteTable, StringMatch
from tests.fakes.istio_world import World

TO_SHOP = [{"destination": {"host": "shop"}}]


def merged(root: dict[str, Any], *delegate: dict[str, Any], **spec: Any) -> tuple[list[HttpRoute], list[str]]:
    """The routes of a root that delegates to ``other/part``, and what was noted."""
    world = World()
    world.add(
        {
            "kind": "VirtualService",
            "metadata": {"name": "part", "namespace": "other"},
            "spec": {"http": list(delegate), **spec},
        }
    )
    reference = {"delegate": {"name": "part", "namespace": "other"}, **root}
    world.add({"kind": "VirtualService", "metadata": {"name": "root"}, "spec": {"hosts": ["web"], "http": [reference]}})
    translation = world.translate()
    (table,) = translation.model.route_tables
    assert isinstance(table, RouteTable)
    assert table.ref.name == "root"
    return list(table.http), [p.code for p in translation.problems]


def test_a_delegates_routes_take_the_place_of_the_roots() -> None:
    routes, _ = merged({"match": [{"uri": {"prefix": "/shop"}}], "name": "r"}, {"name": "d", "route": TO_SHOP})
    (route,) = routes
    assert route.name == "r-d"
    assert route.matches[0].uri == StringMatch("prefix", "/shop")
    assert route.splits[0].destination.host == "shop.other.svc.cluster.local", "short names are the delegate's"


def test_what_the_delegate_leaves_open_comes_from_the_root() -> None:
    root = {"timeout": "3s", "retries": {"attempts": 1}, "headers": {"request": {"set": {"x": "1"}}}}
    (inherited, own), _ = merged(root, {"route": TO_SHOP}, {"route": TO_SHOP, "timeout": "9s"})
    assert inherited.timeout_s == 3
    assert inherited.retry is not None
    assert inherited.headers.request.set == (("x", "1"),)
    assert own.timeout_s == 9


def test_matches_are_joined() -> None:
    root = {"match": [{"uri": {"prefix": "/a"}, "headers": {"x-a": {"exact": "1"}}, "port": 80}]}
    (route,), _ = merged(
        root, {"match": [{"uri": {"exact": "/a/b"}, "headers": {"x-b": {"exact": "2"}}}], "route": TO_SHOP}
    )
    (match,) = route.matches
    assert match.uri == StringMatch("exact", "/a/b")
    assert [name for name, _ in match.headers] == ["x-a", "x-b"]
    assert match.port == 80


@pytest.mark.parametrize(
    ("root", "delegate"),
    [
        ({"uri": {"prefix": "/a"}}, {"uri": {"prefix": "/"}}),
        ({"uri": {"exact": "/a"}}, {"uri": {"exact": "/b"}}),
        ({"uri": {"exact": "/a"}}, {"uri": {"prefix": "/a"}}),
        ({"uri": {"prefix": "/a"}}, {"uri": {"regex": "/a.*"}}),
        ({"method": {"exact": "GET"}}, {"method": {"exact": "POST"}}),
        ({"headers": {"x": {"exact": "1"}}}, {"headers": {"x": {"exact": "2"}}}),
        ({"queryParams": {"q": {"exact": "1"}}}, {"queryParams": {"q": {"prefix": "1"}}}),
        ({"uri": {"prefix": "/a"}, "ignoreUriCase": True}, {"uri": {"prefix": "/a"}}),
        ({"port": 80}, {"port": 81}),
    ],
)
def test_a_route_whose_match_is_not_within_the_roots_is_left_out(
    root: dict[str, Any], delegate: dict[str, Any]
) -> None:
    routes, codes = merged({"match": [root]}, {"match": [delegate], "route": TO_SHOP}, {"route": TO_SHOP})
    assert len(routes) == 1, "the other route has no match of its own and fits"
    assert "virtualservice.delegate" in codes


def test_delegates_must_exist_be_exported_and_not_delegate_further() -> None:
    assert merged({}, {"route": TO_SHOP}, exportTo=["."])[0] == []
    assert merged({"delegate": {"name": "nobody", "namespace": "other"}}, {"route": TO_SHOP})[0] == []
    routes, codes = merged({}, {"delegate": {"name": "part", "namespace": "other"}})
    assert routes == []
    assert "virtualservice.delegate" in codes
