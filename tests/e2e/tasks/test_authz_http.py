"""Istio's tasks "HTTP Traffic" and "Explicit Deny": nothing, then who may do what, then what nobody may."""

from __future__ import annotations

import pytest

from tests.support.lab import Lab
from tests.support.security_tasks import apply, becomes, curl, deploy, status

pytestmark = pytest.mark.full

HEADERS, IP = "http://httpbin.foo:8000/headers", "http://httpbin.foo:8000/ip"
SELECTOR = "selector: {matchLabels: {app: httpbin}}"
POLICY = "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\n"


@pytest.fixture(scope="module")
def apps(mesh: Lab) -> Lab:
    deploy(mesh, "foo")
    deploy(mesh, "bar")
    return mesh


def test_http_traffic(apps: Lab) -> None:
    apply(apps, POLICY + "metadata: {name: allow-nothing}\nspec: {}\n", "foo")
    becomes(apps, "403", "foo", IP)
    assert curl(apps, "foo", IP).stdout == "RBAC: access denied"
    viewer = (
        "metadata: {name: viewer}\nspec: {"
        + SELECTOR
        + ", action: ALLOW, rules: [{to: [{operation: {methods: [GET]}}]}]}"
    )
    apply(apps, POLICY + viewer, "foo")
    becomes(apps, "200", "bar", IP)
    assert status(apps, "bar", "http://httpbin.foo:8000/post", "-X", "POST") == "403"
    by_identity = (
        "metadata: {name: viewer}\nspec: {" + SELECTOR + ", rules: [{from: [{source: {principals: "
        "[cluster.local/ns/foo/sa/curl]}}], to: [{operation: {methods: [GET], paths: [/headers, /status/*]}}]}]}"
    )
    apply(apps, POLICY + by_identity, "foo")
    becomes(apps, "403", "bar", HEADERS)
    becomes(apps, "200", "foo", HEADERS)
    assert status(apps, "foo", "http://httpbin.foo:8000/status/418") == "418"
    assert status(apps, "foo", IP) == "403"
    apps.kubectl("delete", "authorizationpolicy", "-n", "foo", "--all")
    becomes(apps, "200", "bar", IP)


def test_explicit_deny(apps: Lab) -> None:
    deny = "metadata: {name: deny-method-get}\nspec: {" + SELECTOR + ", action: DENY, rules: [%s]}"
    apply(apps, POLICY + deny % "{to: [{operation: {methods: [GET]}}]}", "foo")
    becomes(apps, "403", "foo", "http://httpbin.foo:8000/get")
    assert status(apps, "foo", "http://httpbin.foo:8000/post", "-X", "POST") == "200"
    unless_admin = (
        "{to: [{operation: {methods: [GET]}}], when: [{key: 'request.headers[x-token]', notValues: [admin]}]}"
    )
    apply(apps, POLICY + deny % unless_admin, "foo")
    becomes(apps, "200", "foo", "http://httpbin.foo:8000/get", "-H", "x-token: admin")
    assert status(apps, "foo", "http://httpbin.foo:8000/get", "-H", "x-token: guest") == "403"
    allow = "metadata: {name: allow-path-ip}\nspec: {" + SELECTOR + ", rules: [{to: [{operation: {paths: [/ip]}}]}]}"
    apply(apps, POLICY + allow, "foo")
    becomes(apps, "403", "foo", "http://httpbin.foo:8000/get", "-H", "x-token: admin")
    assert status(apps, "foo", IP, "-H", "x-token: guest") == "403", "DENY is asked first"
    assert status(apps, "foo", IP, "-H", "x-token: admin") == "200"
    apps.kubectl("delete", "authorizationpolicy", "-n", "foo", "--all")
