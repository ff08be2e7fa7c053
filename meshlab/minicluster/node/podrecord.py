"""What a node finds when it meets a pod: its containers, and what an earlier node left in their status."""

from __future__ import annotations

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.node import status
from meshlab.minicluster.node.status import ContainerKind, ContainerRecord, rfc3339


def containers_of(pod: Obj) -> list[tuple[ContainerKind, Obj]]:
    """All containers of a pod's spec with their kinds: init containers and sidecars first, in order."""
    spec = pod["spec"]
    result: list[tuple[ContainerKind, Obj]] = [
        ("sidecar" if container.get("restartPolicy") == "Always" else "init", container)
        for container in spec.get("initContainers") or []
    ]
    result += [("app", container) for container in spec["containers"]]
    result += [("ephemeral", container) for container in spec.get("ephemeralContainers") or []]
    return result


def restored(pod: Obj, spec: Obj, kind: ContainerKind) -> ContainerRecord:
    """The record of a container; one that ran before the node was restarted counts one restart more."""
    old_status = pod.get("status") or {}
    fields = ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses")
    old = next((one for name in fields for one in old_status.get(name) or [] if one["name"] == spec["name"]), None)
    first = status.waiting("PodInitializing" if pod["spec"].get("initContainers") else "ContainerCreating")
    record = ContainerRecord(spec, kind, first)
    if old is None or not old.get("containerID"):
        return record
    record.restart_count = int(old.get("restartCount") or 0) + 1
    ended = (old.get("state") or {}).get("terminated") or (old.get("lastState") or {}).get("terminated")
    if ended is None or "running" in old["state"]:
        began = ((old.get("state") or {}).get("running") or {}).get("startedAt") or status.EPOCH
        ended = status.terminated(
            255, old["containerID"], began, rfc3339(), reason="Unknown", message="the node was restarted"
        )["terminated"]
    policy = pod["spec"].get("restartPolicy", "Always")
    ended_for_good = "terminated" in old["state"] and not status.should_restart(policy, kind, ended["exitCode"])
    if kind in ("app", "ephemeral") and ended_for_good:
        record.state, record.last_state = old["state"], old.get("lastState") or {}
        record.restart_count -= 1
        record.container_id, record.image_id = old["containerID"], old.get("imageID", "")
    else:
        record.last_state = {"terminated": ended}
    return record
