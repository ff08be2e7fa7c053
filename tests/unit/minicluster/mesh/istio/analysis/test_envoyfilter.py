"""EnvoyFilters: operations that are ignored, or that depend on the order of others."""

from __future__ import annotations

from typing import Any

import pytest

from meshlab.minicluster.mesh.istio.analysis import envoyfilter
from meshlab.minicluster.mesh.istio.analysis.model import Resource
from tests.unit.minicluster.mesh.istio.analysis.builders import NETWORKING, SECURITY, codes, obj


def patch(operation: str, apply_to: str = "HTTP_FILTER", version: str = "", **value: Any) -> dict[str, Any]:
    match = {"match": {"proxy": {"proxyVersion": version}}} if version else {}
    return {"applyTo": apply_to, "patch": {"operation": operation, "value": value}, **match}


def envoy_filter(name: str, *patches: Any, priority: int = 0) -> Resource:
    return obj(NETWORKING, "EnvoyFilter", name, {"configPatches": list(patches), "priority": priority})


@pytest.mark.parametrize(
    ("operation", "apply_to", "code"),
    [
        ("ADD", "HTTP_ROUTE", "IST0153"),
        ("ADD", "ROUTE_CONFIGURATION", "IST0153"),
        ("ADD", "CLUSTER", ""),
        ("REMOVE", "HTTP_ROUTE", "IST0154"),
        ("REMOVE", "HTTP_FILTER", "IST0151"),
        ("REPLACE", "VIRTUAL_HOST", "IST0152"),
        ("REPLACE", "NETWORK_FILTER", "IST0151"),
        ("INSERT_BEFORE", "HTTP_FILTER", "IST0151"),
        ("INSERT_AFTER", "HTTP_FILTER", "IST0151"),
        ("INSERT_FIRST", "HTTP_FILTER", ""),
        ("MERGE", "CLUSTER", ""),
    ],
)
def test_operations(operation: str, apply_to: str, code: str) -> None:
    resource = envoy_filter("e", patch(operation, apply_to))
    assert codes(envoyfilter.analyze, resource) == ([(code, "EnvoyFilter default/e")] if code else [])


def test_a_priority_orders_relative_patches() -> None:
    assert codes(envoyfilter.analyze, envoy_filter("e", patch("INSERT_BEFORE"), priority=10)) == []
    # it does not make an ignored operation work
    assert codes(envoyfilter.analyze, envoy_filter("e", patch("ADD", "HTTP_ROUTE"), priority=10)) == [
        ("IST0153", "EnvoyFilter default/e")
    ]


def test_a_filter_that_was_patched_for_one_version() -> None:
    first = envoy_filter("first", patch("INSERT_BEFORE", version="1.31.*", name="my.filter"))
    same, other = (envoy_filter(name, patch("INSERT_AFTER", name=f"{name}.filter")) for name in ("my", "your"))
    assert codes(envoyfilter.analyze, first, same, other) == [
        ("IST0151", "EnvoyFilter default/first"),
        ("IST0151", "EnvoyFilter default/your"),
        ("IST0155", "EnvoyFilter default/my"),
    ]


def test_an_unfinished_patch_ends_the_check() -> None:
    assert codes(envoyfilter.analyze, envoy_filter("e", {"applyTo": "CLUSTER"}, patch("INSERT_AFTER"))) == []


@pytest.mark.parametrize(
    ("context", "kind", "warned"),
    [("GATEWAY", "HTTPRoute", True), ("", "HTTPRoute", True), ("SIDECAR_INBOUND", "HTTPRoute", False),
     ("GATEWAY", "Gateway", False)],
)  # fmt: skip
def test_a_filter_may_change_the_route_that_a_policy_judged(context: str, kind: str, warned: bool) -> None:
    policy = {"targetRefs": [{"group": "gateway.networking.k8s.io", "kind": kind, "name": "r"}]}
    patched = {**patch("INSERT_FIRST"), "match": {"context": context} if context else {}}
    resources = envoy_filter("e", patched, patched), obj(SECURITY, "AuthorizationPolicy", "p", policy)
    expected = [("IST0178", "EnvoyFilter default/e")] if warned else []
    assert codes(envoyfilter.route_cache, *resources) == expected
