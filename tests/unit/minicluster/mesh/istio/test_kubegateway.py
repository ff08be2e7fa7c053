"""What is deployed for a managed Gateway, how it is laid over what is there, and whose Gateways are whose."""

from __future__ import annotations

from typing import Any

import pytest

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.istio.inject import InjectionConfig
from meshlab.minicluster.mesh.istio.kubegateway import deployed_objects, laid_over
from meshlab.minicluster.mesh.istio.pilot.revisions import own_tags


def gateway(*, annotations: dict[str, str] | None = None, **spec: Any) -> Obj:
    listeners: list[Obj] = [
        {"name": "http", "port": 80, "protocol": "HTTP"},
        {"name": "other", "port": 80, "protocol": "HTTP", "hostname": "a.com"},
        {"name": "https", "port": 443, "protocol": "HTTPS"},
    ]
    return {
        "metadata": {
            "name": "gw",
            "namespace": "ns",
            "uid": "u",
            "labels": {"own": "label"},
            "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}", **(annotations or {})},
        },
        "spec": {"gatewayClassName": "istio", "listeners": listeners, **spec},
    }


def deployed(obj: Obj) -> dict[str, Obj]:
    return dict(deployed_objects(obj, InjectionConfig()))


def test_names_labels_and_owner() -> None:
    found = deployed(gateway())
    assert set(found) == {"serviceaccounts", "deployments.apps", "services"}
    for obj in found.values():
        metadata = obj["metadata"]
        assert (metadata["name"], metadata["namespace"]) == ("gw-istio", "ns")
        assert metadata["ownerReferences"][0]["uid"] == "u"
        assert metadata["labels"]["gateway.networking.k8s.io/gateway-name"] == "gw"
        assert metadata["labels"]["own"] == "label"
        assert "annotations" not in metadata
    template = found["deployments.apps"]["spec"]["template"]
    (container,) = template["spec"]["containers"]
    assert container["args"][:2] == ["proxy", "router"]
    assert template["metadata"]["labels"]["sidecar.istio.io/inject"] == "false"
    assert template["spec"]["serviceAccountName"] == "gw-istio"


def test_the_services_ports_are_those_of_the_listeners() -> None:
    spec = deployed(gateway())["services"]["spec"]
    assert [(p["name"], p["port"], p["appProtocol"]) for p in spec["ports"]] == [
        ("status-port", 15021, "tcp"),
        ("http", 80, "http"),
        ("https", 443, "https"),
    ]
    assert spec["type"] == "LoadBalancer"


def test_what_annotations_and_infrastructure_change() -> None:
    annotations = {
        "networking.istio.io/service-type": "ClusterIP",
        "gateway.istio.io/name-override": "edge",
        "gateway.istio.io/service-account": "robot",
    }
    found = deployed(gateway(annotations=annotations, infrastructure={"labels": {"a": "b"}, "annotations": {"c": "d"}}))
    assert found["services"]["spec"]["type"] == "ClusterIP"
    assert found["deployments.apps"]["metadata"]["name"] == "edge"
    assert found["serviceaccounts"]["metadata"]["name"] == "robot"
    assert found["services"]["metadata"]["labels"]["a"] == "b"
    assert "own" not in found["services"]["metadata"]["labels"]
    assert found["services"]["metadata"]["annotations"] == {"c": "d"}
    fixed = deployed(gateway(addresses=[{"type": "IPAddress", "value": "127.1.2.3"}]))
    assert fixed["services"]["spec"]["loadBalancerIP"] == "127.1.2.3"


def test_defaults_of_the_server_are_no_difference() -> None:
    wanted = deployed(gateway())["services"]
    ports = [{**port, "targetPort": port["port"], "nodePort": 30000 + port["port"]} for port in wanted["spec"]["ports"]]
    current = {**wanted, "spec": {**wanted["spec"], "clusterIP": "1.2.3.4", "ports": ports}, "status": {}}
    assert laid_over(current, wanted) == current
    fewer = {**wanted, "spec": {**wanted["spec"], "ports": wanted["spec"]["ports"][:2]}}
    assert [port["nodePort"] for port in laid_over(current, fewer)["spec"]["ports"]] == [45021, 30080]


@pytest.mark.parametrize(
    ("revision", "hooks", "tags"),
    [
        ("default", [{"istio.io/rev": "default"}], {"default"}),
        ("canary", [{"istio.io/rev": "default"}, {"istio.io/rev": "canary"}], {"canary"}),
        (
            "canary",
            [{"istio.io/rev": "canary"}, {"istio.io/rev": "canary", "istio.io/tag": "prod"}],
            {"canary", "prod", "default"},
        ),
        ("canary", [{"istio.io/rev": "canary", "istio.io/tag": "default"}], {"canary", "default"}),
        ("stable", [{"istio.io/rev": "canary", "istio.io/tag": "default"}], {"stable"}),
    ],
)
def test_whose_a_gateway_is(revision: str, hooks: list[dict[str, str]], tags: set[str]) -> None:
    assert own_tags(revision, [{"metadata": {"labels": labels}} for labels in hooks]) == tags
