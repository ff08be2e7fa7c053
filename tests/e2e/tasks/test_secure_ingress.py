"""Upstream's tasks "Secure Gateways" and "Ingress Gateway without TLS Termination"."""

from __future__ import annotations

import pytest

from tests.support.ingress import Authority, Load, curl, node_port
from tests.support.lab import Lab, eventually

pytestmark = pytest.mark.full

HTTPBIN_GATEWAY = """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata:
  name: mygateway
spec:
  selector:
    istio: ingressgateway # use istio default ingress gateway
  servers:
  - port:
      number: 443
      name: https
      protocol: HTTPS
    tls:
      mode: SIMPLE
      credentialName: httpbin-credential # must be the same as secret
    hosts:
    - httpbin.example.com
"""
HTTPBIN_ROUTES = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: httpbin
spec:
  hosts:
  - "httpbin.example.com"
  gateways:
  - mygateway
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
MULTI_HOST = """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata:
  name: mygateway
spec:
  selector:
    istio: ingressgateway # use istio default ingress gateway
  servers:
  - port:
      number: 443
      name: https-httpbin
      protocol: HTTPS
    tls:
      mode: SIMPLE
      credentialName: httpbin-credential
    hosts:
    - httpbin.example.com
  - port:
      number: 443
      name: https-helloworld
      protocol: HTTPS
    tls:
      mode: SIMPLE
      credentialName: helloworld-credential
    hosts:
    - helloworld.example.com
"""
HELLOWORLD_ROUTES = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: helloworld
spec:
  hosts:
  - helloworld.example.com
  gateways:
  - mygateway
  http:
  - match:
    - uri:
        exact: /hello
    route:
    - destination:
        host: helloworld
        port:
          number: 5000
"""
GATEWAY_API = """
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata:
  name: mygateway
  namespace: istio-system
spec:
  gatewayClassName: istio
  listeners:
  - name: https
    hostname: "httpbin.example.com"
    port: 443
    protocol: HTTPS
    tls:
      mode: Terminate
      certificateRefs:
      - name: httpbin-credential
    allowedRoutes:
      namespaces:
        from: Selector
        selector:
          matchLabels:
            kubernetes.io/metadata.name: default
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata:
  name: httpbin
spec:
  parentRefs:
  - name: mygateway
    namespace: istio-system
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
NGINX_CONFIGURATION = r"""
events {
}

http {
  log_format main '$remote_addr - $remote_user [$time_local]  $status '
  '"$request" $body_bytes_sent "$http_referer" '
  '"$http_user_agent" "$http_x_forwarded_for"';
  access_log /var/log/nginx/access.log main;
  error_log  /var/log/nginx/error.log;

  server {
    listen 443 ssl;

    root /usr/share/nginx/html;
    index index.html;

    server_name nginx.example.com;
    ssl_certificate /etc/nginx-server-certs/tls.crt;
    ssl_certificate_key /etc/nginx-server-certs/tls.key;
  }
}
"""
NGINX = """
apiVersion: v1
kind: Service
metadata:
  name: my-nginx
  labels:
    run: my-nginx
spec:
  ports:
  - port: 443
    protocol: TCP
  selector:
    run: my-nginx
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: my-nginx
spec:
  selector:
    matchLabels:
      run: my-nginx
  replicas: 1
  template:
    metadata:
      labels:
        run: my-nginx
        sidecar.istio.io/inject: "true"
    spec:
      containers:
      - name: my-nginx
        image: nginx
        ports:
        - containerPort: 443
        volumeMounts:
        - name: nginx-config
          mountPath: /etc/nginx
          readOnly: true
        - name: nginx-server-certs
          mountPath: /etc/nginx-server-certs
          readOnly: true
      volumes:
      - name: nginx-config
        configMap:
          name: nginx-configmap
      - name: nginx-server-certs
        secret:
          secretName: nginx-server-certs
"""
PASSTHROUGH = """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata:
  name: mygateway
spec:
  selector:
    istio: ingressgateway # use istio default ingress gateway
  servers:
  - port:
      number: 443
      name: https
      protocol: HTTPS
    tls:
      mode: PASSTHROUGH
    hosts:
    - nginx.example.com
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: nginx
spec:
  hosts:
  - nginx.example.com
  gateways:
  - mygateway
  tls:
  - match:
    - port: 443
      sniHosts:
      - nginx.example.com
    route:
    - destination:
        host: my-nginx
        port:
          number: 443
"""


