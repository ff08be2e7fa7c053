"""What the security tasks of Istio's documentation have in common: httpbin and curl in some namespaces."""

from __future__ import annotations

import subprocess

from tests.support.lab import Lab, eventually
from tests.support.tokens import Issuer

KEYS = """
apiVersion: v1
kind: ConfigMap
metadata: {{name: keys}}
data:
  jwks.json: '{jwks}'
---
apiVersion: v1
kind: Service
metadata: {{name: keys}}
spec:
  selector: {{app: keys}}
  ports: [{{name: http, port: 8000, targetPort: 80}}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: keys}}
spec:
  selector: {{matchLabels: {{app: keys}}}}
  template:
    metadata: {{labels: {{app: keys}}}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: nginx
        image: nginx
        volumeMounts: [{{name: keys, mountPath: /usr/share/nginx/html}}]
      volumes: [{{name: keys, configMap: {{name: keys}}}}]
"""
KEYS_URL = "http://keys.default.svc.cluster.local:8000/jwks.json"


def deploy(lab: Lab, namespace: str, *, injected: bool = True) -> None:
    """httpbin and curl in a namespace of their own."""
    lab.kubectl("create", "namespace", namespace)
    if injected:
        lab.kubectl("label", "namespace", namespace, "istio-injection=enabled")
    for sample in ("httpbin", "curl"):
        path = f"{lab.environment['MESHLAB_SAMPLES']}/{sample}/{sample}.yaml"
        lab.kubectl("apply", "-n", namespace, "-f", path)
    for sample in ("httpbin", "curl"):
        lab.kubectl("rollout", "status", "-n", namespace, f"deployment/{sample}", "--timeout=40s")


def serve_keys(lab: Lab, issuer: Issuer) -> None:
    """The issuer's key set, at `KEYS_URL`."""
    lab.kubectl("apply", "-f", "-", stdin=KEYS.format(jwks=issuer.jwks))
    lab.kubectl("rollout", "status", "deployment/keys", "--timeout=40s")


def curl(lab: Lab, namespace: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """curl in the pod of a namespace."""
    command = ("kubectl", "exec", "-n", namespace, "deploy/curl", "-c", "curl", "--", "curl", "-s", "-m", "10")
    return lab.run(*command, *arguments, check=False)


def status(lab: Lab, namespace: str, url: str, *arguments: str) -> str:
    """The status of a request from a namespace; 000 if there was none."""
    return curl(lab, namespace, "-o", "/dev/null", "-w", "%{http_code}", url, *arguments).stdout


def becomes(lab: Lab, wanted: str, namespace: str, url: str, *arguments: str) -> None:
    """Wait until a request from a namespace has that status."""
    eventually(
        lambda: status(lab, namespace, url, *arguments) == wanted, what=f"{namespace} -> {url}: {wanted}", within_s=15
    )


def apply(lab: Lab, manifest: str, namespace: str = "") -> None:
    """``kubectl apply -f -``, in the namespaces that the manifest names unless one is given."""
    lab.kubectl("apply", *(("-n", namespace) if namespace else ()), "-f", "-", stdin=manifest)
