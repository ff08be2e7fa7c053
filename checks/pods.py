"""What a pod or a Deployment says of itself: is it ready, does it carry a sidecar, and if not, why."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from meshlab.grading import CheckContext

PROXY_CONTAINER = "istio-proxy"
STATUS_ANNOTATION = "sidecar.istio.io/status"

Obj = Mapping[str, Any]


def labels(obj: Obj) -> dict[str, str]:
    """An object's labels; empty if it has none."""
    return obj["metadata"].get("labels") or {}


def is_leaving(obj: Obj) -> bool:
    """Whether the object is being deleted."""
    return bool(obj["metadata"].get("deletionTimestamp"))


def is_ready(pod: Obj) -> bool:
    """Whether the pod's condition Ready is true."""
    conditions = (pod.get("status") or {}).get("conditions") or []
    return any(entry["type"] == "Ready" and entry["status"] == "True" for entry in conditions)


def waiting_reason(pod: Obj) -> str:
    """Why a pod is not ready, as its containers say it."""
    status = pod.get("status") or {}
    for container in (status.get("initContainerStatuses") or []) + (status.get("containerStatuses") or []):
        waiting = (container.get("state") or {}).get("waiting")
        if waiting:
            return f"container {container['name']}: {waiting.get('reason')} {waiting.get('message', '')}".strip()
    return "it is still starting"


def has_proxy(spec: Obj) -> bool:
    """Whether a pod's spec has a sidecar, in either form: an ordinary container, or a native sidecar."""
    ordinary = any(container["name"] == PROXY_CONTAINER for container in spec["containers"])
    native = any(
        container["name"] == PROXY_CONTAINER and container.get("restartPolicy") == "Always"
        for container in spec.get("initContainers") or []
    )
    return ordinary or native


def is_injected(metadata: Obj, spec: Obj) -> bool:
    """Whether Istio's injector made the sidecar: the container is there, and its status annotation can be read."""
    text = (metadata.get("annotations") or {}).get(STATUS_ANNOTATION, "")
    try:
        status = json.loads(text)
    except ValueError:
        return False
    return isinstance(status, dict) and has_proxy(spec)


def workload(pod: Obj) -> str:
    """The name of the Deployment that owns a pod; of the pod itself if none does."""
    name: str = pod["metadata"]["name"]
    for owner in pod["metadata"].get("ownerReferences") or []:
        if owner["kind"] == "ReplicaSet":
            return str(owner["name"]).rpartition("-")[0]
        return str(owner["name"])
    return name


def availability(deployment: Obj) -> dict[str, int]:
    """Wanted and available replicas, the latter of the present template only once it has been looked at."""
    status = deployment.get("status") or {}
    seen = status.get("observedGeneration", 0) >= deployment["metadata"].get("generation", 0)
    return {
        "wanted": int(deployment["spec"].get("replicas", 1)),
        "available": int(status.get("availableReplicas", 0)) if seen else 0,
    }


def why_unavailable(context: CheckContext, deployment: Obj) -> str:
    """What the first pod that is not ready waits for; what the Deployment complains of if it has no pod."""
    namespace = deployment["metadata"]["namespace"]
    selector = ",".join(f"{key}={value}" for key, value in deployment["spec"]["selector"]["matchLabels"].items())
    for pod in context.cluster.list_objects("pods", namespace, label_selector=selector):
        if not is_ready(pod) and not is_leaving(pod):
            return f"pod {pod['metadata']['name']}: {waiting_reason(pod)}"
    return next(_complaints(deployment), "its pods are not there yet")


def _complaints(deployment: Obj) -> Iterator[str]:
    for condition in (deployment.get("status") or {}).get("conditions") or []:
        if condition["type"] == "ReplicaFailure" and condition.get("message"):
            yield condition["message"]
