"""istiod deleted, scaled to nothing and back, and handed over to a new revision, under load at a gateway."""

from __future__ import annotations

import pytest

from tests.support.ingress import Load, node_port
from tests.support.lab import Lab, eventually

pytestmark = pytest.mark.full

GATEWAY = """
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata:
  name: edge
  namespace: ingress
spec:
  gatewayClassName: istio
  listeners:
  - name: http
    port: 80
    protocol: HTTP
    allowedRoutes: {namespaces: {from: All}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: httpbin}
spec:
  parentRefs: [{name: edge, namespace: ingress}]
  hostnames: [httpbin.example.com]
  rules:
  - backendRefs: [{name: httpbin, port: 8000}]
"""


@pytest.fixture(scope="module")
def edge(lab: Lab) -> Lab:
    lab.run("istioctl", "install", "--set", "profile=minimal", "-y")
    lab.kubectl("label", "namespace", "default", "istio-injection=enabled")
    lab.kubectl("create", "namespace", "ingress")
    lab.kubectl("apply", "-f", f"{lab.environment['MESHLAB_SAMPLES']}/httpbin/httpbin.yaml")
    lab.kubectl("apply", "-f", "-", stdin=GATEWAY)
    lab.kubectl("wait", "--for=condition=programmed", "-n", "ingress", "gtw/edge", "--timeout=60s")
    lab.kubectl("rollout", "status", "deployment/httpbin", "--timeout=60s")
    host, port = node_port(lab, "edge-istio", "http", "ingress")
    with Load(host, port, "httpbin.example.com", "/status/200") as load:
        eventually(lambda: load.counts["200"])
    return lab


def load(lab: Lab) -> Load:
    host, port = node_port(lab, "edge-istio", "http", "ingress")
    return Load(host, port, "httpbin.example.com", "/status/200")


def test_its_pod_deleted(edge: Lab) -> None:
    with load(edge) as requests:
        edge.kubectl("delete", "pod", "-n", "istio-system", "-l", "app=istiod")
        edge.kubectl("rollout", "status", "-n", "istio-system", "deployment/istiod", "--timeout=60s")
        requests.more(100)
    assert set(requests.counts) == {"200"}, requests.counts


def test_scaled_to_nothing_and_back(edge: Lab) -> None:
    with load(edge) as requests:
        edge.kubectl("scale", "-n", "istio-system", "deployment/istiod", "--replicas=0")
        edge.kubectl("wait", "-n", "istio-system", "--for=delete", "pod", "-l", "app=istiod", "--timeout=60s")
        requests.more(100)
        edge.kubectl("scale", "-n", "istio-system", "deployment/istiod", "--replicas=1")
        edge.kubectl("rollout", "status", "-n", "istio-system", "deployment/istiod", "--timeout=60s")
        requests.more(100)
        # It acts again: another host is served.
        edge.kubectl("patch", "httproute", "httpbin", "--type=json", "-p",
                     '[{"op":"add","path":"/spec/hostnames/-","value":"more.example.com"}]')  # fmt: skip
        host, port = node_port(edge, "edge-istio", "http", "ingress")
        with Load(host, port, "more.example.com", "/status/200") as more:
            eventually(lambda: more.counts["200"])
    assert set(requests.counts) == {"200"}, requests.counts


def test_a_gateway_handed_over_to_a_new_revision(edge: Lab) -> None:
    edge.run("istioctl", "install", "--set", "profile=minimal", "--revision", "canary", "-y")

    def revision() -> str:
        query = "jsonpath={.items[*].metadata.annotations.istio\\.io/rev}"
        return edge.kubectl("get", "pods", "-n", "ingress", "-o", query)

    assert revision() == "default"
    with load(edge) as requests:
        edge.kubectl("label", "-n", "ingress", "gtw/edge", "istio.io/rev=canary")
        eventually(lambda: revision() == "canary", within_s=60)
        edge.kubectl("rollout", "status", "-n", "ingress", "deployment/edge-istio", "--timeout=60s")
        requests.more(100)
    assert set(requests.counts) == {"200"}, requests.counts
    status = edge.run("istioctl", "proxy-status").stdout
    (line,) = [line for line in status.splitlines() if line.startswith("edge-istio-")]
    assert "istiod-canary-" in line


def test_workloads_handed_over_and_the_old_revision_uninstalled(edge: Lab) -> None:
    edge.kubectl("scale", "deployment/httpbin", "--replicas=2")
    edge.kubectl("rollout", "status", "deployment/httpbin", "--timeout=60s")

    def revisions() -> set[str]:
        query = "jsonpath={.items[*].metadata.annotations.istio\\.io/rev}"
        return set(edge.kubectl("get", "pods", "-l", "app=httpbin", "-o", query).split())

    assert revisions() == {"default"}
    with load(edge) as requests:
        edge.kubectl("label", "namespace", "default", "istio-injection-", "istio.io/rev=canary")
        edge.kubectl("rollout", "restart", "deployment/httpbin")
        edge.kubectl("rollout", "status", "deployment/httpbin", "--timeout=60s")
        eventually(lambda: revisions() == {"canary"}, within_s=60)
        requests.more(100)
        edge.run("istioctl", "uninstall", "--revision", "default", "-y")
        edge.kubectl("wait", "-n", "istio-system", "--for=delete", "pod", "-l", "istio.io/rev=default", "--timeout=60s")
        requests.more(100)
    assert set(requests.counts) == {"200"}, requests.counts
