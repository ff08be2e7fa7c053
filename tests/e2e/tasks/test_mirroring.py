"""https://istio.io/latest/docs/tasks/traffic-management/mirroring/."""

from __future__ import annotations

import pytest

from tests.support.lab import Lab, eventually
from tests.support.samples import apply, available, curl, inject

pytestmark = pytest.mark.full

DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: httpbin-VERSION}
spec:
  selector: {matchLabels: {app: httpbin, version: VERSION}}
  template:
    metadata: {labels: {app: httpbin, version: VERSION}}
    spec:
      containers:
      - name: httpbin
        image: docker.io/mccutchen/go-httpbin:v2.15.0
        ports: [{containerPort: 8080}]
---
"""
ROUTING = """
apiVersion: v1
kind: Service
metadata: {name: httpbin, labels: {app: httpbin}}
spec:
  ports: [{name: http, port: 8000, targetPort: 8080}]
  selector: {app: httpbin}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: httpbin}
spec:
  host: httpbin
  subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: httpbin}
spec:
  hosts: [httpbin]
  http:
  - route: [{destination: {host: httpbin, subset: v1}, weight: 100}]
    MIRROR
"""
MIRROR = "mirror: {host: httpbin, subset: v2}\n    mirrorPercentage: {value: 100.0}"


@pytest.fixture(scope="module")
def httpbin(mesh: Lab) -> Lab:
    inject(mesh)
    apply(mesh, "curl/curl.yaml")
    both = DEPLOYMENT.replace("VERSION", "v1") + DEPLOYMENT.replace("VERSION", "v2")
    mesh.kubectl("apply", "-f", "-", stdin=both + ROUTING.replace("MIRROR", ""))
    available(mesh)
    return mesh


def logs(lab: Lab, version: str) -> str:
    return lab.kubectl("logs", f"deploy/httpbin-{version}", "-c", "httpbin")


def test_traffic_goes_to_version_1_only(httpbin: Lab) -> None:
    eventually(lambda: curl(httpbin, "-o", "/dev/null", "-w", "%{http_code}", "http://httpbin:8000/uuid") == "200")
    curl(httpbin, "http://httpbin:8000/get?before")
    eventually(lambda: "/get?before" in logs(httpbin, "v1"))
    assert "/get?before" not in logs(httpbin, "v2")


def test_version_2_gets_a_copy_under_another_host(httpbin: Lab) -> None:
    httpbin.kubectl("apply", "-f", "-", stdin=ROUTING.replace("MIRROR", MIRROR))

    def mirrored() -> bool:
        answer = curl(httpbin, "http://httpbin:8000/headers?mirrored")
        assert "httpbin:8000" in answer
        return "/headers?mirrored" in logs(httpbin, "v2")

    eventually(mirrored)
    assert "/headers?mirrored" in logs(httpbin, "v1")
