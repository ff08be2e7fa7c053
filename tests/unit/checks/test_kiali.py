"""Judges of Kiali's graph, with answers in the form that Kiali gives them."""

from __future__ import annotations

from typing import Any

import pytest

from checks import kiali
from meshlab.errors import LabError
from meshlab.grading.registry import Registry
from tests.fakes.cluster import ObjectCluster, deployment, named
from tests.unit.checks.support import SHOP, brief, verdict

STATUS = {"status": {"Kiali state": "running", "Kiali version": "v2.27.0"}, "externalServices": []}
SHOPPER = {"id": "a", "nodeType": "workload", "namespace": SHOP, "workload": "client", "app": "client"}
UNKNOWN = {"id": "u", "nodeType": "unknown", "namespace": "unknown", "workload": "unknown", "isRoot": True}


def node(name: str) -> dict[str, Any]:
    return {"id": name, "nodeType": "workload", "namespace": SHOP, "workload": name, "app": name}


def edge(source: str, target: str, *, mtls: str = "") -> dict[str, Any]:
    traffic = {"protocol": "http", "rates": {"http": "0.50", "httpPercentReq": "100.0"}}
    data = {"id": f"{source}{target}", "source": source, "target": target, "traffic": traffic}
    return {"data": data | ({"isMTLS": mtls} if mtls else {})}


def graph(*edges: dict[str, Any]) -> dict[str, Any]:
    nodes = [SHOPPER, UNKNOWN, node("web"), node("db"), {"id": "s", "nodeType": "service", "service": "gone"}]
    return {
        "timestamp": 1780000000,
        "duration": 120,
        "graphType": "workload",
        "elements": {"nodes": [{"data": each} for each in nodes], "edges": list(edges)},
    }


BOTH = graph(edge("a", "web", mtls="100"), edge("a", "db"))


def shop(answer: Any = BOTH, *, status: Any = STATUS, available: int = 1, answered: str = "") -> ObjectCluster:
    def request(path: str, params: dict[str, str]) -> Any:
        assert path.startswith("/api/v1/namespaces/istio-system/services/http:kiali:20001/proxy/kiali/api/")
        said = status if path.endswith("/status") else answer
        if isinstance(said, Exception):
            raise said
        if said is answer:
            assert params == {"namespaces": SHOP, "duration": "120s", "graphType": "workload"}
        return said

    answers = [named("meshlab-answers-canary", SHOP, data={"plain": answered})] if answered else []
    kialis = [deployment("kiali", "istio-system", available=available)]
    return ObjectCluster({"deployments.apps": kialis, "configmaps": answers}, on_request=request)


def test_edges_are_named_by_workload() -> None:
    drawn = graph(edge("a", "web", mtls="100"), edge("u", "db"), edge("a", "s"))
    assert kiali.edges_of(drawn) == [
        {"from": "client", "to": "gone", "rate": "0.50", "mtls": False},
        {"from": "client", "to": "web", "rate": "0.50", "mtls": True},
        {"from": "unknown", "to": "db", "rate": "0.50", "mtls": False},
    ]
    assert kiali.edges_of({}) == []


@pytest.mark.parametrize(
    ("cluster", "expected"),
    [
        (ObjectCluster(), ("FAIL", "kiali.not-installed", "declared")),
        (shop(available=0), ("PENDING", "kiali.not-ready", "accepted")),
        (shop(status=LabError("no endpoints available")), ("PENDING", "kiali.no-answer", "observed")),
        (shop(status={"status": {"Kiali state": "starting"}}), ("PENDING", "kiali.no-answer", "observed")),
        (shop(status="<html>"), ("PENDING", "kiali.no-answer", "observed")),
        (shop(), ("PASS", "kiali.reachable", "observed")),
    ],
)
def test_kiali_answers(registry: Registry, cluster: ObjectCluster, expected: tuple[str, str, str]) -> None:
    assert brief(verdict(registry, "kiali.reachable", cluster)) == expected


def test_kiali_is_absent_or_not(registry: Registry) -> None:
    assert verdict(registry, "kiali.absent", ObjectCluster()).outcome == "PASS"
    assert verdict(registry, "kiali.absent", shop()).code == "kiali.present"


@pytest.mark.parametrize(
    ("cluster", "expected", "says"),
    [
        (shop(), ("PASS", "graph.edges", "observed"), "web 0.50/s"),
        (shop(graph()), ("PENDING", "graph.empty", "observed"), "web, db"),
        (shop(graph(edge("a", "web"))), ("PENDING", "graph.no-edge", "observed"), "from client to db in"),
        (
            shop(graph(edge("u", "web"))),
            ("PENDING", "graph.other-caller", "observed"),
            "web got requests, but from unknown",
        ),
        (shop(LabError("bad gateway")), ("PENDING", "graph.empty", "observed"), ""),
        (ObjectCluster(), ("FAIL", "kiali.not-installed", "declared"), ""),
    ],
)
def test_the_graph_has_the_learners_edges(
    registry: Registry, cluster: ObjectCluster, expected: tuple[str, str, str], says: str
) -> None:
    judged = verdict(registry, "kiali.graph", cluster, **{"from": "client", "to": ["web", "db"]})
    assert brief(judged) == expected
    assert says in judged.found


@pytest.mark.parametrize(
    ("cluster", "expected"),
    [
        (shop(), ("FAIL", "answer.missing", "declared")),
        (shop(answered="db"), ("PASS", "answer.right", "observed")),
        (shop(answered="Deployment/db"), ("PASS", "answer.right", "observed")),
        (shop(answered="db.shop.svc.cluster.local"), ("PASS", "answer.right", "observed")),
        (shop(answered="web"), ("FAIL", "answer.mutual-tls", "observed")),
        (shop(answered="archive"), ("PENDING", "answer.no-such-edge", "observed")),
        (shop(graph(), answered="db"), ("PENDING", "answer.no-such-edge", "observed")),
        (shop(available=0, answered="db"), ("PENDING", "kiali.not-ready", "accepted")),
    ],
)
def test_the_plain_edge(registry: Registry, cluster: ObjectCluster, expected: tuple[str, str, str]) -> None:
    params = {"task": "plain", "from": "client"}
    assert brief(verdict(registry, "answer.plain_edge", cluster, **params)) == expected
