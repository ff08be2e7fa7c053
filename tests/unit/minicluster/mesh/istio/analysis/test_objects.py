"""Deployments, ServiceEntries, webhooks, proxies' images, values of annotations, and what else stands by itself."""

from __future__ import annotations

import json
from typing import Any

import pytest

from meshlab.minicluster.mesh.istio.analysis import (
    annotation,
    conditions,
    deployment,
    deprecation,
    destinationrule,
    jwks,
    matches,
    proxyimage,
    serviceentry,
    webhook,
)
from meshlab.minicluster.mesh.istio.analysis.model import Resource
from meshlab.minicluster.mesh.istio.manifests.webhooks import injector_webhooks
from tests.unit.minicluster.mesh.istio.analysis.builders import NETWORKING, SECURITY, codes, config_map, found, obj, pod

MEMBER = {"app": "web", "sidecar.istio.io/inject": "true"}


def one_deployment(pod_labels: dict[str, str], spec: Any = None, **metadata: Any) -> Resource:
    template = {"metadata": {"labels": pod_labels}, "spec": spec or {"containers": [{"name": "app"}]}}
    return obj("apps/v1", "Deployment", "web", {"template": template}, **metadata)


def service(name: str, namespace: str = "default", **port: Any) -> Resource:
    return obj("v1", "Service", name, {"selector": {"app": "web"}, "ports": [port]}, namespace)


def test_services_of_one_deployment_agree() -> None:
    tcp, udp = service("a", port=53, protocol="TCP"), service("b", port=53, protocol="UDP")
    assert found(deployment.services, one_deployment(MEMBER), tcp, udp) == [
        "Warning [IST0116] (Deployment default/web) This deployment web is associated with multiple services using "
        "port 53 but different protocols: [default/a default/b]"
    ]
    first, second = service("a", port=80, targetPort=8080), service("b", port=90, targetPort=8080)
    assert found(deployment.services, one_deployment(MEMBER), first, second) == [
        "Warning [IST0137] (Deployment default/web) This deployment web is associated with multiple services "
        '[default/a default/b] using targetPort "8080" but different ports: [80 90].'
    ]
    assert found(deployment.services, one_deployment({"app": "web"}), first, second) == []  # not in the mesh
    assert found(deployment.services, one_deployment(MEMBER), first, service("b", "other", port=90)) == []


@pytest.mark.parametrize(
    ("spec", "count"),
    [
        ({"securityContext": {"runAsUser": 1337}}, 1),
        ({"containers": [{"name": "app", "securityContext": {"runAsUser": 1337}}]}, 1),
        ({"containers": [{"name": "istio-proxy", "securityContext": {"runAsUser": 1337}}]}, 0),
        ({"securityContext": {"runAsUser": 1000}}, 0),
    ],
)
def test_the_proxys_user_is_reserved(spec: Any, count: int) -> None:
    assert [code for code, _ in codes(deployment.user_ids, pod("p", spec=spec))] == ["IST0144"] * count
    assert len(codes(deployment.user_ids, one_deployment(MEMBER, spec))) == count
    assert codes(deployment.user_ids, pod("p", {"istio": "ingressgateway"}, spec)) == []


def service_entry(name: str, namespace: str = "default", status: Any = None, **spec: Any) -> Resource:
    made = obj(NETWORKING, "ServiceEntry", name, {"hosts": ["api.example"], **spec}, namespace)
    return Resource({**made.obj, "status": status}) if status else made


@pytest.mark.parametrize("protocol", ["TCP", "tcp", ""])
def test_tcp_needs_an_address(protocol: str) -> None:
    ports = [{"number": 443, "name": "a", "protocol": "TLS"}, {"number": 9000, "name": "b", "protocol": protocol}]
    assert found(serviceentry.addresses, service_entry("s", ports=ports)) == [
        "Warning [IST0134] (ServiceEntry default/s) ServiceEntry addresses are required for this protocol."
    ]
    assert found(serviceentry.addresses, service_entry("s", ports=ports, addresses=["10.0.0.1"])) == []
    allocated = {"addresses": [{"value": "240.240.0.1"}]}
    assert found(serviceentry.addresses, service_entry("s", ports=ports, status=allocated)) == []
    variables = '{ISTIO_META_DNS_CAPTURE: "true", ISTIO_META_DNS_AUTO_ALLOCATE: "true"}'
    mesh = config_map("istio", mesh=f"defaultConfig: {{proxyMetadata: {variables}}}")
    assert found(serviceentry.addresses, service_entry("s", ports=ports), mesh) == []


def test_one_protocol_for_a_port_of_a_host() -> None:
    http, tls = (service_entry(name, ports=[{"number": 443, "protocol": name.upper()}]) for name in ("http", "tls"))
    assert found(serviceentry.protocols, http, tls)[0] == (
        "Warning [IST0177] (ServiceEntry default/http) Multiple ServiceEntries (default/http, default/tls) define the "
        'same host "api.example" and port 443 with conflicting protocols (HTTP, TLS).'
    )
    private = service_entry("tls", "other", ports=[{"number": 443, "protocol": "TLS"}], exportTo=["."])
    assert len(found(serviceentry.protocols, http, private)) == 2  # the other namespace sees both
    hidden = service_entry("http", ports=[{"number": 443, "protocol": "HTTP"}], exportTo=["."])
    assert found(serviceentry.protocols, hidden, private) == []


