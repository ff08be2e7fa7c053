"""When a Deployment is what it should be: exactly its pods, ready, of the present template, and no old ones."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from meshlab.cluster.facade import Cluster, Obj
from meshlab.errors import LabError

READY_TIMEOUT_S = 90.0
POLL_S = 0.1


def wait_rolled_out(cluster: Cluster, deployments: Iterable[Obj], on_progress: Callable[[str], None]) -> None:
    """Wait until every Deployment is rolled out.

    Raises:
        LabError: one is not within `READY_TIMEOUT_S`; the message says what its pods wait for.
    """
    deadline = time.monotonic() + READY_TIMEOUT_S
    for deployment in deployments:
        name, namespace = deployment["metadata"]["name"], deployment["metadata"]["namespace"]
        on_progress(f"waiting for {namespace}/{name}")
        while not is_rolled_out(cluster, cluster.get("deployments.apps", name, namespace)):
            if time.monotonic() > deadline:
                why = _why_not(cluster, cluster.get("deployments.apps", name, namespace))
                raise LabError(
                    f"Deployment {namespace}/{name} does not become ready: {why}",
                    hint=f"kubectl describe deployment -n {namespace} {name}",
                )
            time.sleep(POLL_S)


def is_rolled_out(cluster: Cluster, deployment: Obj) -> bool:
    """Whether a Deployment has exactly its pods, ready and of the present template."""
    status, wanted = deployment.get("status") or {}, deployment["spec"].get("replicas", 1)
    if status.get("observedGeneration", 0) < deployment["metadata"]["generation"]:
        return False
    counts = [status.get(key, 0) for key in ("updatedReplicas", "readyReplicas", "replicas")]
    # Pods that are on their way out still answer requests; a start is clean only without them.
    return counts == [wanted] * 3 and len(_pods(cluster, deployment)) == int(wanted)


def _why_not(cluster: Cluster, deployment: Obj) -> str:
    for condition in (deployment.get("status") or {}).get("conditions") or []:
        if condition["type"] == "ReplicaFailure" and condition.get("message"):
            return str(condition["message"])
    for pod in _pods(cluster, deployment):
        status = pod.get("status") or {}
        for container in (status.get("initContainerStatuses") or []) + (status.get("containerStatuses") or []):
            waiting = (container.get("state") or {}).get("waiting")
            if waiting:
                return f"{container['name']}: {waiting.get('reason')}: {waiting.get('message', '')}"
    return "its pods are not there yet"


def _pods(cluster: Cluster, deployment: Obj) -> list[Obj]:
    selector = ",".join(f"{key}={value}" for key, value in deployment["spec"]["selector"]["matchLabels"].items())
    return cluster.list_objects("pods", deployment["metadata"]["namespace"], label_selector=selector)
