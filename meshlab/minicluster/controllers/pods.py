"""Pods as the controllers judge them: ready, available, active, and which to delete first."""

from __future__ import annotations

import math
from collections.abc import Iterable

from meshlab.minicluster.controllers.ownership import is_being_deleted
from meshlab.minicluster.controllers.timestamps import parse_time
from meshlab.minicluster.kubeapi import Obj

DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
_PHASE_RANK = {"Pending": 0, "Unknown": 1, "Running": 2}


def condition(obj: Obj, type_: str) -> Obj | None:
    """The status condition of that type."""
    for candidate in (obj.get("status") or {}).get("conditions") or ():
        if candidate["type"] == type_:
            result: Obj = candidate
            return result
    return None


def phase(pod: Obj) -> str:
    """``status.phase``; empty before the pod has one."""
    return (pod.get("status") or {}).get("phase") or ""


def is_ready(pod: Obj) -> bool:
    """Whether the pod's Ready condition is True."""
    ready = condition(pod, "Ready")
    return ready is not None and ready["status"] == "True"


def is_finished(pod: Obj) -> bool:
    """Whether the pod has succeeded or failed for good."""
    return phase(pod) in ("Succeeded", "Failed")


def is_active(pod: Obj) -> bool:
    """Whether the pod counts as a replica: neither finished nor being deleted."""
    return not is_finished(pod) and not is_being_deleted(pod)


def ready_since(pod: Obj) -> float:
    """When the pod became ready; 0 if it is not."""
    ready = condition(pod, "Ready")
    return parse_time(ready.get("lastTransitionTime")) if ready is not None and ready["status"] == "True" else 0.0


def is_available(pod: Obj, min_ready_s: int, now: float) -> bool:
    """Whether the pod has been ready for at least ``min_ready_s``."""
    if not is_ready(pod):
        return False
    return min_ready_s == 0 or ready_since(pod) + min_ready_s <= now


def pod_from_template(template: Obj, owner_reference: Obj, *, generate_name: str = "", name: str = "") -> Obj:
    """The pod that a controller creates from a PodTemplateSpec."""
    metadata = template.get("metadata") or {}
    pod_metadata: Obj = {"name": name} if name else {"generateName": generate_name}
    for field in ("labels", "annotations", "finalizers"):
        if metadata.get(field):
            pod_metadata[field] = metadata[field]
    pod_metadata["ownerReferences"] = [owner_reference]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": pod_metadata, "spec": template.get("spec") or {}}


def _age_rank(since: float, now: float) -> int:
    """The age on a logarithmic scale, so that pods of about the same age are chosen among at random.

    That is upstream's LogarithmicScaleDown (KEP-2185).
    """
    age_ns = int((now - since) * 1e9)
    return int(math.log2(age_ns)) if age_ns > 0 else -1


def deletion_rank(pod: Obj, now: float) -> tuple[float | int | str | bool, ...]:
    """A sort key: the pod with the smallest one is deleted first when a ReplicaSet shrinks.

    The order is upstream's ``ActivePodsWithRanks`` without its fifth step (pods doubled on one node), which decides
    nothing where there is one node.
    """
    metadata, status = pod["metadata"], pod.get("status") or {}
    restarts = max((c.get("restartCount", 0) for c in status.get("containerStatuses") or ()), default=0)
    ready = is_ready(pod)
    return (
        bool((pod.get("spec") or {}).get("nodeName")),
        _PHASE_RANK.get(status.get("phase", ""), 0),
        ready,
        _deletion_cost(metadata.get("annotations")),
        _age_rank(ready_since(pod), now) if ready else 0,
        -restarts,
        _age_rank(parse_time(metadata.get("creationTimestamp")), now),
        metadata.get("uid", ""),
    )


def _deletion_cost(annotations: dict[str, str] | None) -> int:
    try:
        return int((annotations or {}).get(DELETION_COST, "0"))
    except ValueError:
        return 0


def first_to_delete(pods: Iterable[Obj], count: int, now: float) -> list[Obj]:
    """The pods that a ReplicaSet gives up when it shrinks by ``count``."""
    return sorted(pods, key=lambda pod: deletion_rank(pod, now))[:count]