def test_deprecated_fields() -> None:
    delay = {"fault": {"delay": {"percent": 10, "fixedDelay": "1s"}}}
    routes = obj(NETWORKING, "VirtualService", "v", {"http": [delay]})
    egress = obj(NETWORKING, "Sidecar", "s", {"outboundTrafficPolicy": {"egressProxy": {"host": "x"}}})
    assert found(deprecation.analyze, routes, egress) == [
        "Warning [IST0002] (VirtualService default/v) Deprecated: HTTPRoute.fault.delay.percent is deprecated; use "
        "HTTPRoute.fault.delay.percentage",
        "Warning [IST0002] (Sidecar default/s) Deprecated: OutboundTrafficPolicy.EgressProxy ignored",
    ]


def test_conditions() -> None:
    status = {"conditions": [{"type": "Ready", "status": "True"}, {"type": "Bound", "status": "False", "reason": "No"}]}
    assert found(conditions.analyze, service_entry("s", status=status)) == [
        "Warning [IST0171] (ServiceEntry default/s) A condition with a negative status is present: type=Bound, "
        "reason=No, message=."
    ]


@pytest.mark.parametrize(
    ("policy", "rest", "expected"),
    [
        ({"tls": {"mode": "SIMPLE"}}, {}, ["IST0128"]),
        ({"tls": {"mode": "MUTUAL"}}, {}, ["IST0128"]),
        ({"tls": {"mode": "ISTIO_MUTUAL"}}, {}, []),
        ({"tls": {"mode": "SIMPLE", "caCertificates": "/ca.pem"}}, {}, []),
        ({"tls": {"mode": "SIMPLE", "credentialName": "c"}}, {}, ["IST0128"]),
        ({"tls": {"mode": "SIMPLE", "credentialName": "c"}}, {"workloadSelector": {"matchLabels": {"a": "b"}}}, []),
        ({"portLevelSettings": [{"port": {"number": 443}, "tls": {"mode": "SIMPLE"}}]}, {}, ["IST0129"]),
    ],
)
def test_servers_are_verified(policy: Any, rest: Any, expected: list[str]) -> None:
    rule = obj(NETWORKING, "DestinationRule", "d", {"host": "db", "trafficPolicy": policy, **rest})
    assert [code for code, _ in codes(destinationrule.ca_certificates, rule)] == expected


def injector(name: str, revision: str, hooks: Any) -> Resource:
    made = obj(
        "admissionregistration.k8s.io/v1", "MutatingWebhookConfiguration", name, labels={"istio.io/rev": revision}
    )
    return Resource({**made.obj, "webhooks": hooks})


def hooks(revision: str, tag: str = "") -> Any:
    return injector_webhooks("istio-system", revision, tag=tag, every_namespace=False, reinvocation="Never")


def istiod(revision: str = "") -> Resource:
    return obj("v1", "Service", f"istiod-{revision}" if revision else "istiod", {}, "istio-system")


def test_injectors_share_no_pod() -> None:
    default, canary = injector("one", "default", hooks("default")), injector("two", "canary", hooks("canary"))
    tag = injector("tag", "canary", hooks("canary", "prod"))
    both = istiod(), istiod("canary")
    assert found(webhook.analyze, default, canary, tag, *both) == []
    assert found(webhook.analyze, default, canary) == [
        f"Error [IST0139] (MutatingWebhookConfiguration {name}) Injector refers to a control plane service that does "
        f"not exist: istio-system/{service}."
        for name, service, count in (("one", "istiod", 4), ("two", "istiod-canary", 2))
        for _ in range(count)
    ]
    again = injector("again", "default", hooks("default"))
    assert (
        "Error [IST0139] (MutatingWebhookConfiguration again) Webhook overlaps with others: "
        "[one/namespace.sidecar-injector.istio.io]. This may cause injection to occur twice."
    ) in found(webhook.analyze, default, again, *both)


def injected(image: str, **annotations: str) -> Resource:
    return pod("p", spec={"initContainers": [{"name": "istio-proxy", "image": image}]}, annotations=annotations)


