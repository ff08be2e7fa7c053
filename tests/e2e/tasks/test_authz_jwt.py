"""Istio's tasks "JWT Token" and "JWT claim based routing"."""

from __future__ import annotations

import json

import pytest

from tests.support.lab import Lab, eventually
from tests.support.security_tasks import KEYS_URL, apply, becomes, curl, deploy, serve_keys, status
from tests.support.tokens import Issuer

pytestmark = pytest.mark.full

HEADERS = "http://httpbin.foo:8000/headers"
ISSUER = Issuer("testing@secure.istio.io")
AUTHENTICATION = """
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {{name: jwt}}
spec:
  selector: {{matchLabels: {{{label}}}}}
  jwtRules: [{{issuer: "testing@secure.istio.io", jwksUri: "{uri}"}}]
"""
REQUIRED = """
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: require-jwt}
spec:
  selector: {matchLabels: {app: httpbin}}
  action: ALLOW
  rules:
  - from: [{source: {requestPrincipals: ["testing@secure.istio.io/testing@secure.istio.io"]}}]
"""
GROUPS = """
    when: [{key: "request.auth.claims[groups]", values: [group1]}]
"""
EDGE = """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: httpbin-gateway}
spec:
  selector: {istio: ingressgateway}
  servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: httpbin}
spec:
  hosts: ["*"]
  gateways: [httpbin-gateway]
  http:
  - match:
    - uri: {prefix: /headers}
      headers: {"@request.auth.claims.groups": {exact: group1}}
    route: [{destination: {host: httpbin, port: {number: 8000}}}]
"""


@pytest.fixture(scope="module")
def apps(mesh: Lab) -> Lab:
    deploy(mesh, "foo")
    serve_keys(mesh, ISSUER)
    return mesh


def bearer(**claims: object) -> tuple[str, str]:
    return "-H", f"Authorization: Bearer {ISSUER.token(**{'sub': ISSUER.name, **claims})}"  # type: ignore[arg-type]


def test_jwt_token(apps: Lab) -> None:
    apply(apps, AUTHENTICATION.format(label="app: httpbin", uri=KEYS_URL), "foo")
    becomes(apps, "401", "foo", HEADERS, "-H", "Authorization: Bearer invalidToken")
    assert status(apps, "foo", HEADERS) == "200"
    apply(apps, REQUIRED, "foo")
    becomes(apps, "403", "foo", HEADERS)
    becomes(apps, "200", "foo", HEADERS, *bearer())
    apply(apps, REQUIRED + GROUPS, "foo")
    becomes(apps, "403", "foo", HEADERS, *bearer())
    assert status(apps, "foo", HEADERS, *bearer(groups=["group1", "group2"])) == "200"
    assert status(apps, "foo", HEADERS, *bearer(groups=["group2"])) == "403"
    apps.kubectl("delete", "-n", "foo", "authorizationpolicy/require-jwt", "requestauthentication/jwt")
    eventually(lambda: status(apps, "foo", HEADERS, "-H", "Authorization: Bearer invalidToken") == "200")


def test_claims_become_headers(apps: Lab) -> None:
    copied = AUTHENTICATION.format(label="app: httpbin", uri=KEYS_URL).rstrip()
    apply(
        apps, copied.removesuffix("}]") + ', outputClaimToHeaders: [{header: "x-jwt-claim-foo", claim: "foo"}]}]', "foo"
    )
    becomes(apps, "401", "foo", HEADERS, "-H", "Authorization: Bearer invalidToken")
    becomes(apps, "200", "foo", HEADERS, *bearer(foo="bar"))
    received = curl(apps, "foo", HEADERS, *bearer(foo="bar")).stdout
    assert json.loads(received)["headers"]["X-Jwt-Claim-Foo"] == ["bar"]
    apps.kubectl("delete", "-n", "foo", "requestauthentication/jwt")


def test_routing_by_claims(apps: Lab) -> None:
    apply(apps, EDGE, "foo")
    apply(apps, AUTHENTICATION.format(label="istio: ingressgateway", uri=KEYS_URL), "istio-system")
    url = "http://istio-ingressgateway.istio-system/headers"
    becomes(apps, "401", "foo", url, "-H", "Authorization: Bearer some.invalid.token")
    becomes(apps, "200", "foo", url, *bearer(groups=["group1", "group2"]))
    assert status(apps, "foo", url) == "404"
    assert status(apps, "foo", url, *bearer()) == "404"
