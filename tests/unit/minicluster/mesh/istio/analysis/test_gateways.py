"""Gateways among each other, their credentials, and what VirtualServices expect of them."""

from __future__ import annotations

import base64
import datetime as dt
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from meshlab.minicluster.mesh.istio.analysis import credentials, gatewayconflicts, jwtclaims, virtualservice
from meshlab.minicluster.mesh.istio.analysis import gateway as ports
from meshlab.minicluster.mesh.istio.analysis.model import Resource
from tests.unit.minicluster.mesh.istio.analysis.builders import NETWORKING, SECURITY, codes, found, obj, pod, secret

INGRESS = {"istio": "ingressgateway"}


def server(*hosts: str, port: int = 80, **more: Any) -> dict[str, Any]:
    return {"port": {"number": port, "name": "http", "protocol": "HTTP"}, "hosts": list(hosts), **more}


def gateway(name: str, *servers: Any, selector: dict[str, str] | None = None, namespace: str = "default") -> Resource:
    return obj(NETWORKING, "Gateway", name, {"selector": selector or INGRESS, "servers": list(servers)}, namespace)


def virtual_service(name: str, spec: Any) -> Resource:
    return obj(NETWORKING, "VirtualService", name, {"hosts": ["shop.example"], **spec})


def test_one_host_on_one_port_of_two_gateways() -> None:
    both = gateway("a", server("x.example", "y.example")), gateway("b", server("x.example"), server("z", port=81))
    assert found(gatewayconflicts.hosts, *both) == [
        "Error [IST0145] (Gateway default/a) Conflict with gateways default/b (workload selector istio=ingressgateway, "
        "port 80, hosts x.example,y.example).",
        "Error [IST0145] (Gateway default/b) Conflict with gateways default/a (workload selector istio=ingressgateway, "
        "port 80, hosts x.example).",
    ]


@pytest.mark.parametrize(
    "other",
    [
        gateway("b", server("x.example", port=81)),
        gateway("b", server("other.example")),
        gateway("b", server("x.example", bind="10.0.0.1")),
        gateway("b", server("x.example"), selector={"istio": "egressgateway"}),
        gateway("b", {"hosts": ["x.example"]}),
    ],
)
def test_gateways_that_do_not_meet(other: Resource) -> None:
    assert found(gatewayconflicts.hosts, gateway("a", server("x.example")), other) == []


def test_a_narrower_selector_meets_only_on_a_pod() -> None:
    narrow = {**INGRESS, "team": "shop"}
    both = gateway("a", server("x.example")), gateway("b", server("x.example"), selector=narrow)
    assert found(gatewayconflicts.hosts, *both) == []
    assert codes(gatewayconflicts.hosts, *both, pod("p", narrow)) == [
        ("IST0145", f"Gateway default/{name}") for name in "ab"
    ]


def test_one_certificate_in_two_gateways() -> None:
    tls = {"mode": "SIMPLE", "credentialName": "cert"}
    wide = gateway("wide", server("x", tls=tls))
    narrow = gateway("narrow", server("y", tls=tls), selector={**INGRESS, "team": "shop"})
    assert found(gatewayconflicts.certificates, wide, narrow) == [
        "Warning [IST0138] (Gateway default/wide) Duplicate certificate in multiple gateways [default/wide "
        "default/narrow] may cause 404s if clients re-use HTTP2 connections."
    ]
    other = gateway("other", server("y", tls={"mode": "SIMPLE", "credentialName": "else"}))
    assert found(gatewayconflicts.certificates, wide, other) == []


def certificate(*, days: int) -> str:
    key, now = ec.generate_private_key(ec.SECP256R1()), dt.datetime.now(dt.UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "shop.example")])
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    begin, end = sorted((now + dt.timedelta(days=days), now - dt.timedelta(days=2)))
    signed = builder.not_valid_before(begin).not_valid_after(end).sign(key, hashes.SHA256())
    return base64.b64encode(signed.public_bytes(Encoding.PEM)).decode()


@pytest.mark.parametrize(
    ("data", "usable"),
    [
        ({"tls.crt": certificate(days=1), "tls.key": "a2V5"}, True),
        ({"cert": certificate(days=1), "key": "a2V5"}, True),
        ({"tls.crt": certificate(days=-1), "tls.key": "a2V5"}, False),
        ({"tls.crt": "bm90aGluZw==", "tls.key": "a2V5"}, False),
        ({"tls.crt": "%%", "tls.key": "a2V5"}, False),
        ({"tls.crt": certificate(days=1)}, False),
        ({}, False),
    ],
)
def test_credentials(data: dict[str, str], usable: bool) -> None:
    public = gateway("g", server("x", port=443, tls={"mode": "SIMPLE", "credentialName": "cert"}))
    proxy = pod("p", INGRESS, namespace="istio-ingress")
    expected = (
        "Error [IST0161] (Gateway default/g) The credential referenced by the Gateway g in namespace istio-ingress is "
        "invalid, which can cause the traffic not to work as expected."
    )
    assert found(credentials.analyze, public, proxy, secret("cert", "istio-ingress", **data)) == (
        [] if usable else [expected]
    )