@pytest.fixture(scope="module")
def apps(mesh: Lab) -> Lab:
    mesh.kubectl("label", "namespace", "default", "istio-injection=enabled")
    samples = mesh.environment["MESHLAB_SAMPLES"]
    mesh.kubectl("apply", "-f", f"{samples}/httpbin/httpbin.yaml", "-f", f"{samples}/helloworld/helloworld.yaml")
    for name in ("httpbin", "helloworld-v1"):
        mesh.kubectl("rollout", "status", f"deployment/{name}", "--timeout=60s")
    return mesh


@pytest.fixture(scope="module")
def first(apps: Lab) -> Authority:
    return Authority(apps.home / "first")


@pytest.fixture(scope="module")
def second(apps: Lab) -> Authority:
    return Authority(apps.home / "second")


REFUSED = (35, 55, 56)
"""curl's exit codes for a handshake that the server ends, whichever end notices first."""


def put_secret(lab: Lab, kind: str, name: str, *arguments: str, namespace: str = "istio-system") -> None:
    """``kubectl create secret`` as the pages have it, again if it is there."""
    made = lab.kubectl("create", "-n", namespace, "secret", kind, name, *arguments, "--dry-run=client", "-o", "yaml")
    lab.kubectl("apply", "-n", namespace, "-f", "-", stdin=made)


def put_certificate(lab: Lab, name: str, authority: Authority, host: str) -> None:
    certificate, key = authority.issue(host)
    put_secret(lab, "tls", name, f"--key={key}", f"--cert={certificate}")


def request(
    lab: Lab, authority: Authority, path: str, *arguments: str, name: str = "httpbin.example.com"
) -> tuple[int, str]:
    """The page's command: curl's exit code, and the body and status code."""
    host, port = node_port(lab, "istio-ingressgateway", "https")
    url = f"https://{name}:{port}{path}"
    resolve = f"{name}:{port}:{host}"
    code, out = curl(
        lab, "-w", "|%{http_code}", f"-HHost:{name}", "--resolve", resolve, "--cacert", str(authority.root), *arguments, url
    )  # fmt: skip
    return code, out


def test_one_host_and_a_new_certificate_under_load(apps: Lab, first: Authority, second: Authority) -> None:
    put_certificate(apps, "httpbin-credential", first, "httpbin.example.com")
    apps.kubectl("apply", "-f", "-", stdin=HTTPBIN_GATEWAY + "---" + HTTPBIN_ROUTES)
    eventually(lambda: request(apps, first, "/status/418") == (0, "I'm a teapot!|418"))
    assert request(apps, second, "/status/418")[0] == 60, "curl does not know the issuer"
    host, port = node_port(apps, "istio-ingressgateway", "https")
    with Load(host, port, "httpbin.example.com", "/status/200", tls=True) as load:
        load.more(50)
        put_certificate(apps, "httpbin-credential", second, "httpbin.example.com")
        eventually(lambda: request(apps, second, "/status/418")[0] == 0)
        load.more(50)
    assert set(load.counts) == {"200"}, load.counts
    assert len(load.issuers) == 2
    assert request(apps, first, "/status/418")[0] == 60


def test_several_hosts(apps: Lab, first: Authority) -> None:
    put_certificate(apps, "httpbin-credential", first, "httpbin.example.com")
    apps.kubectl("apply", "-f", "-", stdin=MULTI_HOST + "---" + HTTPBIN_ROUTES + "---" + HELLOWORLD_ROUTES)
    eventually(lambda: request(apps, first, "/status/418")[1].endswith("|418"))
    # Its secret is missing: its own connections fail, the other host's do not.
    assert request(apps, first, "/hello", name="helloworld.example.com")[0] in REFUSED
    put_certificate(apps, "helloworld-credential", first, "helloworld.example.com")
    eventually(lambda: request(apps, first, "/hello", name="helloworld.example.com")[1].endswith("|200"))
    assert "Hello version: v" in request(apps, first, "/hello", name="helloworld.example.com")[1]
    assert request(apps, first, "/status/418")[1].endswith("|418")
    apps.kubectl("delete", "secret", "helloworld-credential", "-n", "istio-system")
    apps.kubectl("delete", "virtualservice", "helloworld")


