"""Every analyzer on small snapshots; wordings are upstream's."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from meshlab.minicluster.mesh.istio.analysis import (
    annotation,
    authorization,
    credentials,
    destinationrule,
    gateway,
    injection,
    matches,
    services,
    virtualservice,
)
from meshlab.minicluster.mesh.istio.analysis.model import Resource
from tests.unit.minicluster.mesh.istio.analysis.builders import NETWORKING, found, obj, pod


def service(name: str, *ports: dict[str, Any], selector: dict[str, str] | None = None, **more: Any) -> Resource:
    spec = {"ports": list(ports) or [{"name": "http", "port": 80}], "selector": selector or {"app": name}, **more}
    return obj("v1", "Service", name, spec)


def virtual_service(name: str, *rules: Any, hosts: Iterable[str] = ("myapp",), **spec: Any) -> Resource:
    return obj(NETWORKING, "VirtualService", name, {"hosts": list(hosts), "http": list(rules), **spec})


def route(host: str, subset: str = "", port: int = 0, weight: int = 100) -> dict[str, Any]:
    destination: dict[str, Any] = {"host": host}
    if subset:
        destination["subset"] = subset
    if port:
        destination["port"] = {"number": port}
    return {"route": [{"destination": destination, "weight": weight}]}


def rule(name: str, host: str, *subsets: str) -> Resource:
    spec = {"host": host, "subsets": [{"name": subset, "labels": {"version": subset}} for subset in subsets]}
    return obj(NETWORKING, "DestinationRule", name, spec)


def test_the_modules_virtual_service_without_a_destination_rule() -> None:
    routes = {"route": [route("myapp", subset)["route"][0] for subset in ("v1", "v2")]}
    canary = virtual_service("myapp", routes, hosts=["myapp.default.svc.cluster.local"])
    assert found(virtualservice.subsets, canary, service("myapp")) == [
        f"Error [IST0101] (VirtualService default/myapp) Referenced host+subset in destinationrule not found: {value}"
        for value in ('"myapp+v1"', '"myapp+v2"')
    ]
    fixed = rule("myapp", "myapp.default.svc.cluster.local", "v1", "v2")
    assert found(virtualservice.subsets, canary, service("myapp"), fixed) == []
    assert len(found(virtualservice.subsets, canary, rule("myapp", "myapp", "v1"))) == 1


AMBIGUOUS = (
    'This VirtualService routes to a service "two" that exposes multiple ports [80 81]. '
    "Specifying a port in the destination is required to disambiguate."
)


@pytest.mark.parametrize(
    ("target", "text"),
    [
        (route("nobody"), 'Referenced host not found: "nobody"'),
        (route("myapp", port=81), 'Referenced host:port not found: "myapp:81"'),
        (route("two"), AMBIGUOUS),
        ({**route("myapp"), "mirror": {"host": "nobody"}}, 'Referenced mirror host not found: "nobody"'),
    ],
)  # fmt: skip
def test_destination_hosts(target: Any, text: str) -> None:
    two = service("two", {"name": "http-a", "port": 80}, {"name": "http-b", "port": 81})
    messages = found(virtualservice.hosts, virtual_service("a", target), service("myapp"), two)
    assert [message.split(") ", 1)[1] for message in messages] == [text]


def test_hosts_that_exist() -> None:
    external = obj(NETWORKING, "ServiceEntry", "out", {"hosts": ["*.example.com"], "ports": [{"number": 443}]})
    resources = [service("myapp"), external]
    for host in ("myapp", "myapp.default.svc.cluster.local", "api.example.com"):
        assert found(virtualservice.hosts, virtual_service("a", route(host)), *resources) == []
    hidden = obj(NETWORKING, "ServiceEntry", "out", {"hosts": ["x.org"], "exportTo": ["."]}, namespace="other")
    assert len(found(virtualservice.hosts, virtual_service("a", route("x.org")), hidden)) == 1


def test_gateways() -> None:
    public = obj(NETWORKING, "Gateway", "public", {"servers": [{"hosts": ["shop.example"]}]})
    bound = virtual_service("a", route("myapp"), hosts=["shop.example"], gateways=["public", "mesh"])
    assert found(virtualservice.gateways, bound, public) == []
    assert found(virtualservice.gateways, bound) == [
        'Error [IST0101] (VirtualService default/a) Referenced gateway not found: "public"',
        "Warning [IST0132] (VirtualService default/a) one or more host [shop.example] defined in VirtualService "
        "default/a not found in Gateway default/public.",
    ]
    other = virtual_service("a", route("myapp"), hosts=["other.example"], gateways=["public"])
    assert found(virtualservice.gateways, other, public) == [
        "Warning [IST0132] (VirtualService default/a) one or more host [other.example] defined in VirtualService "
        "default/a not found in Gateway default/public."
    ]


def test_two_virtual_services_for_one_host() -> None:
    messages = found(
        virtualservice.conflicts, virtual_service("a"), virtual_service("b"), virtual_service("c", hosts=["x"])
    )
    assert len(messages) == 2
    assert "The VirtualServices default/a,default/b associated with mesh gateway define the same host " in messages[0]


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ([{"match": [{"uri": {"prefix": "/a"}}]}, {}], []),
        ([{}, {}], ["VirtualService rule #1 not used (only the last rule can have no matches)."]),
        ([{}, {"match": [{"port": 1}]}], ["VirtualService rule #1 not used (route without matches defined before)."]),
        (
            [{"match": [{"port": 1}]}] * 2,
            [
                "VirtualService rule #1 match #0 is not used (duplicate/overlapping match in rule #0).",
                "VirtualService rule #1 not used (all matches used by prior rules).",
            ],
        ),
        (
            [{"name": "x", "match": [{"port": 1}]}, {"match": [{"port": 1}, {"port": 2}]}],
            ['VirtualService rule #1 match #0 is not used (duplicate/overlapping match in rule "x").'],
        ),
    ],
)  # fmt: skip
def test_matches(rules: Any, expected: list[str]) -> None:
    messages = found(matches.analyze, virtual_service("a", *rules))
    assert [message.split(") ", 1)[1] for message in messages] == expected


def test_subsets_select_pods() -> None:
    resources = [service("myapp"), pod("p", {"app": "myapp", "version": "v1"}), pod("q", {"version": "v2"})]
    assert found(destinationrule.analyze, rule("d", "myapp", "v1", "v2"), *resources) == [
        "Error [IST0173] (DestinationRule default/d) The Subset v2 defined in the DestinationRule does not select any "
        "pods. Which may lead to 503 UH (NoHealthyUpstream)."
    ]
    assert found(destinationrule.analyze, rule("d", "nobody", "v1")) == [
        "Warning [IST0174] (DestinationRule default/d) The host nobody defined in the DestinationRule does not match "
        "any services in the mesh."
    ]


def namespace(name: str, **labels: str) -> Resource:
    return obj("v1", "Namespace", name, labels={key.replace("__", "/"): value for key, value in labels.items()})


def test_injection_of_namespaces() -> None:
    resources = [
        namespace("plain"),
        namespace("kube-system"),
        namespace("istio-system"),
        obj("v1", "Namespace", "off", labels={"istio-injection": "disabled"}),
        obj("v1", "Namespace", "both", labels={"istio-injection": "enabled", "istio.io/rev": "x"}),
    ]
    messages = found(injection.analyze, *resources)
    assert [message.split(")", 1)[0] for message in messages] == [
        "Info [IST0102] (Namespace plain",
        "Warning [IST0123] (Namespace both",
    ]
    assert "Run 'kubectl label namespace plain istio-injection=enabled' to enable it" in messages[0]
    assert "labels [istio-injection istio.io/rev], which" in messages[1]


@pytest.mark.parametrize(
    ("labels", "stated"),
    [
        ({"istio.io/dataplane-mode": "ambient"}, ""),
        ({"istio.io/dataplane-mode": "ambient", "istio-injection": "disabled"}, ""),
        (
            {"istio.io/dataplane-mode": "ambient", "istio-injection": "enabled"},
            "[istio-injection istio.io/dataplane-mode]",
        ),
        ({"istio.io/dataplane-mode": "ambient", "istio.io/rev": "x"}, "[istio.io/rev istio.io/dataplane-mode]"),
    ],
)
def test_a_namespace_is_in_the_mesh_in_one_way(labels: dict[str, str], stated: str) -> None:
    messages = found(injection.analyze, obj("v1", "Namespace", "n", labels=labels))
    assert [stated in message for message in messages] == ([True] if stated else [])


def test_injection_of_pods() -> None:
    enabled = obj("v1", "Namespace", "default", labels={"istio-injection": "enabled"})
    missing = (
        "Warning [IST0103] (Pod default/p) The pod default/p is missing the Istio proxy. This can often be resolved"
    )
    assert found(injection.analyze, enabled, pod("p"))[0].startswith(missing)
    native = {"containers": [{"name": "app"}], "initContainers": [{"name": "istio-proxy"}]}
    for fine in (
        pod("p", spec=native),
        pod("p", {"sidecar.istio.io/inject": "False"}),
        pod("p", annotations={"sidecar.istio.io/inject": "false"}),
        pod("p", spec={"hostNetwork": True, "containers": []}),
    ):
        assert found(injection.analyze, enabled, fine) == []
    # the label beats the annotation
    both = pod("p", {"sidecar.istio.io/inject": "true"}, annotations={"sidecar.istio.io/inject": "false"})
    assert len(found(injection.analyze, enabled, both)) == 1
    assert found(injection.analyze, pod("p")) == []


def test_port_names() -> None:
    assert found(services.analyze, service("a", {"name": "web", "port": 80, "targetPort": 8080})) == [
        "Info [IST0118] (Service default/a) Port name web (port: 80, targetPort: 8080) doesn't follow the naming "
        "convention of Istio port."
    ]
    for port in ({"name": "http-web", "port": 80}, {"name": "x", "port": 80, "appProtocol": "http"}, {"port": 3306}):
        assert found(services.analyze, service("a", port)) == []
    external = service("a", {"name": "tcp", "port": 1}, type="ExternalName")
    assert found(services.analyze, external)[0].startswith("Warning [IST0150]")


def test_annotations() -> None:
    inject = {"sidecar.istio.io/inject": "true"}
    deployment = obj(
        "apps/v1", "Deployment", "d", {"template": {"metadata": {"annotations": inject}}}, annotations=inject
    )
    deprecated = (
        'Info [IST0135] (Deployment default/d) Annotation "sidecar.istio.io/inject" has been deprecated in favor of '
        'the "sidecar.istio.io/inject" label and may not work in future Istio versions.'
    )
    assert found(annotation.analyze, deployment) == [
        deprecated,
        "Warning [IST0107] (Deployment default/d) Misplaced annotation: sidecar.istio.io/inject can only be applied to "
        "Pod",
        deprecated,
    ]
    typo = pod("p", annotations={"sidecar.istio.io/injct": "true", "example.com/x": "y"})
    assert found(annotation.analyze, typo) == [
        "Warning [IST0108] (Pod default/p) Unknown annotation: sidecar.istio.io/injct"
    ]


def test_gateway_selector_port_and_credential() -> None:
    spec = {
        "selector": {"istio": "ingressgateway"},
        "servers": [
            {"port": {"number": 80}, "hosts": ["*"]},
            {"port": {"number": 7000}, "hosts": ["*"], "tls": {"credentialName": "cert"}},
        ],
    }
    public = obj(NETWORKING, "Gateway", "g", spec)
    assert found(gateway.analyze, public) == [
        'Error [IST0101] (Gateway default/g) Referenced selector not found: "istio=ingressgateway"'
    ]
    labels = {"istio": "ingressgateway"}
    messages = found(gateway.analyze, public, pod("p", labels), service("s", selector=labels))
    assert [message.split(")", 1)[0] for message in messages] == ["Warning [IST0162] (Gateway default/g"]
    assert found(credentials.analyze, public, pod("p", labels)) == [
        'Error [IST0101] (Gateway default/g) Referenced credentialName not found: "cert"'
    ]


def test_authorization_policies() -> None:
    spec = {
        "selector": {"matchLabels": {"app": "x"}},
        "rules": [{"from": [{"source": {"namespaces": ["gone", "default", "d*"]}}]}],
    }
    policy = obj("security.istio.io/v1", "AuthorizationPolicy", "p", spec)
    assert found(authorization.analyze, policy, namespace("default")) == [
        "Warning [IST0127] (AuthorizationPolicy default/p) No matching workloads for this resource with the following "
        "labels: app=x",
        'Error [IST0101] (AuthorizationPolicy default/p) Referenced namespace not found: "gone"',
    ]
    outside, inside = pod("p", {"app": "x"}), pod("p", {"app": "x", "sidecar.istio.io/inject": "true"})
    assert len(found(authorization.analyze, policy, outside, namespace("default"))) == 2
    assert len(found(authorization.analyze, policy, inside, namespace("default"))) == 1
