"""Upstream's tasks "Ingress Access Control" and "Dry Run": policies by a client's address, and ones that only log."""

from __future__ import annotations

import re

import pytest

from tests.support.ingress import node_port, status
from tests.support.lab import Lab, eventually
from tests.support.security_tasks import apply, deploy
from tests.support.security_tasks import status as inside

pytestmark = pytest.mark.full

POLICY = """
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata:
  name: ingress-policy
  namespace: istio-system
spec:
  selector:
    matchLabels:
      app: istio-ingressgateway
  action: {action}
  rules:
  - from:
    - source:
        {blocks}: [{addresses}]
"""
DRY_RUN = """
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata:
  name: deny-path-headers
  annotations:
    "istio.io/dry-run": "true"
spec:
  selector:
    matchLabels:
      app: httpbin
  action: DENY
  rules:
  - to:
    - operation:
        paths: ["/headers"]
"""


@pytest.fixture(scope="module")
def edge(mesh: Lab) -> Lab:
    deploy(mesh, "foo")
    gateway = f"{mesh.environment['MESHLAB_SAMPLES']}/httpbin/httpbin-gateway.yaml"
    mesh.kubectl("apply", "-n", "foo", "-f", gateway)
    return mesh


def url(lab: Lab) -> str:
    host, port = node_port(lab, "istio-ingressgateway", "http2")
    return f"http://{host}:{port}/headers"


def client_address(lab: Lab, column: int) -> str:
    """The client as the gateway's RBAC filter logs it; the page takes it from the log with awk."""
    log = lab.kubectl("logs", "-n", "istio-system", "deploy/istio-ingressgateway")
    lines = [line for line in log.splitlines() if "remoteIP" in line]
    return lines[-1].split(",")[column].split(":")[1].strip() if lines else ""


@pytest.mark.parametrize(("blocks", "column"), [("ipBlocks", 2), ("remoteIpBlocks", 3)])
def test_addresses_are_allowed_and_denied(edge: Lab, blocks: str, column: int) -> None:
    eventually(lambda: status(edge, url(edge)) == "200")
    pod = edge.kubectl("get", "pods", "-n", "istio-system", "-o", "name", "-l", "istio=ingressgateway")
    name = pod.strip().removeprefix("pod/")
    levels = edge.run("istioctl", "proxy-config", "log", name, "-n", "istio-system", "--level", "rbac:debug").stdout
    assert "rbac: debug" in levels
    listed = '"1.2.3.4", "5.6.7.0/24"'
    apply(edge, POLICY.format(action="ALLOW", blocks=blocks, addresses=listed))
    eventually(lambda: status(edge, url(edge)) == "403")
    address = eventually(lambda: client_address(edge, column))
    assert re.fullmatch(r"[0-9.]+", address)
    apply(edge, POLICY.format(action="ALLOW", blocks=blocks, addresses=f'{listed}, "{address}"'))
    eventually(lambda: status(edge, url(edge)) == "200")
    apply(edge, POLICY.format(action="DENY", blocks=blocks, addresses=f'"{address}"'))
    eventually(lambda: status(edge, url(edge)) == "403")
    edge.kubectl("delete", "authorizationpolicy", "ingress-policy", "-n", "istio-system")


def test_a_policy_that_is_tried_only_is_logged(edge: Lab) -> None:
    levels = edge.run("istioctl", "proxy-config", "log", "deploy/httpbin.foo", "--level", "rbac:debug").stdout
    assert "rbac: debug" in levels
    apply(edge, DRY_RUN, "foo")
    wanted = "shadow denied, matched policy ns[foo]-policy[deny-path-headers]-rule[0]"

    def logged() -> bool:
        assert inside(edge, "foo", "http://httpbin.foo:8000/headers") == "200"
        return wanted in edge.kubectl("logs", "-n", "foo", "deploy/httpbin", "-c", "istio-proxy")

    eventually(logged)
    counters = edge.kubectl(
        "exec", "-n", "foo", "deploy/httpbin", "-c", "istio-proxy", "--",
        "pilot-agent", "request", "GET", "stats?filter=rbac.*shadow",
    )  # fmt: skip
    assert re.search(r"istio_dry_run_deny_\.shadow_denied: [1-9]", counters), counters