def test_mutual_tls(apps: Lab, first: Authority) -> None:
    certificate, key = first.issue("httpbin.example.com")
    apps.kubectl("delete", "-n", "istio-system", "secret", "httpbin-credential")
    put_secret(
        apps, "generic", "httpbin-credential", f"--from-file=tls.key={key}", f"--from-file=tls.crt={certificate}",
        f"--from-file=ca.crt={first.root}",
    )  # fmt: skip
    apps.kubectl("apply", "-f", "-", stdin=HTTPBIN_GATEWAY.replace("SIMPLE", "MUTUAL") + "---" + HTTPBIN_ROUTES)
    client, client_key = first.issue("client.example.com")
    proved = ("--cert", str(client), "--key", str(client_key))
    eventually(lambda: request(apps, first, "/status/418")[0] in REFUSED, what="curl without a certificate is refused")
    eventually(lambda: request(apps, first, "/status/418", *proved) == (0, "I'm a teapot!|418"))
    # The authority in a secret of its own.
    put_secret(apps, "tls", "split", f"--key={key}", f"--cert={certificate}")
    put_secret(apps, "generic", "split-cacert", f"--from-file=ca.crt={first.root}")
    separate = HTTPBIN_GATEWAY.replace("SIMPLE", "OPTIONAL_MUTUAL").replace("httpbin-credential", "split")
    apps.kubectl("apply", "-f", "-", stdin=separate)
    eventually(lambda: request(apps, first, "/status/418")[0] == 0, what="a certificate is optional")
    assert request(apps, first, "/status/418", *proved)[0] == 0
    stranger = Authority(apps.home / "stranger").issue("stranger")
    foreign = ("--cert", str(stranger[0]), "--key", str(stranger[1]))
    assert request(apps, first, "/status/418", *foreign)[0] in REFUSED, "but must be of the authority"
    apps.kubectl("delete", "gateways.networking.istio.io/mygateway", "virtualservice/httpbin")


def test_the_gateway_api(apps: Lab, first: Authority) -> None:
    apps.kubectl("delete", "-n", "istio-system", "secret", "httpbin-credential")
    apps.kubectl("apply", "-f", "-", stdin=GATEWAY_API)

    def resolved() -> str:
        query = '{.status.listeners[0].conditions[?(@.type=="ResolvedRefs")].reason}'
        return apps.kubectl("get", "gtw", "-n", "istio-system", "mygateway", "-o", f"jsonpath={query}")

    eventually(lambda: resolved() == "InvalidCertificateRef")
    put_certificate(apps, "httpbin-credential", first, "httpbin.example.com")
    eventually(lambda: resolved() == "ResolvedRefs")
    apps.kubectl("wait", "--for=condition=programmed", "gtw", "mygateway", "-n", "istio-system", "--timeout=60s")
    address = apps.kubectl(
        "get", "gtw", "mygateway", "-n", "istio-system", "-o", "jsonpath={.status.addresses[*].value}"
    )
    url = "https://httpbin.example.com:443/status/418"
    resolve = ("--resolve", f"httpbin.example.com:443:{address}", "--cacert", str(first.root))
    eventually(lambda: curl(apps, *resolve, url) == (0, "I'm a teapot!"))
    apps.kubectl("delete", "-n", "istio-system", "gtw/mygateway")
    apps.kubectl("delete", "httproute/httpbin")


def test_tls_that_is_passed_on(apps: Lab, first: Authority) -> None:
    certificate, key = first.issue("nginx.example.com")
    put_secret(apps, "tls", "nginx-server-certs", f"--key={key}", f"--cert={certificate}", namespace="default")
    configuration = apps.home / "nginx.conf"
    configuration.write_text(NGINX_CONFIGURATION)
    configuration.chmod(0o644)
    apps.kubectl("create", "configmap", "nginx-configmap", f"--from-file=nginx.conf={configuration}")
    apps.kubectl("apply", "-f", "-", stdin=NGINX)
    apps.kubectl("rollout", "status", "deployment/my-nginx", "--timeout=60s")
    apps.kubectl("apply", "-f", "-", stdin=PASSTHROUGH)
    eventually(lambda: request(apps, first, "/", name="nginx.example.com")[1].endswith("|200"))
    assert "<title>Welcome to nginx!</title>" in request(apps, first, "/", name="nginx.example.com")[1]
    assert request(apps, first, "/", name="other.example.com")[0] in REFUSED, "no route for that server name"
