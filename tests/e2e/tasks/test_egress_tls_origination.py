"""Upstream's tasks "Egress TLS Origination" (mutual, at the sidecar) and "Kubernetes Services for Egress Traffic"."""

from __future__ import annotations

import json
import time

import pytest

from tests.support import external_nginx
from tests.support.ingress import Authority
from tests.support.lab import Lab, eventually

pytestmark = pytest.mark.full

ORIGINATION = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata:
  name: originate-mtls-for-nginx
spec:
  hosts:
  - my-nginx.mesh-external.svc.cluster.local
  ports:
  - number: 80
    name: http-port
    protocol: HTTP
    targetPort: 443
  - number: 443
    name: https-port
    protocol: HTTPS
  resolution: DNS
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata:
  name: originate-mtls-for-nginx
spec:
  workloadSelector:
    matchLabels:
      app: curl
  host: my-nginx.mesh-external.svc.cluster.local
  trafficPolicy:
    loadBalancer:
      simple: ROUND_ROBIN
    portLevelSettings:
    - port:
        number: 80
      tls:
        mode: MUTUAL
        credentialName: client-credential # this must match the secret created earlier to hold client certs, and works only when DR has a workloadSelector
        sni: my-nginx.mesh-external.svc.cluster.local # this is optional
"""
EXTERNAL_NAME = """
kind: Service
apiVersion: v1
metadata:
  name: my-httpbin
spec:
  type: ExternalName
  externalName: httpbin.outside.svc.cluster.local
  ports:
  - name: http
    protocol: TCP
    port: 8000
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata:
  name: my-httpbin
spec:
  host: my-httpbin.default.svc.cluster.local
  trafficPolicy:
    tls:
      mode: DISABLE
"""
WITH_ENDPOINTS = """
kind: Service
apiVersion: v1
metadata:
  name: my-outside
spec:
  ports:
  - {{protocol: TCP, port: 8000, name: http}}
---
kind: Endpoints
apiVersion: v1
metadata:
  name: my-outside
subsets:
  - addresses:
      - ip: {address}
    ports:
      - port: 8080
        name: http
"""


@pytest.fixture(scope="module")
def client(mesh: Lab) -> Lab:
    samples = mesh.environment["MESHLAB_SAMPLES"]
    mesh.kubectl("label", "namespace", "default", "istio-injection=enabled")
    mesh.kubectl("apply", "-f", f"{samples}/curl/curl.yaml")
    mesh.kubectl("rollout", "status", "deployment/curl", "--timeout=40s")
    return mesh


def get(lab: Lab, url: str) -> str:
    command = ("kubectl", "exec", "deploy/curl", "-c", "curl", "--", "curl", "-sS", "-m", "10", url)
    done = lab.run(*command, check=False)
    return done.stdout + done.stderr


def test_a_sidecar_shows_the_certificate_that_its_account_may_read(client: Lab) -> None:
    client.kubectl("create", "namespace", "mesh-external")
    authority = Authority(client.home / "origination")
    certificate, key = authority.issue("my-nginx.mesh-external.svc.cluster.local")
    client.kubectl(
        "create", "-n", "mesh-external", "secret", "tls", "nginx-server-certs", f"--key={key}", f"--cert={certificate}"
    )
    client.kubectl(
        "create", "-n", "mesh-external", "secret", "generic", "nginx-ca-certs", f"--from-file={authority.root}"
    )
    configuration = client.home / "nginx.conf"
    configuration.write_text(external_nginx.CONFIGURATION)
    client.kubectl("create", "configmap", "nginx-configmap", "-n", "mesh-external", f"--from-file={configuration}")
    client.kubectl("apply", "-f", "-", stdin=external_nginx.HIDDEN)
    client.kubectl("rollout", "status", "-n", "mesh-external", "deployment/my-nginx", "--timeout=40s")
    certificate, key = authority.issue("client.example.com")
    client.kubectl(
        "create", "secret", "generic", "client-credential",
        f"--from-file=tls.key={key}", f"--from-file=tls.crt={certificate}", f"--from-file=ca.crt={authority.root}",
    )  # fmt: skip
    client.kubectl("apply", "-f", "-", stdin=ORIGINATION)
    url = "http://my-nginx.mesh-external.svc.cluster.local"
    eventually(lambda: "Welcome to nginx!" not in get(client, url))
    client.kubectl("create", "role", "client-credential-role", "--resource=secret", "--verb=list")
    account = "--serviceaccount=default:curl"
    client.kubectl("create", "rolebinding", "client-credential-binding", "--role=client-credential-role", account)

    def served() -> bool:
        # Any change makes istiod look again, once its denial is a second old; upstream's page creates the role first.
        client.kubectl("annotate", "--overwrite", "destinationrule", "originate-mtls-for-nginx", f"seen={time.time()}")
        return "Welcome to nginx!" in get(client, url)

    eventually(served)


def test_services_that_stand_for_something_outside(client: Lab) -> None:
    samples = client.environment["MESHLAB_SAMPLES"]
    client.kubectl("create", "namespace", "outside")
    client.kubectl("apply", "-n", "outside", "-f", f"{samples}/httpbin/httpbin.yaml")
    client.kubectl("rollout", "status", "-n", "outside", "deployment/httpbin", "--timeout=40s")
    client.kubectl("apply", "-f", "-", stdin=EXTERNAL_NAME)
    listed = client.kubectl("get", "svc", "my-httpbin", "--no-headers").split()
    assert listed[1:5] == ["ExternalName", "<none>", "httpbin.outside.svc.cluster.local", "8000/TCP"]
    eventually(lambda: '"Host"' in get(client, "http://my-httpbin.default.svc.cluster.local:8000/headers"))
    pods = json.loads(client.kubectl("get", "pods", "-n", "outside", "-o", "json"))
    address = pods["items"][0]["status"]["podIP"]
    client.kubectl("apply", "-f", "-", stdin=WITH_ENDPOINTS.format(address=address))
    eventually(lambda: '"Host"' in get(client, "http://my-outside:8000/headers"))
