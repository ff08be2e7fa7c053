"""The status of a Deployment: counts, and the conditions Available, Progressing and ReplicaFailure. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence

from meshlab.minicluster.controllers.cache import get_path
from meshlab.minicluster.controllers.deployment.arithmetic import (
    max_unavailable,
    replicas_of,
    spec_total,
    status_count,
)
from meshlab.minicluster.controllers.pods import condition
from meshlab.minicluster.controllers.timestamps import format_time, parse_time
from meshlab.minicluster.kubeapi import Obj

NO_DEADLINE = 2**31 - 1
"""Upstream's way to say that a rollout may take for ever."""


def make_condition(type_: str, status: str, reason: str, message: str, now: float) -> Obj:
    """A DeploymentCondition."""
    stamp = format_time(now)
    return {
        "type": type_,
        "status": status,
        "lastUpdateTime": stamp,
        "lastTransitionTime": stamp,
        "reason": reason,
        "message": message,
    }


def set_condition(status: Obj, new: Obj) -> None:
    """Put a condition into a status under construction; the same status and reason leave the old one as it is."""
    conditions = status.get("conditions") or []
    current = next((c for c in conditions if c["type"] == new["type"]), None)
    if current is not None and current["status"] == new["status"]:
        if current["reason"] == new["reason"]:
            return
        new = {**new, "lastTransitionTime": current["lastTransitionTime"]}
    status["conditions"] = [c for c in conditions if c["type"] != new["type"]] + [new]


def drop_condition(status: Obj, type_: str) -> None:
    """Remove a condition from a status under construction."""
    kept = [c for c in status.get("conditions") or () if c["type"] != type_]
    if kept:
        status["conditions"] = kept
    else:
        status.pop("conditions", None)


def has_deadline(deployment: Obj) -> bool:
    """Whether the rollout must make progress within ``progressDeadlineSeconds``."""
    deadline = get_path(deployment, "spec", "progressDeadlineSeconds")
    return deadline is not None and deadline != NO_DEADLINE


def counted_status(deployment: Obj, sets: Sequence[Obj], new_set: Obj | None, now: float) -> Obj:
    """The counts and the Available condition; the other conditions as they were (``calculateStatus``)."""
    old = deployment.get("status") or {}
    available = sum(status_count(each, "availableReplicas") for each in sets)
    counts = {
        "replicas": sum(status_count(each, "replicas") for each in sets),
        "updatedReplicas": status_count(new_set, "replicas"),
        "readyReplicas": sum(status_count(each, "readyReplicas") for each in sets),
        "availableReplicas": available,
        "unavailableReplicas": max(0, spec_total(sets) - available),
    }
    status: Obj = {"observedGeneration": deployment["metadata"].get("generation", 0)}
    status |= {key: count for key, count in counts.items() if count}
    terminating = [get_path(each, "status", "terminatingReplicas") for each in sets]
    if None not in terminating:
        status["terminatingReplicas"] = sum(terminating)
    if old.get("collisionCount"):
        status["collisionCount"] = old["collisionCount"]
    if old.get("conditions"):
        status["conditions"] = list(old["conditions"])
    if available >= replicas_of(deployment) - max_unavailable(deployment):
        fact = ("True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
    else:
        fact = ("False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability.")
    set_condition(status, make_condition("Available", *fact, now))
    return status


def is_complete(deployment: Obj, status: Obj) -> bool:
    """Whether the rollout is done: every replica is a new one, available, and none is left of the old."""
    wanted = replicas_of(deployment)
    return bool(
        status.get("updatedReplicas", 0) == wanted
        and status.get("replicas", 0) == wanted
        and status.get("availableReplicas", 0) == wanted
        and status.get("observedGeneration", 0) >= deployment["metadata"].get("generation", 0)
    )


def has_progressed(deployment: Obj, status: Obj) -> bool:
    """Whether this status is better than the one before."""
    old = deployment.get("status") or {}

    def count(of: Obj, field: str) -> int:
        return int(of.get(field) or 0)

    return (
        count(status, "updatedReplicas") > count(old, "updatedReplicas")
        or count(status, "replicas") - count(status, "updatedReplicas")
        < count(old, "replicas") - count(old, "updatedReplicas")
        or count(status, "readyReplicas") > count(old, "readyReplicas")
        or count(status, "availableReplicas") > count(old, "availableReplicas")
    )


def has_timed_out(deployment: Obj, status: Obj, now: float) -> bool:
    """Whether the last progress is longer ago than the deadline allows."""
    progressing = condition({"status": status}, "Progressing")
    if not has_deadline(deployment) or progressing is None or progressing["reason"] == "NewReplicaSetAvailable":
        return False
    if progressing["reason"] == "ProgressDeadlineExceeded":
        return True
    return seconds_left(deployment, progressing, now) <= 0


def seconds_left(deployment: Obj, progressing: Obj, now: float) -> float:
    """Until the progress deadline."""
    deadline: int = deployment["spec"]["progressDeadlineSeconds"]
    return parse_time(progressing.get("lastUpdateTime")) + deadline - now


def rollout_status(deployment: Obj, sets: Sequence[Obj], new_set: Obj | None, now: float) -> Obj:
    """The whole status while a rollout is under way or done (upstream's ``syncRolloutStatus``)."""
    status = counted_status(deployment, sets, new_set, now)
    current = condition(deployment, "Progressing")
    if not has_deadline(deployment):
        drop_condition(status, "Progressing")
    else:
        done_before = (
            status.get("replicas", 0) == status.get("updatedReplicas", 0)
            and current is not None
            and current["reason"] == "NewReplicaSetAvailable"
        )
        if not done_before:
            _progress(deployment, status, current, new_set, now)
    failure = _replica_failure(sets, new_set)
    if failure is not None:
        set_condition(status, failure)
    else:
        drop_condition(status, "ReplicaFailure")
    return status


def _progress(deployment: Obj, status: Obj, current: Obj | None, new_set: Obj | None, now: float) -> None:
    subject = (
        f'ReplicaSet "{new_set["metadata"]["name"]}"'
        if new_set is not None
        else f'Deployment "{deployment["metadata"]["name"]}"'
    )
    if is_complete(deployment, status):
        message = f"{subject} has successfully progressed."
        set_condition(status, make_condition("Progressing", "True", "NewReplicaSetAvailable", message, now))
    elif has_progressed(deployment, status):
        new = make_condition("Progressing", "True", "ReplicaSetUpdated", f"{subject} is progressing.", now)
        if current is not None:
            if current["status"] == "True":
                new["lastTransitionTime"] = current["lastTransitionTime"]
            # Dropped first, so that the time of the last progress moves even though status and reason are the same.
            drop_condition(status, "Progressing")
        set_condition(status, new)
    elif has_timed_out(deployment, status, now):
        message = f"{subject} has timed out progressing."
        set_condition(status, make_condition("Progressing", "False", "ProgressDeadlineExceeded", message, now))


def _replica_failure(sets: Sequence[Obj], new_set: Obj | None) -> Obj | None:
    candidates = ([new_set] if new_set is not None else []) + list(sets)
    for each in candidates:
        failure = condition(each, "ReplicaFailure")
        if failure is not None:
            return {
                "type": "ReplicaFailure",
                "status": failure["status"],
                "lastUpdateTime": failure["lastTransitionTime"],
                "lastTransitionTime": failure["lastTransitionTime"],
                "reason": failure["reason"],
                "message": failure["message"],
            }
    return None
