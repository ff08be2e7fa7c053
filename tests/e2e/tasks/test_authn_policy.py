"""Istio's task "Authentication Policy": mutual TLS by mesh, namespace, workload and port; end-user tokens."""

from __future__ import annotations

import pytest

from tests.support.lab import Lab, eventually
from tests.support.security_tasks import KEYS_URL, apply, becomes, curl, deploy, serve_keys, status
from tests.support.tokens import Issuer

pytestmark = pytest.mark.full

STRICT = """
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {{name: default, namespace: {namespace}}}
spec: {{mtls: {{mode: STRICT}}}}
"""


@pytest.fixture(scope="module")
def apps(mesh: Lab) -> Lab:
    deploy(mesh, "foo")
    deploy(mesh, "bar")
    deploy(mesh, "legacy", injected=False)
    return mesh


def test_mutual_tls_is_automatic_and_plain_text_is_accepted(apps: Lab) -> None:
    for source in ("foo", "bar", "legacy"):
        for target in ("foo", "bar", "legacy"):
            assert status(apps, source, f"http://httpbin.{target}:8000/ip") == "200", (source, target)
    assert "By=spiffe://cluster.local/ns/foo" in curl(apps, "foo", "http://httpbin.foo:8000/headers").stdout
    assert "X-Forwarded-Client-Cert" not in curl(apps, "foo", "http://httpbin.legacy:8000/headers").stdout


def test_strict_for_the_mesh(apps: Lab) -> None:
    apply(apps, STRICT.format(namespace="istio-system"))
    becomes(apps, "000", "legacy", "http://httpbin.foo:8000/ip")
    assert curl(apps, "legacy", "http://httpbin.bar:8000/ip").returncode == 56
    for source in ("foo", "bar"):
        for target in ("foo", "bar", "legacy"):
            assert status(apps, source, f"http://httpbin.{target}:8000/ip") == "200", (source, target)
    apps.kubectl("delete", "peerauthentication", "-n", "istio-system", "default")
    becomes(apps, "200", "legacy", "http://httpbin.foo:8000/ip")


def test_namespace_workload_and_port(apps: Lab) -> None:
    apply(apps, STRICT.format(namespace="foo"))
    becomes(apps, "000", "legacy", "http://httpbin.foo:8000/ip")
    assert status(apps, "legacy", "http://httpbin.bar:8000/ip") == "200"
    workload = """
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {{name: httpbin, namespace: bar}}
spec:
  selector: {{matchLabels: {{app: httpbin}}}}
  mtls: {{mode: STRICT}}
  {ports}
"""
    apply(apps, workload.format(ports=""))
    becomes(apps, "000", "legacy", "http://httpbin.bar:8000/ip")
    apply(apps, workload.format(ports="portLevelMtls: {8080: {mode: DISABLE}}"))
    becomes(apps, "200", "legacy", "http://httpbin.bar:8000/ip")
    # The port takes plain text only; automatic mutual TLS knows.
    becomes(apps, "200", "foo", "http://httpbin.bar:8000/ip")
    # A workload policy wins over its namespace's.
    overwrite = workload.replace("bar", "foo").replace("STRICT", "DISABLE").format(ports="")
    apply(apps, overwrite)
    becomes(apps, "200", "legacy", "http://httpbin.foo:8000/ip")
    apps.kubectl("delete", "peerauthentication", "-n", "foo", "--all")
    apps.kubectl("delete", "peerauthentication", "-n", "bar", "--all")


def test_end_user_tokens_by_issuer_and_path(apps: Lab) -> None:
    issuer = Issuer("testing@secure.istio.io")
    serve_keys(apps, issuer)
    apply(
        apps,
        f"""
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {{name: jwt-example}}
spec:
  selector: {{matchLabels: {{app: httpbin}}}}
  jwtRules: [{{issuer: "{issuer.name}", jwksUri: "{KEYS_URL}"}}]
""",
        "foo",
    )
    url, token = "http://httpbin.foo:8000/headers", f"Authorization: Bearer {issuer.token(sub=issuer.name)}"
    becomes(apps, "401", "bar", url, "-H", "Authorization: Bearer deadbeef")
    becomes(apps, "200", "bar", url, "-H", token)
    assert status(apps, "bar", url) == "200", "without a token there is nothing to judge"
    apply(
        apps,
        """
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: frontend-ingress}
spec:
  selector: {matchLabels: {app: httpbin}}
  action: DENY
  rules:
  - from: [{source: {notRequestPrincipals: ["*"]}}]
    to: [{operation: {paths: ["/headers"]}}]
""",
        "foo",
    )
    becomes(apps, "403", "bar", url)
    assert curl(apps, "bar", url).stdout == "RBAC: access denied"
    assert status(apps, "bar", "http://httpbin.foo:8000/ip") == "200"
    assert status(apps, "bar", url, "-H", token) == "200"
    expired = issuer.token(expires_in_s=-100)
    assert curl(apps, "bar", url, "-H", f"Authorization: Bearer {expired}").stdout == "Jwt is expired"
    problems = apps.kubectl("logs", "-n", "istio-system", "deploy/istiod")
    assert "RequestAuthentication foo/jwt-example: no keys were fetched" in problems
    eventually(lambda: status(apps, "foo", url, "-H", token) == "200")
