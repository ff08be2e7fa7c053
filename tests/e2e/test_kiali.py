"""Kiali on a live mesh: the add-on's manifest, real traffic through real sidecars, the graph of it."""

from __future__ import annotations

import json
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.support.lab import Lab, eventually

PROXY = "/api/v1/namespaces/istio-system/services/http:kiali:20001/proxy"
REQUESTS = 30
WORKLOADS = """
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {istio-injection: enabled}}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: client, namespace: shop}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: server, namespace: shop}
---
apiVersion: v1
kind: Service
metadata: {name: server, namespace: shop}
spec: {selector: {app: server}, ports: [{name: http, port: 8000, targetPort: 8080}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: server, namespace: shop}
spec:
  selector: {matchLabels: {app: server}}
  template:
    metadata: {labels: {app: server, version: v1}}
    spec:
      serviceAccountName: server
      containers: [{name: httpbin, image: mccutchen/go-httpbin, ports: [{containerPort: 8080}]}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: client, namespace: shop}
spec:
  selector: {matchLabels: {app: client}}
  template:
    metadata: {labels: {app: client}}
    spec:
      serviceAccountName: client
      terminationGracePeriodSeconds: 0
      containers: [{name: curl, image: curlimages/curl, command: [sleep, "3600"]}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: stranger, namespace: default}
spec:
  selector: {matchLabels: {app: stranger}}
  template:
    metadata: {labels: {app: stranger}}
    spec:
      terminationGracePeriodSeconds: 0
      containers: [{name: curl, image: curlimages/curl, command: [sleep, "3600"]}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: server, namespace: shop}
spec:
  hosts: [server]
  http:
  - match: [{uri: {prefix: /lost}}]
    route: [{destination: {host: server, subset: nowhere}}]
  - route: [{destination: {host: server}}]
"""


@pytest.fixture(scope="module")
def kiali(mesh: Lab) -> Lab:
    """A mesh with Kiali and three workloads."""
    mesh.kubectl("apply", "-f", f"{mesh.environment['MESHLAB_SAMPLES']}/addons/kiali.yaml")
    mesh.kubectl("apply", "-f", "-", stdin=WORKLOADS)
    for namespace, name in (
        ("istio-system", "kiali"),
        ("shop", "server"),
        ("shop", "client"),
        ("default", "stranger"),
    ):
        mesh.kubectl("-n", namespace, "rollout", "status", f"deployment/{name}", "--timeout=50s")
    return mesh


def send(lab: Lab, client: str, path: str, number: int = REQUESTS) -> list[str]:
    """Requests from a deployment's pod to the server; their statuses."""
    namespace, _, name = client.partition("/")
    loop = f"for i in $(seq {number}); do curl -s -o /dev/null -w '%{{http_code}} ' http://server.shop:8000{path}; done"
    return lab.kubectl("-n", namespace, "exec", f"deploy/{name}", "-c", "curl", "--", "sh", "-c", loop).split()


class Graph:
    """Kiali's answer by names."""

    def __init__(self, lab: Lab, **query: str) -> None:
        wanted = urlencode({"namespaces": "shop", "duration": "60s", **query})
        body = json.loads(lab.kubectl("get", "--raw", f"{PROXY}/kiali/api/namespaces/graph?{wanted}"))
        nodes = [node["data"] for node in body["elements"]["nodes"]]
        self.nodes = {self._name(node): node for node in nodes}
        names = {node["id"]: name for name, node in self.nodes.items()}
        edges = [edge["data"] for edge in body["elements"]["edges"]]
        self.edges = {(names[edge["source"]], names[edge["target"]]): edge for edge in edges}

    @staticmethod
    def _name(node: dict[str, Any]) -> str:
        service = node["nodeType"] == "service"
        return f"service {node['service']}" if service else str(node.get("workload") or node["app"])


def traffic(edge: dict[str, Any]) -> dict[str, float]:
    return {name: float(rate) for name, rate in edge["traffic"].get("rates", {}).items()}


