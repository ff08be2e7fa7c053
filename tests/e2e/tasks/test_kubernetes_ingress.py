"""Upstream's task "Kubernetes Ingress": by annotation, by IngressClass, with TLS; and what its status tells."""

from __future__ import annotations

import pytest

from tests.support.ingress import Authority, curl, node_port, status
from tests.support.lab import Lab, eventually

pytestmark = pytest.mark.full

BY_ANNOTATION = """
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  annotations:
    kubernetes.io/ingress.class: istio
  name: ingress
spec:
  rules:
  - host: httpbin.example.com
    http:
      paths:
      - path: /status
        pathType: Prefix
        backend:
          service:
            name: httpbin
            port:
              number: 8000
"""
BY_CLASS = """
apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata:
  name: istio
spec:
  controller: istio.io/ingress-controller
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: ingress
spec:
  ingressClassName: istio
  tls:
  - hosts: [httpbin.example.com]
    secretName: ingress-cert
  rules:
  - host: httpbin.example.com
    http:
      paths:
      - path: /
        pathType: Prefix
        backend:
          service:
            name: httpbin
            port:
              number: 8000
"""
HOST = ("-HHost:httpbin.example.com",)


@pytest.fixture(scope="module")
def httpbin(mesh: Lab) -> Lab:
    mesh.kubectl("apply", "-f", f"{mesh.environment['MESHLAB_SAMPLES']}/httpbin/httpbin.yaml")
    mesh.kubectl("rollout", "status", "deployment/httpbin", "--timeout=60s")
    return mesh


def test_an_ingress_by_its_annotation(httpbin: Lab) -> None:
    httpbin.kubectl("apply", "-f", "-", stdin=BY_ANNOTATION)
    host, port = node_port(httpbin, "istio-ingressgateway", "http2")
    url = f"http://{host}:{port}"
    eventually(lambda: status(httpbin, f"{url}/status/200", *HOST) == "200")
    code, head = curl(httpbin, "-I", *HOST, f"{url}/status/200")
    assert code == 0
    assert head.startswith("HTTP/1.1 200 OK\n") and "server: istio-envoy\n" in head
    assert status(httpbin, f"{url}/headers", *HOST) == "404"
    assert status(httpbin, f"{url}/statuses", *HOST) == "404", "a prefix ends with a segment"
    published = httpbin.kubectl(
        "get", "service", "istio-ingressgateway", "-n", "istio-system", "-o",
        "jsonpath={.status.loadBalancer.ingress[0].ip}",
    )  # fmt: skip
    query = "jsonpath={.status.loadBalancer.ingress[0].ip}"
    eventually(lambda: httpbin.kubectl("get", "ingress", "ingress", "-o", query) == published)
    httpbin.kubectl("delete", "ingress", "ingress")
    eventually(lambda: status(httpbin, f"{url}/status/200", *HOST) in {"000", "404"})


def test_an_ingress_by_its_class_with_tls(httpbin: Lab) -> None:
    authority = Authority(httpbin.home / "ingress")
    certificate, key = authority.issue("httpbin.example.com")
    httpbin.kubectl(
        "create", "-n", "istio-system", "secret", "tls", "ingress-cert", f"--cert={certificate}", f"--key={key}"
    )
    httpbin.kubectl("apply", "-f", "-", stdin=BY_CLASS)
    host, port = node_port(httpbin, "istio-ingressgateway", "http2")
    eventually(lambda: status(httpbin, f"http://{host}:{port}/headers", *HOST) == "200")
    _, secure = node_port(httpbin, "istio-ingressgateway", "https")
    arguments = ("--cacert", str(authority.root), "--resolve", f"httpbin.example.com:{secure}:{host}")
    eventually(lambda: status(httpbin, f"https://httpbin.example.com:{secure}/status/418", *arguments) == "418")
    httpbin.kubectl("delete", "ingress/ingress", "ingressclass/istio")
