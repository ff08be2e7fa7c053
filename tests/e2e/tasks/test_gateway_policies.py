"""Policies that name a Gateway of the Gateway API (targetRefs), and Telemetry for it alone."""

from __future__ import annotations

import json

import pytest

from tests.support.ingress import node_port, status
from tests.support.lab import Lab, eventually
from tests.support.samples import apply, available
from tests.support.tokens import Issuer

pytestmark = pytest.mark.full

GATEWAY = """
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: edge}
spec:
  gatewayClassName: istio
  listeners: [{name: http, port: 80, protocol: HTTP}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: httpbin}
spec:
  parentRefs: [{name: edge}]
  rules: [{backendRefs: [{name: httpbin, port: 8000}]}]
"""
POLICY = """
apiVersion: %s
kind: %s
metadata: {name: policy}
spec:
  targetRefs:
  - {group: gateway.networking.k8s.io, kind: Gateway, name: edge}
  %s
"""
DENY = POLICY % (
    "security.istio.io/v1",
    "AuthorizationPolicy",
    "action: DENY\n  rules: [{to: [{operation: {paths: [/status/*]}}]}]",
)
TOKENS = POLICY % (
    "security.istio.io/v1",
    "RequestAuthentication",
    f"jwtRules: [{{issuer: me, jwks: '{Issuer('me').jwks}'}}]",
)
LOGS = POLICY % ("telemetry.istio.io/v1", "Telemetry", "accessLogging: [{providers: [{name: envoy}]}]")
WAYPOINT = LOGS.replace("gateway.networking.k8s.io, kind: Gateway, name: edge", "'', kind: Service, name: httpbin")


@pytest.fixture(scope="module")
def edge(lab: Lab) -> Lab:
    lab.run("istioctl", "install", "--set", "profile=minimal", "-y")
    lab.kubectl("label", "namespace", "default", "istio-injection=enabled")
    apply(lab, "httpbin/httpbin.yaml")
    lab.kubectl("apply", "-f", "-", stdin=GATEWAY)
    lab.kubectl("wait", "gateway/edge", "--for=condition=Programmed", "--timeout=30s")
    available(lab)
    eventually(lambda: status(lab, url(lab)) == "200")
    return lab


def url(lab: Lab) -> str:
    host, port = node_port(lab, "edge-istio", "http", "default")
    return f"http://{host}:{port}/get"


def inside(lab: Lab) -> str:
    """The program's answer to a request that does not come by the gateway."""
    address = lab.kubectl("get", "pod", "-l", "app=httpbin", "-o", "jsonpath={.items[0].status.podIP}")
    return status(lab, f"http://{address}:8080/status/202")


def test_an_authorization_policy_holds_at_the_gateway_only(edge: Lab) -> None:
    edge.kubectl("apply", "-f", "-", stdin=DENY)
    denied = url(edge).replace("/get", "/status/202")
    eventually(lambda: status(edge, denied) == "403")
    assert status(edge, url(edge)) == "200"
    assert inside(edge) == "202"
    edge.kubectl("delete", "authorizationpolicy", "policy")
    eventually(lambda: status(edge, denied) == "202")


def test_a_request_authentication_holds_at_the_gateway(edge: Lab) -> None:
    edge.kubectl("apply", "-f", "-", stdin=TOKENS)
    eventually(lambda: status(edge, url(edge), "-H", "Authorization: Bearer not.a.token") == "401")
    assert status(edge, url(edge)) == "200"
    edge.kubectl("delete", "requestauthentication", "policy")


def test_a_telemetry_has_the_gateway_log(edge: Lab) -> None:
    edge.kubectl("apply", "-f", "-", stdin=LOGS)

    def lines(selector: str) -> str:
        assert status(edge, url(edge)) == "200"
        return edge.kubectl("logs", "-l", selector, "-c", "istio-proxy", "--tail=5")

    eventually(lambda: '"GET /get HTTP/1.1" 200' in lines("gateway.networking.k8s.io/gateway-name=edge"))
    assert '"GET /get' not in lines("app=httpbin")
    edge.kubectl("delete", "telemetry", "policy")


def test_a_service_as_target_needs_a_waypoint_and_istiod_says_so(edge: Lab) -> None:
    edge.kubectl("apply", "-f", "-", stdin=WAYPOINT)
    eventually(
        lambda: (
            "target Service httpbin needs a waypoint proxy"
            in edge.kubectl("logs", "-n", "istio-system", "deploy/istiod", "--tail=50")
        )
    )
    found = json.loads(edge.kubectl("get", "telemetry", "policy", "-o", "json"))
    assert found["spec"]["targetRefs"][0]["kind"] == "Service"