def test_a_credential_is_looked_for_where_the_pods_are() -> None:
    public = gateway("g", server("x", port=443, tls={"mode": "SIMPLE", "credentialName": "cert"}))
    beside = secret("cert", "default", cert=certificate(days=1), key="a2V5")
    assert found(credentials.analyze, public, beside, pod("p", INGRESS, namespace="istio-system")) == [
        'Error [IST0101] (Gateway default/g) Referenced credentialName not found: "cert"'
    ]
    assert found(credentials.analyze, public, beside) == []  # no pods: the selector is reported by another analyzer


def test_a_port_is_on_a_service_of_the_pods() -> None:
    public, proxy = gateway("g", server("x", port=8002)), pod("p", INGRESS)

    def front(**port: Any) -> Resource:
        return obj("v1", "Service", "s", {"selector": INGRESS, "ports": [port]})

    assert codes(ports.analyze, public, proxy) == [("IST0162", "Gateway default/g")]
    assert codes(ports.analyze, public, proxy, front(port=8002, protocol="UDP")) == [("IST0162", "Gateway default/g")]
    assert codes(ports.analyze, public, proxy, front(port=80, targetPort=8002)) == []
    assert codes(ports.analyze, public, proxy, front(port=8002, targetPort=9000)) == []


def test_one_host_for_some_namespaces_and_for_all() -> None:
    def routes(name: str, host: str, *scopes: str) -> Resource:
        spec = {"hosts": [host], **({"exportTo": list(scopes)} if scopes else {})}
        return obj(NETWORKING, "VirtualService", name, spec, "shop")

    def names(*resources: Resource) -> list[str]:
        return [origin.rpartition("/")[2] for _, origin in codes(virtualservice.conflicts, *resources)]

    assert names(routes("a", "*.shop.io"), routes("b", "*.shop.io")) == ["a", "b"]
    assert names(routes("a", "*.shop.io"), routes("b", "*.io")) == []  # the narrower one wins, everywhere
    assert names(routes("a", "*.shop.io", "."), routes("b", "*.io")) == ["a", "b"]
    assert names(routes("a", "*.shop.io", "one"), routes("b", "*.shop.io", "two")) == []
    assert names(routes("a", "*.shop.io", "."), routes("b", "*.shop.io", "shop", "two")) == ["a", "b"]


def test_a_destination_is_visible_to_those_who_get_the_routes() -> None:
    web = obj("v1", "Service", "web", {"ports": [{"port": 80}]}, annotations={"networking.istio.io/exportTo": ".,one"})
    for scopes, found_there in (([], True), (["*"], True), (["one"], True), (["two"], False), (["two", "."], True)):
        routes: Any = {"exportTo": scopes, "http": [{"route": [{"destination": {"host": "web"}}]}]}
        messages = codes(virtualservice.hosts, virtual_service("v", routes), web)
        assert messages == ([] if found_there else [("IST0101", "VirtualService default/v")]), scopes


def test_routing_by_claims_needs_authentication() -> None:
    match = {"headers": {"@request.auth.claims.group": {"exact": "dev"}}}
    routes = virtual_service("v", {"gateways": ["g"], "http": [{"match": [match]}]})
    public, proxy = gateway("g", server("*")), pod("p", INGRESS, namespace="istio-system")
    assert found(jwtclaims.analyze, routes, public, proxy)[0].startswith(
        "Error [IST0149] (VirtualService default/v) The virtual service uses the JWT claim based routing (key: "
        "@request.auth.claims.group) but found no request authentication for the gateway (default/g) pod (p). "
    )
    rules = obj(SECURITY, "RequestAuthentication", "r", {"selector": {"matchLabels": INGRESS}}, "istio-system")
    assert found(jwtclaims.analyze, routes, public, proxy, rules) == []
    plain = virtual_service("v", {"gateways": ["g"], "http": [{"match": [{"headers": {"a": {"exact": "b"}}}]}]})
    assert found(jwtclaims.analyze, plain, public, proxy) == []


def test_kubernetes_gateways_are_gateways_too() -> None:
    spec: Any = {"listeners": [{"name": "http", "port": 80, "hostname": "*.example"}]}
    kubernetes = obj("gateway.networking.k8s.io/v1", "Gateway", "k", spec)
    assert found(virtualservice.gateways, virtual_service("v", {"gateways": ["k"]}), kubernetes) == []
    stranger = virtual_service("v", {"gateways": ["k"], "hosts": ["shop.org"]})
    assert codes(virtualservice.gateways, stranger, kubernetes) == [("IST0132", "VirtualService default/v")]
    internal = virtual_service("v", {"gateways": ["default/k~istio-autogenerated-k8s-gateway~http"]})
    assert found(virtualservice.gateways, internal, kubernetes) == [
        "Warning [IST0165] (VirtualService default/v) Gateway reference in VirtualService default/v is to an "
        "implementation-generated internal Gateway: default/k~istio-autogenerated-k8s-gateway~http."
    ]


def test_subsets_of_another_virtual_service_do_not_reach_the_gateway() -> None:
    split = virtual_service(
        "split", {"hosts": ["web"], "http": [{"route": [{"destination": {"host": "web", "subset": "v1"}}]}]}
    )
    plain: Any = {"gateways": ["g"], "http": [{"route": [{"destination": {"host": "web"}}]}]}
    assert found(virtualservice.ingress_subsets, split, virtual_service("edge", plain)) == [
        "Warning [IST0140] (VirtualService default/edge) Subset in virtual service default/split has no effect on "
        "ingress gateway default/edge requests"
    ]
    inside = virtual_service("edge", {**plain, "gateways": []})
    assert found(virtualservice.ingress_subsets, split, inside) == []
