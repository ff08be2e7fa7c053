"""The Gateway API's definitions: versions, defaults, and what their schemas accept."""

from __future__ import annotations

from typing import Any

import pytest

from meshlab.minicluster.apiserver.schema import default, prune, validate
from meshlab.minicluster.gatewayapi import gateway_api_crds
from meshlab.minicluster.kubeapi import Obj


def schema(kind: str, version: str = "v1") -> Obj:
    crd = next(crd for crd in gateway_api_crds() if crd["spec"]["names"]["kind"] == kind)
    found: Obj = next(v for v in crd["spec"]["versions"] if v["name"] == version)["schema"]["openAPIV3Schema"]
    return found


def test_kinds_and_versions() -> None:
    served = {
        crd["spec"]["names"]["kind"]: [(v["name"], v["storage"]) for v in crd["spec"]["versions"]]
        for crd in gateway_api_crds()
    }
    both = [("v1", True), ("v1beta1", False)]
    assert served == {
        "GatewayClass": both,
        "Gateway": both,
        "HTTPRoute": both,
        "GRPCRoute": [("v1", True)],
        "TCPRoute": [("v1", True), ("v1alpha2", False)],
        "TLSRoute": [("v1", True), ("v1alpha3", False), ("v1alpha2", False)],
        "ReferenceGrant": both,
    }
    scopes = {crd["spec"]["names"]["kind"]: crd["spec"]["scope"] for crd in gateway_api_crds()}
    assert scopes["GatewayClass"] == "Cluster"


def test_definitions_share_nothing() -> None:
    first, second = gateway_api_crds()[1:3]
    first["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"].clear()
    assert second["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    assert first["spec"]["versions"][1]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]


def test_a_mesh_canary_gets_its_defaults() -> None:
    route: Any = {
        "spec": {
            "parentRefs": [{"group": "", "kind": "Service", "name": "myapp", "port": 80}],
            "rules": [{"backendRefs": [{"name": "v1", "port": 80, "weight": 80}, {"name": "v2", "port": 80}]}],
        }
    }
    found = default(schema("HTTPRoute"), route)
    rule = found["spec"]["rules"][0]
    assert rule["matches"] == [{"path": {"type": "PathPrefix", "value": "/"}}]
    assert rule["backendRefs"][1] == {"name": "v2", "port": 80, "weight": 1, "group": "", "kind": "Service"}
    assert found["spec"]["parentRefs"][0]["kind"] == "Service"
    assert validate(schema("HTTPRoute"), found) == []
    assert prune(schema("HTTPRoute"), found)[1] == []


@pytest.mark.parametrize(
    ("kind", "spec", "field"),
    [
        ("HTTPRoute", {"rules": [{"matches": [{"method": "FETCH"}]}]}, "spec.rules[0].matches[0].method"),
        ("HTTPRoute", {"hostnames": ["1.2.3.4/x"]}, "spec.hostnames[0]"),
        ("HTTPRoute", {"rules": [{"timeouts": {"request": "10"}}]}, "spec.rules[0].timeouts.request"),
        ("Gateway", {"gatewayClassName": "istio", "listeners": []}, "spec.listeners"),
        ("Gateway", {"gatewayClassName": "x", "listeners": [{"name": "a", "port": 0}]}, "spec.listeners[0].port"),
        ("GatewayClass", {"controllerName": "no-domain"}, "spec.controllerName"),
        ("ReferenceGrant", {"from": [], "to": [{"group": "", "kind": "Service"}]}, "spec.from"),
    ],
)  # fmt: skip
def test_what_is_refused(kind: str, spec: Any, field: str) -> None:
    problems = validate(schema(kind), default(schema(kind), {"spec": spec}))
    assert field in [problem.field for problem in problems]


def test_a_new_gateway_waits_for_its_controller() -> None:
    gateway = {"spec": {"gatewayClassName": "istio", "listeners": [{"name": "a", "port": 80, "protocol": "HTTP"}]}}
    found = default(schema("Gateway"), gateway)
    assert found["spec"]["listeners"][0]["allowedRoutes"] == {"namespaces": {"from": "Same"}}
    assert [condition["reason"] for condition in found["status"]["conditions"]] == ["Pending", "Pending"]
