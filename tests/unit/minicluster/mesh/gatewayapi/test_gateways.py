"""Gateways of the Gateway API: listeners, who may attach, statuses, and the proxies that serve them."""

from __future__ import annotations

import base64
import datetime as dt
from typing import Any

import pytest

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.ca import CertificateAuthority
from meshlab.minicluster.mesh.envoy.vocabulary import LISTENER, ROUTE
from meshlab.minicluster.mesh.gatewayapi.status import Status, render
from tests.fakes.istio_world import World

NOW = "2026-01-01T00:00:00Z"


def gateway(listeners: str, *, extra: str = "", namespace: str = "default", name: str = "gw") -> str:
    return (
        "{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, "
        f"metadata: {{name: {name}, namespace: {namespace}, generation: 3}}, "
        f"spec: {{gatewayClassName: istio, listeners: [{listeners}]{extra}}}}}"
    )


HTTP = "{name: http, port: 80, protocol: HTTP}"


def route(
    name: str, *, parent: str = "{name: gw}", rules: str = "", hostnames: str = "", namespace: str = "default"
) -> str:
    rules = rules or "{backendRefs: [{name: web, port: 80}]}"
    return (
        "{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, "
        f"metadata: {{name: {name}, namespace: {namespace}, generation: 2}}, "
        f"spec: {{parentRefs: [{parent}], hostnames: [{hostnames}], rules: [{rules}]}}}}"
    )


def edge(
    world: World, *, namespace: str = "default", service: str = "gw-istio", ports: tuple[int, ...] = (80, 443)
) -> None:
    """The deployed proxy of Gateway ``gw`` and its Service."""
    labels = {"gateway.networking.k8s.io/gateway-name": "gw"}
    world.pod("edge", labels, namespace=namespace, injected=False)
    world.service(service, labels, [{"name": f"p{port}", "port": port} for port in ports], namespace=namespace)


def web(world: World) -> None:
    world.pod("web", {"app": "web"}, ports=(("http", 8080),))
    world.service("web", {"app": "web"}, [{"name": "http", "port": 80, "targetPort": 8080}])


def status(world: World, resource: str, name: str = "gw") -> Status:
    full = f"{resource}.gateway.networking.k8s.io"
    return next(s for s in world.translate().statuses if (s.resource, s.name) == (full, name))


def said(conditions: Any) -> dict[str, tuple[bool, str, str]]:
    return {c.type: (c.status, c.reason, c.message) for c in conditions}


def test_a_gateway_is_programmed_once_its_service_has_proxies() -> None:
    world = World()
    world.apply(gateway(HTTP))
    host = "gw-istio.default.svc.cluster.local"
    before = said(status(world, "gateways").conditions)
    assert before["Accepted"] == (True, "Accepted", "Resource accepted")
    assert before["Programmed"] == (
        False,
        "AddressNotUsable",
        f'Failed to assign to any requested addresses: hostname "{host}" not found',
    )
    edge(world)
    assert said(status(world, "gateways").conditions)["Programmed"] == (
        True,
        "Programmed",
        f"Resource programmed, assigned to service(s) {host}:80",
    )
    assert status(world, "gateways").addresses == (host,), "without a load balancer the Service's host is the address"
    world.objects["services"][-1]["status"] = {"loadBalancer": {"ingress": [{"ip": "127.77.96.1"}]}}
    assert status(world, "gateways").addresses == ("127.77.96.1",)


def test_a_gateway_waits_for_its_load_balancer() -> None:
    world = World()
    edge(world)
    world.objects["services"][-1]["spec"]["type"] = "LoadBalancer"
    world.apply(gateway(HTTP))
    found = status(world, "gateways")
    assert said(found.conditions)["Programmed"][:2] == (False, "AddressNotAssigned")
    assert "address pending" in said(found.conditions)["Programmed"][2]
    assert found.addresses is None