@pytest.mark.parametrize(
    ("subject", "mesh", "fine"),
    [
        (injected("hub/proxyv2:9"), "{}", True),
        (injected("hub/proxyv2:8"), "{}", False),
        (injected("own/proxy:1", **{"sidecar.istio.io/proxyImage": "own/proxy:1"}), "{}", True),
        (injected("hub/proxyv2:9-distroless"), "{defaultConfig: {image: {imageType: distroless}}}", True),
        (injected("hub/proxyv2:9"), "{defaultConfig: {image: {imageType: distroless}}}", False),
        (injected("hub/proxyv2:9-debug", **{"proxy.istio.io/config": "image: {imageType: debug}"}), "{}", True),
        (pod("p"), "{}", True),
    ],
)
def test_pods_run_the_proxy_that_would_be_injected(subject: Resource, mesh: str, fine: bool) -> None:
    values = json.dumps({"global": {"hub": "hub", "tag": "9", "proxy": {"image": "proxyv2"}}})
    resources = [config_map("istio-sidecar-injector", values=values), config_map("istio", mesh=mesh)]
    enabled = obj("v1", "Namespace", "default", labels={"istio-injection": "enabled"})
    messages = found(proxyimage.mismatches, subject, enabled, *resources)
    assert [message.split(".", 1)[0] for message in messages] == (
        []
        if fine
        else [
            "Warning [IST0158] (Namespace default) The Istio proxy images of the pods running in the namespace do not "
            "match the image defined in the injection configuration (pod names: [p])"
        ]
    )


def test_automatic_images_are_replaced() -> None:
    spec = {"containers": [{"name": "istio-proxy", "image": "auto"}]}
    gateway = one_deployment({"sidecar.istio.io/inject": "true"}, spec)
    default = injector("one", "default", hooks("default"))
    assert found(proxyimage.automatic, gateway, default) == []
    assert found(proxyimage.automatic, gateway) == [
        "Warning [IST0146] (Deployment default/web) Deployment web contains `image: auto` but does not match any Istio "
        "injection webhook selectors."
    ]
    assert codes(proxyimage.automatic, pod("p", spec=spec), default) == [("IST0147", "Pod default/p")]


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("traffic.sidecar.istio.io/excludeOutboundIPRanges", "10.0.0.0/8,10.1.0.0/16", ""),
        ("traffic.sidecar.istio.io/includeOutboundIPRanges", "*", ""),
        (
            "traffic.sidecar.istio.io/includeOutboundIPRanges",
            "10.0.0.0",
            "includeIPRanges invalid: failed parsing cidr '10.0.0.0': netip.ParsePrefix(\"10.0.0.0\"): no '/'",
        ),
        (
            "traffic.sidecar.istio.io/excludeInboundPorts",
            "80,web",
            "excludeInboundPorts invalid: failed parsing port 'web': failed parsing port 'web': strconv.ParseUint: "
            'parsing "web": invalid syntax',
        ),
        ("traffic.sidecar.istio.io/includeInboundPorts", "*", ""),
        (
            "sidecar.istio.io/interceptionMode",
            "WRONG",
            "interceptionMode invalid, use REDIRECT,TPROXY,NONE: WRONG",
        ),
        ("prometheus.istio.io/merge-metrics", "yes", 'strconv.ParseBool: parsing "yes": invalid syntax'),
        (
            "status.sidecar.istio.io/port",
            "70000",
            "excludeInboundPorts invalid: failed parsing port '70000': strconv.ParseUint: parsing \"70000\": value out "
            "of range",
        ),
    ],
)
def test_values_of_annotations(name: str, value: str, problem: str) -> None:
    expected = [f"Warning [IST0125] (Pod default/p) Invalid annotation {name}: {problem}"] if problem else []
    assert found(annotation.analyze, pod("p", annotations={name: value})) == expected


def test_a_prefix_covers_a_longer_one() -> None:
    def routes(*uris: str, **more: Any) -> Resource:
        rules = [{"match": [{"uri": {"prefix": uri}, **more}]} for uri in uris]
        return obj(NETWORKING, "VirtualService", "v", {"http": rules})

    assert found(matches.analyze, routes("/shop", "/shop/cart")) == [
        "Info [IST0131] (VirtualService default/v) VirtualService rule #1 match #0 of prefix /shop/cart is not used "
        "(duplicate/overlapping match in rule #0 of prefix /shop on #0)."
    ]
    assert found(matches.analyze, routes("/shop/cart", "/shop")) == []
    by_method = {"http": [
        {"match": [{"uri": {"prefix": "/shop"}, "method": {"exact": "GET"}}]},
        {"match": [{"uri": {"prefix": "/shop/cart"}, "method": {"exact": "PUT"}}]},
    ]}  # fmt: skip
    assert found(matches.analyze, obj(NETWORKING, "VirtualService", "v", by_method)) == []


def test_istiod_fetches_keys_from_anywhere() -> None:
    policies = [obj(SECURITY, "RequestAuthentication", f"r{number}", {}) for number in range(7)]

    def control_plane(value: str) -> Resource:
        containers = [{"name": "discovery", "env": [{"name": "BLOCKED_CIDRS_IN_JWKS_URIS", "value": value}]}]
        return one_deployment({}, {"containers": containers}, labels={"app": "istiod"})

    assert found(jwks.analyze, *policies, control_plane("")) == [
        "Warning [IST0175] (Deployment default/web) BLOCKED_CIDRS_IN_JWKS_URIS is not configured but 7 "
        "RequestAuthentication resource(s) exist (default/r0, default/r1, default/r2, default/r3, default/r4, and 2 "
        "more). Consider configuring it to restrict JWKS URI fetches to trusted networks."
    ]
    assert found(jwks.analyze, *policies, control_plane("10.0.0.0/8")) == []
    assert found(jwks.analyze, control_plane("")) == []
