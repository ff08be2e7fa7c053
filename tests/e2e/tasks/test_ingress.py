"""Upstream's task "Ingress Gateways", with Istio's own APIs and with the Gateway API."""

from __future__ import annotations

import subprocess

import pytest

from tests.support.ingress import curl, node_port, status
from tests.support.lab import Lab, eventually

pytestmark = pytest.mark.full

GATEWAY = """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata:
  name: httpbin-gateway
spec:
  # The selector matches the ingress gateway pod labels.
  # If you installed Istio using Helm following the standard documentation, this would be "istio=ingress"
  selector:
    istio: ingressgateway
  servers:
  - port:
      number: 80
      name: http
      protocol: HTTP
    hosts:
    - "httpbin.example.com"
"""
VIRTUAL_SERVICE = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: httpbin
spec:
  hosts:
  - "httpbin.example.com"
  gateways:
  - httpbin-gateway
  http:
  - match:
    - uri:
        prefix: /status
    - uri:
        prefix: /delay
    route:
    - destination:
        port:
          number: 8000
        host: httpbin
"""
ANY_HOST = """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata:
  name: httpbin-gateway
spec:
  selector:
    istio: ingressgateway
  servers:
  - port:
      number: 80
      name: http
      protocol: HTTP
    hosts:
    - "*"
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: httpbin
spec:
  hosts:
  - "*"
  gateways:
  - httpbin-gateway
  http:
  - match:
    - uri:
        prefix: /headers
    route:
    - destination:
        port:
          number: 8000
        host: httpbin
"""
GATEWAY_API = """
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata:
  name: httpbin-gateway
spec:
  gatewayClassName: istio
  listeners:
  - name: http
    hostname: "httpbin.example.com"
    port: 80
    protocol: HTTP
    allowedRoutes:
      namespaces:
        from: Same
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata:
  name: httpbin
spec:
  parentRefs:
  - name: httpbin-gateway
  hostnames: ["httpbin.example.com"]
  rules:
  - matches:
    - path:
        type: PathPrefix
        value: /status
    - path:
        type: PathPrefix
        value: /delay
    backendRefs:
    - name: httpbin
      port: 8000
"""
INJECTED = """
apiVersion: v1
kind: Service
metadata:
  name: istio-ingressgateway
  namespace: istio-ingress
spec:
  type: LoadBalancer
  selector:
    istio: ingressgateway
  ports:
  - port: 80
    name: http
  - port: 443
    name: https
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: istio-ingressgateway
  namespace: istio-ingress
spec:
  selector:
    matchLabels:
      istio: ingressgateway
  template:
    metadata:
      annotations:
        # Select the gateway injection template (rather than the default sidecar template)
        inject.istio.io/templates: gateway
      labels:
        # Set a unique label for the gateway. This is required to ensure Gateways can select this workload
        istio: ingressgateway
        # Enable gateway injection. If connecting to a revisioned control plane, replace with "istio.io/rev: revision-name"
        sidecar.istio.io/inject: "true"
    spec:
      # Allow binding to all ports (such as 80 and 443)
      securityContext:
        sysctls:
        - name: net.ipv4.ip_unprivileged_port_start
          value: "0"
      containers:
      - name: istio-proxy
        image: auto # The image will automatically update each time the pod starts.
        # Drop all privileges, allowing to run as non-root
        securityContext:
          capabilities:
            drop:
            - ALL
          runAsUser: 1337
          runAsGroup: 1337
---
# Set up roles to allow reading credentials for TLS
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  name: istio-ingressgateway-sds
  namespace: istio-ingress
rules:
- apiGroups: [""]
  resources: ["secrets"]
  verbs: ["get", "watch", "list"]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  name: istio-ingressgateway-sds
  namespace: istio-ingress
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: Role
  name: istio-ingressgateway-sds
subjects:
- kind: ServiceAccount
  name: default