def test_a_gateway_by_hand_names_its_service() -> None:
    world = World()
    edge(world, service="ingress")
    world.apply(gateway(HTTP, extra=", addresses: [{type: Hostname, value: ingress}]"))
    world.apply(
        gateway(
            "{name: a, port: 81, protocol: HTTP}", name="wrong", extra=", addresses: [{type: Hostname, value: ingress}]"
        )
    )
    assert said(status(world, "gateways").conditions)["Programmed"][0]
    assert (
        'port 81 not found for hostname "ingress.default.svc.cluster.local"'
        in said(status(world, "gateways", "wrong").conditions)["Programmed"][2]
    )
    assert "0.0.0.0_80" in world.build("edge", "router")[LISTENER]


def test_only_proxies_behind_the_service_serve_it() -> None:
    world = World()
    edge(world)
    world.pod("other", {"app": "other"}, injected=False)
    web(world)
    world.apply(gateway(HTTP))
    world.apply(route("r"))
    assert set(world.build("edge", "router")[LISTENER]) == {"0.0.0.0_80"}
    assert world.build("other", "router")[LISTENER] == {}
    (host,) = world.build("edge", "router")[ROUTE]["http.80"]["virtual_hosts"]
    assert host["domains"] == ["*"]
    assert host["routes"][0]["route"]["cluster"] == "outbound|80||web.default.svc.cluster.local"


@pytest.mark.parametrize(
    ("from_", "namespace", "attached"),
    [
        ("{from: Same}", "default", 1),
        ("{from: Same}", "other", 0),
        ("{from: All}", "other", 1),
        ("{from: Selector, selector: {matchLabels: {team: a}}}", "other", 1),
        ("{from: Selector, selector: {matchLabels: {team: b}}}", "other", 0),
        ("{from: Selector, selector: {matchExpressions: [{key: team, operator: In, values: [a, c]}]}}", "other", 1),
    ],
)
def test_who_may_attach(from_: str, namespace: str, attached: int) -> None:
    world = World()
    web(world)
    world.apply("{apiVersion: v1, kind: Namespace, metadata: {name: other, namespace: '', labels: {team: a}}}")
    world.apply(gateway(f"{{name: http, port: 80, protocol: HTTP, allowedRoutes: {{namespaces: {from_}}}}}"))
    parent = "{name: gw, namespace: default}"
    rules = "{backendRefs: [{name: web, port: 80, namespace: default}]}"
    world.apply(route("r", parent=parent, namespace=namespace, rules=rules))
    (listener,) = status(world, "gateways").listeners or ()
    assert listener.attached_routes == attached
    (parent_status,) = status(world, "httproutes", "r").parents or ()
    if not attached:
        assert said(parent_status.conditions)["Accepted"] == (
            False,
            "NotAllowedByListeners",
            f'hostnames matched parent hostname "", but namespace "{namespace}" is not allowed by the parent',
        )


@pytest.mark.parametrize(
    ("parent", "hostnames", "reason", "message"),
    [
        ("{name: gw, sectionName: nope}", "", "NoMatchingParent", 'sectionName "nope" not found'),
        ("{name: gw, port: 81}", "", "NoMatchingParent", "port 81 not found"),
        ("{name: gw}", "b.com", "NoMatchingListenerHostname", 'no hostnames matched parent hostname "*.a.com"'),
        ("{name: gw}", "x.a.com, b.com", "Accepted", "Route was valid"),
        ("{name: gw}", "", "Accepted", "Route was valid"),
    ],
)
def test_why_a_route_is_refused(parent: str, hostnames: str, reason: str, message: str) -> None:
    world = World()
    web(world)
    world.apply(gateway("{name: http, port: 80, protocol: HTTP, hostname: '*.a.com'}"))
    world.apply(route("r", parent=parent, hostnames=hostnames))
    (found,) = status(world, "httproutes", "r").parents or ()
    assert said(found.conditions)["Accepted"][1:] == (reason, message)