def test_the_graph_of_real_traffic(kiali: Lab) -> None:
    assert set(send(kiali, "shop/client", "/get")) == {"200"}
    assert set(send(kiali, "shop/client", "/status/503", 10)) == {"503"}
    assert set(send(kiali, "shop/client", "/lost", 6)) == {"503"}
    assert set(send(kiali, "default/stranger", "/get", 12)) == {"200"}

    graph = eventually(lambda: _complete(Graph(kiali)), what="edges from client and stranger")
    assert graph is not None
    edge = graph.edges["client", "server"]
    rates = traffic(edge)
    assert rates["http"] == pytest.approx((REQUESTS + 10) / 60, abs=0.02)
    assert rates["http5xx"] == pytest.approx(10 / 60, abs=0.02)
    assert rates["httpPercentErr"] == pytest.approx(25, abs=1)
    assert edge["isMTLS"] == "100"
    assert edge["sourcePrincipal"] == "spiffe://cluster.local/ns/shop/sa/client"
    assert edge["destPrincipal"] == "spiffe://cluster.local/ns/shop/sa/server"
    assert edge["traffic"]["responses"]["503"]["flags"].keys() <= {"-", "URX"}
    strange = graph.edges["unknown", "server"]
    assert traffic(strange)["http"] == pytest.approx(12 / 60, abs=0.02)
    assert "isMTLS" not in strange
    assert graph.nodes["unknown"]["nodeType"] == "unknown"
    lost = graph.edges["client", "service server.shop:8000"]
    assert lost["traffic"]["responses"]["503"]["flags"] == {"NC": "100.0"}
    assert graph.nodes["server"]["app"] == "server" and graph.nodes["server"]["version"] == "v1"


def _complete(graph: Graph) -> Graph | None:
    wanted = {("client", "server"): REQUESTS + 10, ("client", "service server.shop:8000"): 6, ("unknown", "server"): 12}
    seen = {edge: round(60 * traffic(data).get("http", 0.0)) for edge, data in graph.edges.items()}
    return graph if all(abs(seen.get(edge, 0) - number) <= 1 for edge, number in wanted.items()) else None


def test_the_other_kinds_of_graph(kiali: Lab) -> None:
    send(kiali, "shop/client", "/get", 5)
    eventually(lambda: Graph(kiali, graphType="app").edges)
    apps = Graph(kiali, graphType="app")
    services = Graph(kiali, graphType="service")
    between = Graph(kiali, injectServiceNodes="true")
    assert apps.nodes["client"]["nodeType"] == "app"
    assert ("client", "service server") in services.edges
    assert {("client", "service server"), ("service server", "server")} <= between.edges.keys()


def test_status_and_errors_through_the_api_server(kiali: Lab) -> None:
    status = json.loads(kiali.kubectl("get", "--raw", f"{PROXY}/kiali/api/status"))
    assert status["status"]["Kiali state"] == "running"
    refused = kiali.run(
        "kubectl", "get", "--raw", f"{PROXY}/kiali/api/namespaces/graph?namespaces=shop&duration=x", check=False
    )
    assert refused.returncode != 0


def test_port_forward_to_the_service(kiali: Lab) -> None:
    port = free_port()
    command = ("kubectl", "-n", "istio-system", "port-forward", "svc/kiali", f"{port}:20001")
    with running(kiali, *command) as line:
        assert line().startswith("Forwarding from 127.0.0.1:")
        assert fetch(f"http://127.0.0.1:{port}/kiali/healthz") == (200, "")
        status, page = fetch(f"http://127.0.0.1:{port}/")
        assert status == 200 and "stand-in" in page
        assert fetch(f"http://127.0.0.1:{port}/kiali/api/namespaces/graph")[0] == 400


def test_istioctl_dashboard(kiali: Lab) -> None:
    port = free_port()
    with running(kiali, "istioctl", "dashboard", "kiali", "--browser=false", "-p", str(port)) as line:
        assert line() == f"http://localhost:{port}/kiali\n"
        assert fetch(f"http://127.0.0.1:{port}/kiali/healthz")[0] == 200
    lacking = kiali.run("istioctl", "dashboard", "grafana", check=False)
    assert lacking.returncode == 1 and "no Grafana pods found" in lacking.stderr


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(lab: Lab, *command: str) -> Iterator[Callable[[], str]]:
    """A command that runs until the end of the block; what reads its next line."""
    process = lab.popen(*command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdout is not None
    try:
        yield process.stdout.readline
    finally:
        process.terminate()
        process.wait(10)
        process.stdout.close()


def fetch(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=10) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()