"""
HOST = ("-H", "Host:httpbin.example.com")


@pytest.fixture(scope="module")
def httpbin(mesh: Lab) -> Lab:
    mesh.kubectl("label", "namespace", "default", "istio-injection=enabled")
    mesh.kubectl("apply", "-f", f"{mesh.environment['MESHLAB_SAMPLES']}/httpbin/httpbin.yaml")
    mesh.kubectl("rollout", "status", "deployment/httpbin", "--timeout=60s")
    return mesh


def test_ingress_with_istio_apis(httpbin: Lab) -> None:
    host, port = node_port(httpbin, "istio-ingressgateway", "http2")
    assert status(httpbin, f"http://{host}:{port}/status/200", *HOST) == "000", (
        "nothing listens before there is a Gateway"
    )
    httpbin.kubectl("apply", "-f", "-", stdin=GATEWAY)
    eventually(lambda: status(httpbin, f"http://{host}:{port}/status/200", *HOST) == "404")
    httpbin.kubectl("apply", "-f", "-", stdin=VIRTUAL_SERVICE)
    eventually(lambda: status(httpbin, f"http://{host}:{port}/status/200", *HOST) == "200")
    code, head = curl(httpbin, "-I", *HOST, f"http://{host}:{port}/status/200")
    assert code == 0
    assert head.startswith("HTTP/1.1 200 OK\n")
    assert "server: istio-envoy\n" in head and "x-envoy-upstream-service-time: " in head
    assert status(httpbin, f"http://{host}:{port}/headers", *HOST) == "404"
    assert status(httpbin, f"http://{host}:{port}/status/200") == "404", "another host"
    httpbin.kubectl("apply", "-f", "-", stdin=ANY_HOST)
    eventually(lambda: status(httpbin, f"http://{host}:{port}/headers") == "200")


def test_the_gateway_answers_by_port_forward_and_at_its_published_address(httpbin: Lab) -> None:
    httpbin.kubectl("apply", "-f", "-", stdin=ANY_HOST)
    command = ["kubectl", "port-forward", "-n", "istio-system", "service/istio-ingressgateway", ":80"]
    forward = httpbin.popen(*command, stdout=subprocess.PIPE)
    try:
        assert forward.stdout is not None
        local = forward.stdout.readline().split("->")[0].rsplit(":", 1)[1].strip()
        eventually(lambda: status(httpbin, f"http://127.0.0.1:{local}/headers") == "200")
    finally:
        forward.terminate()
        forward.communicate()
    query = "jsonpath={.status.loadBalancer.ingress[0].ip}"
    address = httpbin.kubectl("get", "service", "istio-ingressgateway", "-n", "istio-system", "-o", query)
    eventually(lambda: status(httpbin, f"http://{address}:80/headers") == "200")
    httpbin.kubectl("delete", "gateways.networking.istio.io/httpbin-gateway", "virtualservice/httpbin")


def test_ingress_with_the_gateway_api(httpbin: Lab) -> None:
    httpbin.kubectl("apply", "-f", "-", stdin=GATEWAY_API)
    httpbin.kubectl("wait", "--for=condition=programmed", "gtw", "httpbin-gateway", "--timeout=60s")
    address = httpbin.kubectl("get", "gtw", "httpbin-gateway", "-o", "jsonpath={.status.addresses[0].value}")
    port = httpbin.kubectl(
        "get", "gtw", "httpbin-gateway", "-o", 'jsonpath={.spec.listeners[?(@.name=="http")].port}'
    )  # fmt: skip
    service = "jsonpath={.status.loadBalancer.ingress[0].ip}"
    assert address == httpbin.kubectl("get", "service", "httpbin-gateway-istio", "-o", service)
    assert port == "80"
    eventually(lambda: status(httpbin, f"http://{address}:{port}/status/200", *HOST) == "200")
    assert status(httpbin, f"http://{address}/headers", *HOST) == "404"
    assert status(httpbin, f"http://{address}/status/200") == "404"
    host, number = node_port(httpbin, "httpbin-gateway-istio", "http", "default")
    assert status(httpbin, f"http://{host}:{number}/status/200", *HOST) == "200"
    httpbin.kubectl("delete", "gtw/httpbin-gateway", "httproute/httpbin")
    eventually(lambda: "httpbin-gateway-istio" not in httpbin.kubectl("get", "deploy,svc,sa", "-o", "name"))


def test_a_gateway_of_ones_own_in_a_namespace_of_its_own(httpbin: Lab) -> None:
    httpbin.kubectl("create", "namespace", "istio-ingress")
    httpbin.kubectl("apply", "-f", "-", stdin=INJECTED)
    httpbin.kubectl("rollout", "status", "-n", "istio-ingress", "deployment/istio-ingressgateway", "--timeout=60s")
    image = "jsonpath={.items[0].spec.containers[0].image}"
    assert "proxyv2:1.31.0" in httpbin.kubectl("get", "pods", "-n", "istio-ingress", "-o", image)
    # Both gateways' pods carry the label; the application's resources stay in its namespace.
    httpbin.kubectl("apply", "-f", "-", stdin=ANY_HOST)
    host, port = node_port(httpbin, "istio-ingressgateway", "http", "istio-ingress")
    eventually(lambda: status(httpbin, f"http://{host}:{port}/headers") == "200")
    httpbin.kubectl("delete", "namespace", "istio-ingress")
    httpbin.kubectl("delete", "gateways.networking.istio.io/httpbin-gateway", "virtualservice/httpbin")