def test_kinds_that_a_listener_takes() -> None:
    world = World()
    kinds = "allowedRoutes: {kinds: [{kind: GRPCRoute}, {kind: UDPRoute}]}"
    world.apply(gateway(f"{{name: http, port: 80, protocol: HTTP, {kinds}}}"))
    world.apply(route("r"))
    (listener,) = status(world, "gateways").listeners or ()
    assert listener.kinds == ("GRPCRoute",)
    assert said(listener.conditions)["ResolvedRefs"] == (False, "InvalidRouteKinds", "Invalid route kinds")
    (parent,) = status(world, "httproutes", "r").parents or ()
    assert said(parent.conditions)["Accepted"][2] == "kind gateway.networking.k8s.io/v1/HTTPRoute is not allowed"


def test_listeners_in_each_others_way() -> None:
    world = World()
    edge(world)
    world.apply(
        gateway(
            "{name: a, port: 80, protocol: HTTP}, {name: b, port: 80, protocol: HTTP},"
            "{name: c, port: 80, protocol: HTTP, hostname: c.com}, {name: d, port: 80, protocol: TCP},"
            "{name: e, port: 82, protocol: udp}, {name: f, port: 83, protocol: http}"
        )
    )
    found = {listener.name: said(listener.conditions) for listener in status(world, "gateways").listeners or ()}
    assert found["a"]["Conflicted"] == (False, "NoConflicts", "No errors found")
    assert found["b"]["Conflicted"][:2] == (True, "HostnameConflict")
    assert found["b"]["Programmed"][0] is found["b"]["Accepted"][0] is False
    assert found["c"]["Accepted"] == (True, "Accepted", "No errors found")
    assert found["d"]["Conflicted"][:2] == (True, "ProtocolConflict")
    assert found["e"]["Accepted"] == (False, "UnsupportedProtocol", 'protocol "udp" is unsupported')
    assert found["f"]["Accepted"][2] == 'protocol "http" is unsupported. hint: "HTTP" (uppercase) may be supported'


def secret(name: str, data: dict[str, str], namespace: str = "default") -> Obj:
    encoded = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": namespace}, "data": encoded}


PAIR = CertificateAuthority.generate().issue_serving(["a.com"], ttl=dt.timedelta(hours=1))


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (None, "secret default/cert not found"),
        ({"tls.crt": PAIR.chain_pem, "tls.key": PAIR.key_pem}, ""),
        ({"cert": PAIR.chain_pem, "key": PAIR.key_pem}, ""),
        (
            {"tls.crt": PAIR.chain_pem},
            "found secret, but didn't have expected keys (cert and key) or (tls.crt and tls.key); found: tls.crt",
        ),
        (
            {"tls.crt": "junk", "tls.key": PAIR.key_pem},
            "the certificate is malformed: tls: failed to find any PEM data in certificate input",
        ),
        (
            {"tls.crt": PAIR.chain_pem, "tls.key": CertificateAuthority.generate().issue_serving(["b"]).key_pem},
            "the certificate is malformed: tls: private key does not match public key",
        ),
    ],
)
def test_certificates(data: dict[str, str] | None, problem: str) -> None:
    world = World()
    edge(world)
    if data is not None:
        world.add(secret("cert", data))
    tls = "tls: {certificateRefs: [{group: '', kind: Secret, name: cert}]}"
    world.apply(gateway(f"{{name: https, port: 443, protocol: HTTPS, {tls}}}"))
    (listener,) = status(world, "gateways").listeners or ()
    found = said(listener.conditions)
    if problem:
        wanted = f"invalid certificate reference /Secret/cert., {problem}"
        assert found["ResolvedRefs"] == (False, "InvalidCertificateRef", wanted)
        assert found["Programmed"] == (False, "Invalid", "Bad TLS configuration")
        assert world.build("edge", "router")[LISTENER] == {}
    else:
        assert found["ResolvedRefs"][0] and found["Programmed"][0]
        (chain,) = world.build("edge", "router")[LISTENER]["0.0.0.0_443"]["filter_chains"]
        context = chain["transport_socket"]["typed_config"]["common_tls_context"]
        assert context["tls_certificate_sds_secret_configs"][0]["name"] == "kubernetes-gateway://default/cert"


