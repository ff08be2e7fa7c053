"""Istio's task "External Authorization", with both providers of its sample."""

from __future__ import annotations

import json

import pytest
import yaml

from tests.support.lab import Lab, eventually
from tests.support.security_tasks import apply, becomes, curl, deploy, status

pytestmark = pytest.mark.full

HEADERS, IP = "http://httpbin.foo:8000/headers", "http://httpbin.foo:8000/ip"
SAMPLE = """
apiVersion: v1
kind: Service
metadata: {name: ext-authz, labels: {app: ext-authz}}
spec:
  ports: [{name: http, port: 8000, targetPort: 8000}, {name: grpc, port: 9000, targetPort: 9000}]
  selector: {app: ext-authz}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: ext-authz}
spec:
  replicas: 1
  selector: {matchLabels: {app: ext-authz}}
  template:
    metadata: {labels: {app: ext-authz}}
    spec:
      containers:
      - image: gcr.io/istio-testing/ext-authz:latest
        imagePullPolicy: IfNotPresent
        name: ext-authz
        ports: [{containerPort: 8000}, {containerPort: 9000}]
"""
PROVIDERS = [
    {
        "name": "sample-ext-authz-grpc",
        "envoyExtAuthzGrpc": {"service": "ext-authz.foo.svc.cluster.local", "port": "9000"},
    },
    {
        "name": "sample-ext-authz-http",
        "envoyExtAuthzHttp": {
            "service": "ext-authz.foo.svc.cluster.local",
            "port": "8000",
            "includeRequestHeadersInCheck": ["x-ext-authz"],
        },
    },
]
POLICY = """
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {{name: ext-authz}}
spec:
  selector: {{matchLabels: {{app: httpbin}}}}
  action: CUSTOM
  provider: {{name: {provider}}}
  rules: [{{to: [{{operation: {{paths: ["/headers"]}}}}]}}]
"""
DENIED = "denied by ext_authz for not found header `x-ext-authz: allow` in the request"


@pytest.fixture(scope="module")
def apps(mesh: Lab) -> Lab:
    deploy(mesh, "foo")
    apply(mesh, SAMPLE, "foo")
    mesh.kubectl("rollout", "status", "-n", "foo", "deployment/ext-authz", "--timeout=40s")
    return mesh


def test_external_authorization(apps: Lab) -> None:
    assert "Starting gRPC server at [::]:9000" in apps.kubectl(
        "logs", "-n", "foo", "deploy/ext-authz", "-c", "ext-authz"
    )
    apply(apps, POLICY.format(provider="sample-ext-authz-grpc"), "foo")
    # Nobody has said who that is.
    becomes(apps, "403", "foo", HEADERS, "-H", "x-ext-authz: allow")
    config = json.loads(apps.kubectl("get", "configmap", "istio", "-n", "istio-system", "-o", "json"))
    mesh_config = yaml.safe_load(config["data"]["mesh"])
    mesh_config["extensionProviders"] = [*mesh_config.get("extensionProviders", []), *PROVIDERS]
    patch = {"data": {"mesh": yaml.safe_dump(mesh_config)}}
    apps.kubectl("patch", "configmap", "istio", "-n", "istio-system", "-p", json.dumps(patch))

    becomes(apps, "200", "foo", HEADERS, "-H", "x-ext-authz: allow")
    denied = curl(apps, "foo", HEADERS, "-H", "x-ext-authz: deny", "-D", "-").stdout
    assert DENIED in denied
    assert "x-ext-authz-check-result: denied" in denied
    seen = json.loads(curl(apps, "foo", HEADERS, "-H", "x-ext-authz: allow").stdout)["headers"]
    assert seen["X-Ext-Authz-Check-Result"] == ["allowed"]
    assert seen["X-Ext-Authz-Additional-Header-Override"] == ["grpc-additional-header-override-value"]
    assert status(apps, "foo", IP) == "200", "only the path of the rule is checked"
    log = apps.kubectl("logs", "-n", "foo", "deploy/ext-authz", "-c", "ext-authz")
    assert "[gRPCv3][denied]: httpbin.foo:8000/headers, attributes: source:{" in log
    assert 'principal:"spiffe://cluster.local/ns/foo/sa/curl"' in log

    apply(apps, POLICY.format(provider="sample-ext-authz-http"), "foo")
    eventually(
        lambda: (
            status(apps, "foo", HEADERS, "-H", "x-ext-authz: allow") == "200"
            and "[HTTP][allowed]" in apps.kubectl("logs", "-n", "foo", "deploy/ext-authz", "-c", "ext-authz")
        )
    )
    assert curl(apps, "foo", HEADERS, "-H", "x-ext-authz: deny").stdout == DENIED
    # Without its authorizer nobody gets in: an error is a refusal.
    apps.kubectl("scale", "-n", "foo", "deployment/ext-authz", "--replicas=0")
    becomes(apps, "403", "foo", HEADERS, "-H", "x-ext-authz: allow")
    assert status(apps, "foo", IP) == "200"
