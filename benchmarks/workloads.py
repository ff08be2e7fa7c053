"""The workloads that are measured: echo servers, the Services and routes before them, and waiting for both."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from benchmarks.throwaway import Lab
from meshlab.cluster.facade import Cluster

PROXY_PORT = 15001
WEIGHTS = "virtualservices.networking.istio.io"

CANARY = """
apiVersion: v1
kind: Service
metadata: {name: myapp}
spec: {selector: {app: myapp}, ports: [{name: http, port: 8080, targetPort: 5678}]}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: myapp}
spec:
  host: myapp
  subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: myapp}
spec:
  hosts: [myapp]
  http:
  - route:
    - {destination: {host: myapp, subset: v1}, weight: 80}
    - {destination: {host: myapp, subset: v2}, weight: 20}
"""

ECHO = """
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: NAME}
spec:
  replicas: REPLICAS
  selector: {matchLabels: {app: APP, version: VERSION}}
  template:
    metadata: {labels: {app: APP, version: VERSION, sidecar.istio.io/inject: "INJECT"}}
    spec:
      terminationGracePeriodSeconds: 1
      containers: [{name: app, image: hashicorp/http-echo, args: ["-text=VERSION", "-listen=:5678"]}]
"""

SERVICE = """
---
apiVersion: v1
kind: Service
metadata: {name: NAME}
spec: {selector: {app: APP}, ports: [{name: http, port: 8080, targetPort: 5678}]}
"""


def echo(name: str, *, app: str, version: str, inject: bool, replicas: int = 1) -> str:
    """The manifest of a Deployment that answers its version."""
    text = ECHO.replace("NAME", name).replace("APP", app).replace("VERSION", version)
    return text.replace("INJECT", str(inject).lower()).replace("REPLICAS", str(replicas))


def service(name: str, *, app: str) -> str:
    """The manifest of a Service before an echo server."""
    return SERVICE.replace("NAME", name).replace("APP", app)


def canary(lab: Lab) -> None:
    """Two versions behind one Service with weights, an injected client, and a program without a sidecar."""
    lab.apply(
        CANARY
        + echo("myapp-v1", app="myapp", version="v1", inject=True)
        + echo("myapp-v2", app="myapp", version="v2", inject=True)
        + echo("client", app="client", version="v1", inject=True)
        + echo("plain", app="plain", version="v1", inject=False)
    )
    ready(lab, "myapp-v1", "myapp-v2", "client", "plain")


def ready(lab: Lab, *deployments: str) -> None:
    """Wait until Deployments are rolled out."""
    for name in deployments:
        lab.kubectl("rollout", "status", f"deployment/{name}", "--timeout=60s")


def through_sidecars(lab: Lab) -> tuple[tuple[str, int], str, str]:
    """Address, target and host of a request as a program in the client's pod sends it: to its sidecar's HTTP proxy."""
    host = "myapp.default.svc.cluster.local:8080"
    return (pod_ip(lab.cluster(), "client"), lab.ports.real(PROXY_PORT)), f"http://{host}/", host


def set_weights(cluster: Cluster, v1: int, v2: int) -> None:
    """Patch the canary's weights."""
    route: list[dict[str, Any]] = [
        {"destination": {"host": "myapp", "subset": "v1"}, "weight": v1},
        {"destination": {"host": "myapp", "subset": "v2"}, "weight": v2},
    ]
    cluster.patch(WEIGHTS, "myapp", {"spec": {"http": [{"route": route}]}}, "default")


def pod_ip(cluster: Cluster, app: str) -> str:
    """The address of an app's only pod."""
    (pod,) = cluster.list_objects("pods", "default", label_selector=f"app={app}")
    return str(pod["status"]["podIP"])


def wait_for(true: Callable[[], bool], within_s: float = 60) -> None:
    """Wait for a condition.

    Raises:
        SystemExit: it did not come true.
    """
    deadline = time.monotonic() + within_s
    while not true():
        if time.monotonic() > deadline:
            raise SystemExit("the lab did not become ready in time")
        time.sleep(0.02)