def test_a_certificate_of_another_namespace_needs_a_grant() -> None:
    world = World()
    world.add(secret("cert", {"tls.crt": PAIR.chain_pem, "tls.key": PAIR.key_pem}, "certs"))
    tls = "tls: {certificateRefs: [{kind: Secret, name: cert, namespace: certs}]}"
    world.apply(gateway(f"{{name: https, port: 443, protocol: HTTPS, {tls}}}"))
    (listener,) = status(world, "gateways").listeners or ()
    assert said(listener.conditions)["ResolvedRefs"] == (
        False,
        "RefNotPermitted",
        'certificateRef cert/certs not accessible to a Gateway in namespace "default" (missing a ReferenceGrant?)',
    )
    world.apply(
        "{apiVersion: gateway.networking.k8s.io/v1, kind: ReferenceGrant, metadata: {name: g, namespace: certs}, spec: {"
        "from: [{group: gateway.networking.k8s.io, kind: Gateway, namespace: default}],"
        "to: [{group: '', kind: Secret, name: cert}]}}"
    )
    (listener,) = status(world, "gateways").listeners or ()
    assert said(listener.conditions)["ResolvedRefs"][0]


def test_classes() -> None:
    world = World()
    classes = {"mine": "istio.io/gateway-controller", "istio-remote": "istio.io/unmanaged-gateway", "other": "a.b/c"}
    for name, controller in classes.items():
        world.apply(
            "{apiVersion: gateway.networking.k8s.io/v1, kind: GatewayClass,"
            f"metadata: {{name: {name}, namespace: '', generation: 1}}, spec: {{controllerName: {controller}}}}}"
        )
    accepted = {s.name: said(s.conditions)["Accepted"] for s in world.translate().statuses}
    assert accepted == dict.fromkeys(("mine", "istio-remote"), (True, "Accepted", "Handled by Istio controller"))
    remote = gateway(HTTP, extra=", addresses: [{type: IPAddress, value: 1.2.3.4}]")
    world.apply(remote.replace("gatewayClassName: istio,", "gatewayClassName: istio-remote,"))
    found = status(world, "gateways")
    assert found.addresses == ("1.2.3.4",) and found.listeners == ()
    assert said(found.conditions)["Programmed"][2] == "This Gateway is remote; Istio will not program it"


def test_a_status_that_says_it_already_is_left_alone() -> None:
    world = World()
    edge(world)
    web(world)
    world.apply(gateway(HTTP))
    world.apply(route("r"))
    for resource, name in (("gateways", "gw"), ("httproutes", "r")):
        wanted = status(world, resource, name)
        written = render(wanted, {}, NOW)
        assert render(wanted, written, "2026-02-02T00:00:00Z") == written
    written = render(status(world, "gateways"), {}, NOW)
    assert {c["observedGeneration"] for c in written["conditions"]} == {3}
    assert written["listeners"][0]["supportedKinds"] == [
        {"group": "gateway.networking.k8s.io", "kind": kind} for kind in ("HTTPRoute", "GRPCRoute")
    ]


def test_parents_of_other_controllers_stay() -> None:
    world = World()
    world.apply(gateway(HTTP))
    world.apply(route("r"))
    other = {"parentRef": {"name": "theirs"}, "controllerName": "a.b/c", "conditions": []}
    stale = {"parentRef": {"name": "gone"}, "controllerName": "istio.io/gateway-controller", "conditions": []}
    written = render(status(world, "httproutes", "r"), {"parents": [other, stale]}, NOW)
    assert [parent["parentRef"]["name"] for parent in written["parents"]] == ["theirs", "gw"]
