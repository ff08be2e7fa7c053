"""Queries as Kiali checks them, refusals in its words."""

from __future__ import annotations

import pytest

from meshlab.minicluster.addons.kiali.options import GraphType, Refused, parse_duration, parse_options

THERE = {"default": 0.0, "shop": 50.0}


def test_defaults() -> None:
    found = parse_options({"namespaces": "default"}, THERE, 100.0)
    assert (found.namespaces, found.duration_s, found.end) == (("default",), 600.0, 100.0)
    assert (found.graph_type, found.inject_services, found.idle_edges) == (GraphType.WORKLOAD, False, False)
    assert "securityPolicy" in found.appenders


def test_what_was_asked_for() -> None:
    query = {
        "namespaces": "default, shop,default",
        "duration": "1m30s",
        "graphType": "versionedApp",
        "appenders": "sidecarsCheck, responseTime",
        "injectServiceNodes": "true",
        "includeIdleEdges": "t",
        "queryTime": "90",
        "rateTcp": "total",
    }
    found = parse_options(query, THERE, 100.0)
    assert found.namespaces == ("default", "shop")
    assert (found.duration_s, found.end) == (90.0, 90.0)
    assert found.appenders == {"sidecarsCheck", "responseTime"}
    assert found.inject_services and found.idle_edges
    assert found.rate_tcp == "total"


def test_a_service_graph_needs_its_services() -> None:
    query = {"namespaces": "default", "graphType": "service", "injectServiceNodes": "false"}
    assert parse_options(query, THERE, 1.0).inject_services


@pytest.mark.parametrize(
    ("query", "status", "message"),
    [
        ({}, 400, "At least one namespace must be specified via the namespaces query parameter."),
        ({"namespaces": "nope"}, 403, "Requested namespace [nope] is not accessible."),
        ({"namespaces": "default", "duration": "abc"}, 400, "Invalid duration [abc]"),
        ({"namespaces": "default", "duration": "-60s"}, 400, "Invalid duration [-60s]"),
        ({"namespaces": "default", "graphType": "pods"}, 400, "Invalid graphType [pods]"),
        ({"namespaces": "default", "boxBy": "app,x"}, 400, "Invalid boxBy [app,x]"),
        ({"namespaces": "default", "includeIdleEdges": "yes"}, 400, "Invalid includeIdleEdges [yes]"),
        ({"namespaces": "default", "injectServiceNodes": "2"}, 400, "Invalid injectServiceNodes [2]"),
        ({"namespaces": "default", "queryTime": "now"}, 400, "Invalid queryTime [now]"),
        ({"namespaces": "default", "rateHttp": "sent"}, 400, "Invalid HTTP Rate [sent]"),
        ({"namespaces": "default", "rateGrpc": "x"}, 400, "Invalid gRPC Rate [x]"),
        ({"namespaces": "default", "rateTcp": "requests"}, 400, "Invalid TCP Rate [requests]"),
        ({"namespaces": "default", "telemetryVendor": "linkerd"}, 400, "Invalid telemetryVendor [linkerd]"),
        ({"namespaces": "shop", "queryTime": "49"}, 400, "Namespace [shop] did not exist at requested queryTime [49]"),
    ],
)
def test_refusals(query: dict[str, str], status: int, message: str) -> None:
    with pytest.raises(Refused) as refused:
        parse_options(query, THERE, 100.0)
    assert (refused.value.status, refused.value.message) == (status, message)


@pytest.mark.parametrize(("text", "seconds"), [("0", 0), ("60s", 60), ("1h5m", 3900), ("500ms", 0.5), ("1d", 86400)])
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "60", "s", "1s1m", "1.5m"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="not a valid duration"):
        parse_duration(text)
