"""Upstream's tasks "Egress Gateways" and "Egress Gateways with TLS Origination".

The world outside is a server of this host, so the ServiceEntry names its address instead of asking the DNS; not
127.0.0.1, which in a ServiceEntry is the pod itself.
"""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator

import pytest

from tests.support import external_nginx
from tests.support.ingress import Authority
from tests.support.lab import Lab, eventually

pytestmark = pytest.mark.full

SERVICE_ENTRY = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata:
  name: cnn
spec:
  hosts:
  - edition.cnn.com
  ports:
  - number: 80
    name: http-port
    protocol: HTTP
  - number: 443
    name: https
    protocol: HTTPS
  resolution: STATIC
  endpoints:
  - address: 127.0.0.2
    ports: {http-port: %(port)s}
"""
GATEWAY = """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata:
  name: istio-egressgateway
spec:
  selector:
    istio: egressgateway
  servers:
  - port:
      number: 80
      name: http
      protocol: HTTP
    hosts:
    - edition.cnn.com
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata:
  name: egressgateway-for-cnn
spec:
  host: istio-egressgateway.istio-system.svc.cluster.local
  subsets:
  - name: cnn
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: direct-cnn-through-egress-gateway
spec:
  hosts:
  - edition.cnn.com
  gateways:
  - istio-egressgateway
  - mesh
  http:
  - match:
    - gateways:
      - mesh
      port: 80
    route:
    - destination:
        host: istio-egressgateway.istio-system.svc.cluster.local
        subset: cnn
        port:
          number: 80
      weight: 100
  - match:
    - gateways:
      - istio-egressgateway
      port: 80
    route:
    - destination:
        host: edition.cnn.com
        port:
          number: 80
      weight: 100
"""
GATEWAY_API = """
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata:
  name: cnn-egress-gateway
  annotations:
    networking.istio.io/service-type: ClusterIP
spec:
  gatewayClassName: istio
  listeners:
  - name: http
    hostname: edition.cnn.com
    port: 80
    protocol: HTTP
    allowedRoutes:
      namespaces:
        from: Same
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata:
  name: direct-cnn-to-egress-gateway
spec:
  parentRefs:
  - kind: ServiceEntry
    group: networking.istio.io
    name: cnn
  rules:
  - backendRefs:
    - name: cnn-egress-gateway-istio
      port: 80
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata:
  name: forward-cnn-from-egress-gateway
spec:
  parentRefs:
  - name: cnn-egress-gateway
  hostnames:
  - edition.cnn.com
  rules:
  - backendRefs:
    - kind: Hostname
      group: networking.istio.io
      name: edition.cnn.com
      port: 80
"""
ORIGINATION = """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata:
  name: istio-egressgateway
spec:
  selector:
    istio: egressgateway
  servers:
  - port:
      number: 443
      name: https
      protocol: HTTPS
    hosts:
    - my-nginx.mesh-external.svc.cluster.local
    tls:
      mode: ISTIO_MUTUAL
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata:
  name: egressgateway-for-nginx
spec:
  host: istio-egressgateway.istio-system.svc.cluster.local
  subsets:
  - name: nginx
    trafficPolicy:
      loadBalancer:
        simple: ROUND_ROBIN
      portLevelSettings:
      - port:
          number: 443
        tls:
          mode: ISTIO_MUTUAL
          sni: my-nginx.mesh-external.svc.cluster.local
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: direct-nginx-through-egress-gateway
spec:
  hosts:
  - my-nginx.mesh-external.svc.cluster.local
  gateways:
  - istio-egressgateway
  - mesh
  http:
  - match:
    - gateways:
      - mesh
      port: 80
    route:
    - destination:
        host: istio-egressgateway.istio-system.svc.cluster.local
        subset: nginx
        port:
          number: 443
      weight: 100
  - match:
    - gateways:
      - istio-egressgateway
      port: 443
    route:
    - destination:
        host: my-nginx.mesh-external.svc.cluster.local
        port:
          number: 443
      weight: 100
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata:
  name: originate-mtls-for-nginx
  namespace: istio-system
spec:
  host: my-nginx.mesh-external.svc.cluster.local
  trafficPolicy:
    loadBalancer:
      simple: ROUND_ROBIN
    portLevelSettings:
    - port:
        number: 443
      tls:
        mode: MUTUAL
        credentialName: client-credential # this must match the secret created earlier to hold client certs
        sni: my-nginx.mesh-external.svc.cluster.local
