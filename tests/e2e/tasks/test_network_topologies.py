"""Upstream's page "Configuring Gateway Network Topology": trusted proxies, and the PROXY protocol."""

from __future__ import annotations

import json

import pytest

from tests.support.ingress import curl
from tests.support.lab import Lab, eventually

pytestmark = pytest.mark.full

TOPOLOGY = """
apiVersion: install.istio.io/v1alpha1
kind: IstioOperator
spec:
  meshConfig:
    defaultConfig:
      gatewayTopology:
        numTrustedProxies: 2
"""
PROXY_PROTOCOL = """
spec:
  template:
    metadata:
      annotations:
        "proxy.istio.io/config": '{"gatewayTopology" : { "proxyProtocol": {} }}'
"""
FORWARDED = ("-H", "X-Forwarded-For: 56.5.6.7, 72.9.5.6, 98.1.2.3")


@pytest.fixture(scope="module")
def httpbin(lab: Lab) -> Lab:
    file = lab.home / "topology.yaml"
    file.write_text(TOPOLOGY)
    lab.run("istioctl", "install", "-f", str(file), "-y")
    lab.kubectl("create", "namespace", "httpbin")
    lab.kubectl("label", "--overwrite", "namespace", "httpbin", "istio-injection=enabled")
    samples = lab.environment["MESHLAB_SAMPLES"]
    for name in ("httpbin", "httpbin-gateway"):
        lab.kubectl("apply", "-n", "httpbin", "-f", f"{samples}/httpbin/{name}.yaml")
    lab.kubectl("rollout", "status", "-n", "httpbin", "deployment/httpbin", "--timeout=60s")
    return lab


def gateway(lab: Lab) -> str:
    query = "jsonpath={.status.loadBalancer.ingress[0].ip}"
    return lab.kubectl("-n", "istio-system", "get", "service", "istio-ingressgateway", "-o", query)


def headers(lab: Lab, *arguments: str) -> dict[str, list[str]]:
    """What httpbin received; nothing while there is no answer."""
    code, text = curl(lab, *arguments, f"http://{gateway(lab)}/get?show_env=true")
    try:
        received: dict[str, list[str]] = json.loads(text)["headers"] if code == 0 else {}
    except ValueError:
        return {}
    return received


def test_the_address_before_the_trusted_proxies_is_the_clients(httpbin: Lab) -> None:
    received = eventually(lambda: headers(httpbin, *FORWARDED))
    assert received["X-Envoy-External-Address"] == ["72.9.5.6"]
    (forwarded,) = received["X-Forwarded-For"]
    assert forwarded.startswith("56.5.6.7, 72.9.5.6, 98.1.2.3,")


def test_connections_that_begin_with_the_proxy_protocol(httpbin: Lab) -> None:
    httpbin.kubectl("patch", "deployment", "istio-ingressgateway", "-n", "istio-system", "--patch", PROXY_PROTOCOL)
    httpbin.kubectl("rollout", "status", "-n", "istio-system", "deployment/istio-ingressgateway", "--timeout=60s")
    eventually(lambda: headers(httpbin, "--haproxy-protocol"))
    assert headers(httpbin) == {}, "without the header there is no connection"
