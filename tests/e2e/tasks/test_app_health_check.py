"""Upstream's page "Health Checking of Istio Services": probes under STRICT, rewritten and not."""

from __future__ import annotations

import json

import pytest

from tests.support.lab import Lab, eventually

pytestmark = pytest.mark.full

STRICT = """
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata:
  name: "default"
  namespace: "istio-io-health"
spec:
  mtls:
    mode: STRICT
"""
NOT_REWRITTEN = """
apiVersion: apps/v1
kind: Deployment
metadata:
  name: not-rewritten
spec:
  selector:
    matchLabels:
      app: not-rewritten
      version: v1
  template:
    metadata:
      labels:
        app: not-rewritten
        version: v1
      annotations:
        sidecar.istio.io/rewriteAppHTTPProbers: "false"
    spec:
      containers:
      - name: liveness-http
        image: docker.io/istio/health:example
        ports:
        - containerPort: 8001
        readinessProbe:
          httpGet:
            path: /foo
            port: 8001
          periodSeconds: 1
"""
TCP = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: tcp}
spec:
  selector: {matchLabels: {app: tcp}}
  template:
    metadata: {labels: {app: tcp}}
    spec:
      containers:
      - name: web
        image: docker.io/istio/health:example
        readinessProbe: {tcpSocket: {port: 8002}, periodSeconds: 1}
        startupProbe: {httpGet: {path: /bar, port: 8002}, periodSeconds: 1}
"""
NAMESPACE = "istio-io-health"


@pytest.fixture(scope="module")
def strict(mesh: Lab) -> Lab:
    mesh.kubectl("create", "ns", NAMESPACE)
    mesh.kubectl("apply", "-f", "-", stdin=STRICT)
    return mesh


def injected(lab: Lab, file: str) -> None:
    path = f"{lab.environment['MESHLAB_SAMPLES']}/health-check/{file}.yaml"
    lab.kubectl("-n", NAMESPACE, "apply", "-f", "-", stdin=lab.run("istioctl", "kube-inject", "-f", path).stdout)


def pod(lab: Lab, app: str) -> str:
    """READY, STATUS and RESTARTS as kubectl prints them."""
    line = lab.kubectl("-n", NAMESPACE, "get", "pod", "-l", f"app={app}", "--no-headers")
    return " ".join(line.split()[1:4])


def test_commands_and_http_probes_pass_under_strict(strict: Lab) -> None:
    injected(strict, "liveness-command")
    injected(strict, "liveness-http-same-port")
    for app in ("liveness", "liveness-http"):
        strict.kubectl("-n", NAMESPACE, "rollout", "status", f"deployment/{app}", "--timeout=40s")
        assert pod(strict, app) == "2/2 Running 0"
    found = json.loads(strict.kubectl("-n", NAMESPACE, "get", "pod", "-l", "app=liveness-http", "-o", "json"))
    probe = found["items"][0]["spec"]["containers"][0]["livenessProbe"]["httpGet"]
    assert (probe["path"], probe["port"]) == ("/app-health/liveness-http/livez", 15020)
    # The agent tells the program's status to whoever asks, as upstream's does.
    name = found["items"][0]["metadata"]["name"]
    asked = (
        "curl",
        "-s",
        "-o",
        "/dev/null",
        "-w",
        "%{http_code}",
        "http://localhost:15020/app-health/liveness-http/livez",
    )
    answer = strict.kubectl("-n", NAMESPACE, "exec", name, "-c", "istio-proxy", "--", *asked)
    assert answer == "200"


def test_tcp_and_startup_probes_pass_too(strict: Lab) -> None:
    strict.kubectl("label", "namespace", NAMESPACE, "istio-injection=enabled", "--overwrite")
    strict.kubectl("-n", NAMESPACE, "apply", "-f", "-", stdin=TCP)
    strict.kubectl("-n", NAMESPACE, "rollout", "status", "deployment/tcp", "--timeout=40s")


def test_a_probe_that_is_not_rewritten_meets_the_proxy(strict: Lab) -> None:
    strict.kubectl("label", "namespace", NAMESPACE, "istio-injection=enabled", "--overwrite")
    strict.kubectl("-n", NAMESPACE, "apply", "-f", "-", stdin=NOT_REWRITTEN)
    selector = ("-l", "app=not-rewritten")
    events = ("-n", NAMESPACE, "get", "events", "--field-selector", "reason=Unhealthy")
    eventually(lambda: "Readiness probe failed" in strict.kubectl(*events), within_s=25)
    assert strict.kubectl("-n", NAMESPACE, "get", "pod", *selector, "--no-headers").split()[1] == "1/2"
    strict.kubectl("-n", NAMESPACE, "delete", "peerauthentication", "default")
    strict.kubectl("-n", NAMESPACE, "rollout", "status", "deployment/not-rewritten", "--timeout=40s")
