"""Istio's task "TCP Traffic": ports decide, and rules that speak of requests allow less."""

from __future__ import annotations

import pytest

from tests.support.lab import Lab, eventually
from tests.support.security_tasks import apply, curl, deploy

pytestmark = pytest.mark.full

ECHO = """
apiVersion: v1
kind: Service
metadata: {name: tcp-echo}
spec:
  selector: {app: tcp-echo}
  ports: [{name: tcp, port: 9000}, {name: tcp-other, port: 9001}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: tcp-echo}
spec:
  selector: {matchLabels: {app: tcp-echo}}
  template:
    metadata: {labels: {app: tcp-echo}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - {name: one, image: hashicorp/http-echo, args: ["-text=hello 9000", "-listen=:9000"], ports: [{containerPort: 9000}]}
      - {name: two, image: hashicorp/http-echo, args: ["-text=hello 9001", "-listen=:9001"], ports: [{containerPort: 9001}]}
"""
POLICY = """
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {{name: tcp-policy}}
spec:
  selector: {{matchLabels: {{app: tcp-echo}}}}
  action: {action}
  rules: [{{to: [{{operation: {operation}}}]}}]
"""


@pytest.fixture(scope="module")
def apps(mesh: Lab) -> Lab:
    deploy(mesh, "foo")
    apply(mesh, ECHO, "foo")
    mesh.kubectl("rollout", "status", "-n", "foo", "deployment/tcp-echo", "--timeout=40s")
    return mesh


def accepted(lab: Lab) -> tuple[bool, bool]:
    """Whether connections to both ports come through; tunnels, so that nobody sees requests in them."""
    return (
        "hello" in curl(lab, "foo", "-p", "http://tcp-echo:9000/").stdout,
        "hello" in curl(lab, "foo", "-p", "http://tcp-echo:9001/").stdout,
    )


@pytest.mark.parametrize(
    ("action", "operation", "wanted"),
    [
        ("ALLOW", '{ports: ["9000", "9001"]}', (True, True)),
        ("ALLOW", '{ports: ["9001"]}', (False, True)),
        ("ALLOW", '{methods: [GET], ports: ["9000"]}', (False, False)),
        ("DENY", "{methods: [GET]}", (False, False)),
        ("DENY", '{methods: [GET], ports: ["9000"]}', (False, True)),
    ],
)
def test_tcp_traffic(apps: Lab, action: str, operation: str, wanted: tuple[bool, bool]) -> None:
    assert accepted(apps) == (True, True)
    apply(apps, POLICY.format(action=action, operation=operation), "foo")
    eventually(lambda: accepted(apps) == wanted, what=f"{action} {operation}")
    apps.kubectl("delete", "authorizationpolicy", "-n", "foo", "tcp-policy")
    eventually(lambda: accepted(apps) == (True, True))
