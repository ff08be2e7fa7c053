"""Upstream's page "Installing the Sidecar", customizing injection; and websockets through gateway and sidecar."""

from __future__ import annotations

import base64
import json
import os
import socket

import pytest

from tests.support.ingress import node_port
from tests.support.lab import Lab, eventually

pytestmark = pytest.mark.full

TEMPLATES = """
apiVersion: install.istio.io/v1alpha1
kind: IstioOperator
metadata:
  name: istio
spec:
  profile: demo
  values:
    sidecarInjectorWebhook:
      templates:
        custom: |
          spec:
            containers:
            - name: istio-proxy
              env:
              - name: GREETING
                value: hello-world
"""
POD = """
apiVersion: v1
kind: Pod
metadata:
  name: {name}
  labels: {{sidecar.istio.io/inject: "true"}}
  annotations: {annotations}
spec:
  containers:
  - name: hello
    image: busybox
    command: [sleep, infinity]
{more}
"""
OWN_PROXY = """
  - name: istio-proxy
    image: auto
    resources:
      requests:
        cpu: "100m"
    env: [{name: EXTRA, value: "1"}]
"""


@pytest.fixture(scope="module")
def custom(lab: Lab) -> Lab:
    file = lab.home / "custom.yaml"
    file.write_text(TEMPLATES)
    lab.run("istioctl", "install", "-f", str(file), "-y")
    return lab


def proxy(lab: Lab, name: str, *, annotations: dict[str, str] | None = None, more: str = "") -> dict[str, object]:
    """The proxy's container of a pod that is ready."""
    lab.kubectl("apply", "-f", "-", stdin=POD.format(name=name, annotations=json.dumps(annotations or {}), more=more))
    lab.kubectl("wait", "--for=condition=Ready", f"pod/{name}", "--timeout=40s")
    spec = json.loads(lab.kubectl("get", "pod", name, "-o", "json"))["spec"]
    (found,) = [c for c in (*spec.get("initContainers", ()), *spec["containers"]) if c["name"] == "istio-proxy"]
    assert isinstance(found, dict)
    return found


def test_a_template_of_ones_own(custom: Lab) -> None:
    found = proxy(custom, "hello", annotations={"inject.istio.io/templates": "sidecar,custom"})
    assert {"name": "GREETING", "value": "hello-world"} in found["env"]  # type: ignore[operator]
    greeting = custom.kubectl("exec", "hello", "-c", "istio-proxy", "--", "sh", "-c", "echo $GREETING")
    assert greeting.strip() == "hello-world"


def test_a_pod_that_states_its_proxy_in_part(custom: Lab) -> None:
    found = proxy(custom, "own", more=OWN_PROXY)
    assert found["resources"]["requests"]["cpu"] == "100m"  # type: ignore[index]
    assert str(found["image"]).endswith("proxyv2:1.31.0")
    assert custom.kubectl("exec", "own", "-c", "istio-proxy", "--", "printenv", "EXTRA").strip() == "1"


def test_an_unknown_template_keeps_the_pod_out(custom: Lab) -> None:
    manifest = POD.format(name="none", annotations='{"inject.istio.io/templates": "nothing"}', more="")
    refused = custom.run("kubectl", "apply", "-f", "-", stdin=manifest, check=False)
    assert refused.returncode != 0
    assert "nothing" in refused.stderr


def test_websockets(custom: Lab) -> None:
    samples = custom.environment["MESHLAB_SAMPLES"]
    custom.kubectl("label", "namespace", "default", "istio-injection=enabled")
    for name in ("app", "route"):
        custom.kubectl("apply", "-f", f"{samples}/websockets/{name}.yaml")
    custom.kubectl("rollout", "status", "deployment/tornado", "--timeout=40s")
    host, port = node_port(custom, "istio-ingressgateway", "http2")

    def told() -> bool:
        with socket.create_connection((host, port), timeout=5) as connection:
            key = base64.b64encode(os.urandom(16)).decode()
            head = f"GET /ws HTTP/1.1\r\nHost: tornado\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: {key}\r\n"
            connection.sendall(f"{head}Sec-WebSocket-Version: 13\r\n\r\n".encode())
            if b" 101 " not in connection.recv(4096).split(b"\r\n", 1)[0]:
                return False
            custom.run("curl", "-s", f"http://{host}:{port}/api?id=1&value=7")
            return b'"value": "7"' in connection.recv(4096)

    eventually(told)
