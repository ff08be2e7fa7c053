"""https://istio.io/latest/docs/tasks/observability/distributed-tracing/: telemetry-api, opentelemetry, mesh-and-proxy-config."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.collector import Collector
from tests.support.lab import Lab, eventually
from tests.support.samples import GATEWAY, curl, deploy_bookinfo

pytestmark = pytest.mark.full

INSTALL = """
apiVersion: install.istio.io/v1alpha1
kind: IstioOperator
spec:
  profile: demo
  meshConfig:
    enableTracing: true
    defaultConfig:
      tracing: {}
    extensionProviders:
    - name: zipkin
      zipkin:
        service: zipkin.istio-system.svc.cluster.local
        port: 9411
    - name: otel-tracing
      opentelemetry:
        port: 4318
        service: opentelemetry-collector.otel-collector.svc.cluster.local
        http:
          path: "v1/traces"
          timeout: 10s
          headers:
          - name: "my-custom-header"
            value: "some-value"
"""
TELEMETRY = """
apiVersion: telemetry.istio.io/v1
kind: Telemetry
metadata: {name: mesh-default, namespace: istio-system}
spec:
  tracing:
  - providers:
    - name: PROVIDER
    randomSamplingPercentage: 100.00
    customTags:
      provider:
        literal:
          value: PROVIDER
      cluster_id:
        environment:
          name: ISTIO_META_CLUSTER_ID
          defaultValue: nowhere
      agent:
        header:
          name: user-agent
"""
SERVICES = {"productpage.default", "reviews.default", "details.default", "istio-ingressgateway.istio-system"}


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    collector = Collector()
    yield collector
    collector.close()


@pytest.fixture(scope="module")
def bookinfo(lab: Lab, collector: Collector) -> Lab:
    (lab.home / "tracing.yaml").write_text(INSTALL)
    lab.run("istioctl", "install", "-f", str(lab.home / "tracing.yaml"), "--skip-confirmation")
    lab.kubectl("apply", "-f", "-", stdin=collector.entry("zipkin.istio-system.svc.cluster.local", 9411))
    host = "opentelemetry-collector.otel-collector.svc.cluster.local"
    lab.kubectl("apply", "-f", "-", stdin=collector.entry(host, 4318))
    deploy_bookinfo(lab)
    return lab


def visit(lab: Lab) -> None:
    page, _, status = curl(lab, "-i", "-w", "\n%{http_code}", f"{GATEWAY}/productpage").rpartition("\n")
    assert status == "200", page


def test_zipkin_shows_a_visit_as_one_trace(bookinfo: Lab, collector: Collector) -> None:
    bookinfo.kubectl("apply", "-f", "-", stdin=TELEMETRY.replace("PROVIDER", "zipkin"))

    def whole() -> list[dict[str, Any]]:
        visit(bookinfo)
        traces: dict[str, list[dict[str, Any]]] = {}
        for span in list(collector.zipkin):
            traces.setdefault(span["traceId"], []).append(span)
        return next(
            (spans for spans in traces.values() if {s["localEndpoint"]["serviceName"] for s in spans} >= SERVICES), []
        )

    spans = eventually(whole)
    page = next(s for s in spans if s["localEndpoint"]["serviceName"] == "productpage.default")
    assert {key: page["tags"].get(key) for key in ("provider", "cluster_id", "istio.namespace")} == {
        "provider": "zipkin",
        "cluster_id": "Kubernetes",
        "istio.namespace": "default",
    }
    assert page["tags"]["istio.canonical_service"] == "productpage"
    names = {span["name"] for span in spans}
    assert "reviews.default.svc.cluster.local:9080/*" in names
    assert "productpage.default.svc.cluster.local:9080/productpage" in names, "a VirtualService's path belongs to it"


def test_opentelemetry_over_http(bookinfo: Lab, collector: Collector) -> None:
    bookinfo.kubectl("apply", "-f", "-", stdin=TELEMETRY.replace("PROVIDER", "otel-tracing"))

    def reported() -> bool:
        visit(bookinfo)
        return {span["service"] for span in list(collector.otlp)} >= SERVICES

    eventually(reported)
    assert collector.headers["my-custom-header"] == "some-value"
    attributes = {a["key"]: a["value"].get("string_value") for a in collector.otlp[-1]["attributes"]}
    assert attributes["provider"] == "otel-tracing"
    assert attributes["istio.mesh_id"] == "cluster.local"


def test_a_workload_reports_nothing(bookinfo: Lab, collector: Collector) -> None:
    off = """
apiVersion: telemetry.istio.io/v1
kind: Telemetry
metadata: {name: quiet, namespace: default}
spec:
  selector: {matchLabels: {app: details}}
  tracing: [{disableSpanReporting: true}]
"""
    bookinfo.kubectl("apply", "-f", "-", stdin=off)

    def quiet() -> bool:
        collector.otlp.clear()
        for _ in range(10):
            visit(bookinfo)
        eventually(lambda: any(span["service"] == "reviews.default" for span in list(collector.otlp)))
        return not any(span["service"] == "details.default" for span in list(collector.otlp))

    eventually(quiet)


def test_a_pods_annotation_names_a_collector_and_tags(bookinfo: Lab, collector: Collector) -> None:
    bookinfo.kubectl("delete", "telemetry", "-A", "--all")
    config = (
        "tracing: {zipkin: {address: 'zipkin.istio-system:9411'}, sampling: 100, "
        "custom_tags: {my_tag_header: {header: {name: host}}}}"
    )
    patch = {"spec": {"template": {"metadata": {"annotations": {"proxy.istio.io/config": config}}}}}
    bookinfo.kubectl("patch", "deployment", "curl", "-p", json.dumps(patch))
    bookinfo.kubectl("rollout", "status", "deployment/curl", "--timeout=60s")
    collector.zipkin.clear()

    def reported() -> list[dict[str, Any]]:
        visit(bookinfo)
        return [span for span in list(collector.zipkin) if span["localEndpoint"]["serviceName"] == "curl.default"]

    span = eventually(reported)[0]
    assert span["tags"]["my_tag_header"] == "istio-ingressgateway.istio-system"
    assert {span["localEndpoint"]["serviceName"] for span in collector.zipkin} == {"curl.default"}
