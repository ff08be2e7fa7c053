"""Probes of an injected pod: the kubelet asks the agent, and the agent asks the program past the proxy.

Under mutual TLS the kubelet has no certificate to show. So injection points every HTTP, TCP and gRPC probe of the
application at the agent's status port, and tells the agent in an environment variable what was asked for (upstream's
``pkg/kube/inject/app_probe.go``). Commands need no proxy and stay as they are.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Mapping

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.istio.inject_decision import PROXY_CONTAINER

VARIABLE = "ISTIO_KUBE_APP_PROBERS"
ANNOTATION = "sidecar.istio.io/rewriteAppHTTPProbers"
PATHS = {"readinessProbe": "readyz", "livenessProbe": "livez", "startupProbe": "startupz"}
HANDLERS = ("httpGet", "tcpSocket", "grpc")
_TRUE = ("1", "t", "T", "TRUE", "true", "True")
_FALSE = ("0", "f", "F", "FALSE", "false", "False")


def wants_rewriting(annotations: Mapping[str, str], default: bool) -> bool:
    """Whether a pod's probes are rewritten: its annotation (a Go bool), else the installation's value."""
    value = annotations.get(ANNOTATION)
    return True if value in _TRUE else False if value in _FALSE else default


def rewrite_probes(spec: Obj, status_port: int) -> None:
    """Rewrite the probes of a pod's applications in place, and tell the proxy's container."""
    asked: Obj = {}
    for container in _applications(spec):
        named = {port["name"]: port["containerPort"] for port in container.get("ports") or [] if port.get("name")}
        for member, page in PATHS.items():
            probe: Obj = container.get(member) or {}
            prober = _prober(probe, named)
            if prober is None:
                continue
            path = f"/app-health/{container['name']}/{page}"
            asked[path] = prober
            container[member] = _rewritten(probe, path, status_port)
    if asked:
        for container in _proxies(spec):
            variable = {"name": VARIABLE, "value": json.dumps(asked, separators=(",", ":"))}
            container["env"] = [*(container.get("env") or []), variable]


def _applications(spec: Obj) -> Iterable[Obj]:
    long_running = [c for c in spec.get("initContainers") or [] if c.get("restartPolicy") == "Always"]
    return [c for c in (*long_running, *(spec.get("containers") or [])) if c["name"] != PROXY_CONTAINER]


def _proxies(spec: Obj) -> Iterable[Obj]:
    every = (*(spec.get("initContainers") or []), *(spec.get("containers") or []))
    return [container for container in every if container["name"] == PROXY_CONTAINER]


def _prober(probe: Obj, named: Mapping[str, int]) -> Obj | None:
    """What the agent is to do: the probe's handler with the port as a number; None for what stays as it is."""
    for kind in HANDLERS:
        handler = probe.get(kind)
        if not isinstance(handler, dict):
            continue
        port = handler.get("port")
        number = named.get(port) if isinstance(port, str) and not port.isdigit() else port
        if number is None:
            return None
        prober: Obj = {kind: {**copy.deepcopy(handler), "port": int(number)}}
        if probe.get("timeoutSeconds"):
            prober["timeoutSeconds"] = probe["timeoutSeconds"]
        return prober
    return None


def _rewritten(probe: Obj, path: str, status_port: int) -> Obj:
    kept = {key: value for key, value in probe.items() if key not in HANDLERS}
    handler = {key: value for key, value in (probe.get("httpGet") or {}).items() if key != "scheme"}
    return {**kept, "httpGet": {**handler, "path": path, "port": status_port, "scheme": "HTTP"}}