"""
NGINX_HOST = "my-nginx.mesh-external.svc.cluster.local"


class _News(http.server.BaseHTTPRequestHandler):
    """Moves everybody to HTTPS, as the page's site does."""

    def do_GET(self) -> None:
        self.send_response(301)
        self.send_header("Location", f"https://{self.headers['Host']}{self.path}")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def news() -> Iterator[int]:
    """A site outside the mesh: its port."""
    server = http.server.ThreadingHTTPServer(("127.0.0.2", 0), _News)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def client(mesh: Lab) -> Lab:
    mesh.kubectl("label", "namespace", "default", "istio-injection=enabled")
    mesh.kubectl("apply", "-f", f"{mesh.environment['MESHLAB_SAMPLES']}/curl/curl.yaml")
    mesh.kubectl("rollout", "status", "deployment/curl", "--timeout=60s")
    return mesh


def get(lab: Lab, url: str, *arguments: str) -> str:
    return lab.run(
        "kubectl", "exec", "deploy/curl", "-c", "curl", "--", "curl", "-sS", *arguments, url, check=False
    ).stdout


def egress_log(lab: Lab, selector: str, namespace: str) -> str:
    return lab.kubectl("logs", "-l", selector, "-c", "istio-proxy", "-n", namespace, "--tail=20")


def test_http_through_the_egress_gateway(client: Lab, news: int) -> None:
    client.kubectl("apply", "-f", "-", stdin=SERVICE_ENTRY % {"port": news})
    url = "http://edition.cnn.com/politics"
    eventually(lambda: "location: https://edition.cnn.com/politics" in get(client, url, "-o", "/dev/null", "-D", "-"))
    client.kubectl("apply", "-f", "-", stdin=GATEWAY)

    def passed() -> bool:
        assert "location: https://edition.cnn.com/politics" in get(client, url, "-o", "/dev/null", "-D", "-")
        log = egress_log(client, "istio=egressgateway", "istio-system")
        return '"GET /politics HTTP/' in log and "outbound|80||edition.cnn.com" in log

    eventually(passed, what="the gateway's log has the request")
    client.kubectl(
        "delete", "gateways.networking.istio.io/istio-egressgateway", "destinationrule/egressgateway-for-cnn",
        "virtualservice/direct-cnn-through-egress-gateway", "serviceentry/cnn",
    )  # fmt: skip


def test_http_through_an_egress_gateway_of_the_gateway_api(client: Lab, news: int) -> None:
    client.kubectl("apply", "-f", "-", stdin=SERVICE_ENTRY % {"port": news} + "---" + GATEWAY_API)
    client.kubectl("wait", "--for=condition=programmed", "gtw/cnn-egress-gateway", "--timeout=60s")
    assert client.kubectl("get", "service", "cnn-egress-gateway-istio", "-o", "jsonpath={.spec.type}") == "ClusterIP"

    def passed() -> bool:
        get(client, "http://edition.cnn.com/politics")
        log = egress_log(client, "gateway.networking.k8s.io/gateway-name=cnn-egress-gateway", "default")
        return "outbound|80||edition.cnn.com" in log and "default.forward-cnn-from-egress-gateway.0" in log

    eventually(passed, what="the gateway's log has the request")
    client.kubectl(
        "delete", "gtw/cnn-egress-gateway", "httproute/direct-cnn-to-egress-gateway",
        "httproute/forward-cnn-from-egress-gateway", "serviceentry/cnn",
    )  # fmt: skip


def test_mutual_tls_that_the_egress_gateway_originates(client: Lab) -> None:
    authority = Authority(client.home / "certs")
    certificate, key = authority.issue(NGINX_HOST)
    own, own_key = authority.issue("client.example.com")
    client.kubectl("create", "namespace", "mesh-external")
    external = ("create", "-n", "mesh-external")
    client.kubectl(*external, "secret", "tls", "nginx-server-certs", f"--key={key}", f"--cert={certificate}")
    client.kubectl(*external, "secret", "generic", "nginx-ca-certs", f"--from-file={authority.root}")
    configuration = client.home / "nginx.conf"
    configuration.write_text(external_nginx.CONFIGURATION)
    configuration.chmod(0o644)
    client.kubectl(*external, "configmap", "nginx-configmap", f"--from-file=nginx.conf={configuration}")
    client.kubectl("apply", "-f", "-", stdin=external_nginx.NGINX)
    client.kubectl("rollout", "status", "-n", "mesh-external", "deployment/my-nginx", "--timeout=60s")
    client.kubectl(
        "create", "secret", "-n", "istio-system", "generic", "client-credential", f"--from-file=tls.key={own_key}",
        f"--from-file=tls.crt={own}", f"--from-file=ca.crt={authority.root}",
    )  # fmt: skip
    client.kubectl("apply", "-f", "-", stdin=ORIGINATION)
    eventually(lambda: "<title>Welcome to nginx!</title>" in get(client, f"http://{NGINX_HOST}"))
    eventually(lambda: f"outbound|443||{NGINX_HOST}" in egress_log(client, "istio=egressgateway", "istio-system"))
