"""https://istio.io/latest/docs/tasks/observability/metrics/customize-metrics/ and .../metrics/telemetry-api/."""

from __future__ import annotations

import re

import pytest

from tests.support.lab import Lab, eventually
from tests.support.samples import apply, available, curl, inject

pytestmark = pytest.mark.full

REQUESTS = "istio_requests_total"
CUSTOM = """
apiVersion: telemetry.istio.io/v1
kind: Telemetry
metadata: {name: namespace-metrics}
spec:
  metrics:
  - providers:
    - name: prometheus
    overrides:
    - match:
        metric: REQUEST_COUNT
      tagOverrides:
        destination_port:
          value: "string(destination.port)"
        request_host:
          value: "request.host"
"""
MESH = """
apiVersion: telemetry.istio.io/v1
kind: Telemetry
metadata: {name: NAME, namespace: istio-system}
spec:
  metrics:
  - providers:
    - name: prometheus
    overrides:
    - match:
        mode: MODE
        metric: METRIC
      CHANGE
"""


@pytest.fixture(scope="module")
def httpbin(mesh: Lab) -> Lab:
    inject(mesh)
    apply(mesh, "httpbin/httpbin.yaml", "curl/curl.yaml")
    available(mesh)
    return mesh


def series(lab: Lab, deployment: str, name: str = REQUESTS) -> list[dict[str, str]]:
    """The labels of a metric's series, as upstream's page looks for them."""
    page = lab.kubectl(
        "exec", f"deploy/{deployment}", "-c", "istio-proxy", "--", "curl", "-s", "localhost:15000/stats/prometheus"
    )
    found = re.findall(rf"^{name}\{{(.*)\}} \S+$", page, re.MULTILINE)
    return [dict(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', labels)) for labels in found]


def call(lab: Lab) -> bool:
    return curl(lab, "-o", "/dev/null", "-w", "%{http_code}", "http://httpbin:8000/get") == "200"


def change(lab: Lab, name: str, mode: str, metric: str, change: str) -> None:
    manifest = MESH.replace("NAME", name).replace("MODE", mode).replace("METRIC", metric).replace("CHANGE", change)
    lab.kubectl("apply", "-f", "-", stdin=manifest)


@pytest.mark.parametrize(
    ("deployment", "reporter", "port"), [("curl", "source", "8000"), ("httpbin", "destination", "8080")]
)
def test_labels_are_added_to_a_metric(httpbin: Lab, deployment: str, reporter: str, port: str) -> None:
    httpbin.kubectl("apply", "-f", "-", stdin=CUSTOM)
    wanted = {"reporter": reporter, "destination_port": port, "request_host": "httpbin:8000"}
    eventually(lambda: call(httpbin) and any(wanted.items() <= s.items() for s in series(httpbin, deployment)))
    assert not any("request_host" in s for s in series(httpbin, deployment, "istio_request_bytes_count"))
    httpbin.kubectl("delete", "telemetry", "namespace-metrics")
    eventually(lambda: call(httpbin) and any("request_host" not in s for s in series(httpbin, deployment)))


@pytest.mark.parametrize("deployment", ["curl", "httpbin"])
def test_a_label_is_removed_in_the_whole_mesh(httpbin: Lab, deployment: str) -> None:
    removal = "tagOverrides: {grpc_response_status: {operation: REMOVE}}"
    change(httpbin, "remove-tags", "CLIENT_AND_SERVER", "REQUEST_COUNT", removal)
    eventually(lambda: call(httpbin) and any("grpc_response_status" not in s for s in series(httpbin, deployment)))
    httpbin.kubectl("delete", "telemetry", "-n", "istio-system", "remove-tags")


def test_a_metric_is_disabled_on_one_side_and_all_are_on_both(httpbin: Lab) -> None:
    change(httpbin, "remove-server", "SERVER", "REQUEST_COUNT", "disabled: true")
    eventually(lambda: call(httpbin) and not series(httpbin, "httpbin") and series(httpbin, "curl"))
    httpbin.kubectl("delete", "telemetry", "-n", "istio-system", "remove-server")
    change(httpbin, "remove-all-metrics", "CLIENT_AND_SERVER", "ALL_METRICS", "disabled: true")
    eventually(lambda: call(httpbin) and not series(httpbin, "httpbin") + series(httpbin, "curl"))
    assert not series(httpbin, "curl", "istio_request_duration_milliseconds_count")
    httpbin.kubectl("delete", "telemetry", "-n", "istio-system", "remove-all-metrics")
    eventually(lambda: call(httpbin) and series(httpbin, "httpbin") and series(httpbin, "curl"))
