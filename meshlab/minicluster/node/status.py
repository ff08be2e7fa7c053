"""A pod's status from what is known of its containers: phase, conditions, container statuses. Pure.

The rules are those of upstream's kubelet (``pkg/kubelet/kubelet_pods.go`` and ``pkg/kubelet/status/generate.go``).
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.node import quantity

ContainerKind = Literal["init", "sidecar", "app", "ephemeral"]
EPOCH = "1970-01-01T00:00:00Z"

OWN_CONDITIONS = ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled")
"""The conditions the node writes; all others belong to somebody else and are kept."""


def rfc3339(moment: datetime.datetime | None = None) -> str:
    """A time (now by default) with seconds, UTC."""
    return (moment or datetime.datetime.now(datetime.UTC)).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(slots=True)
class ContainerRecord:
    """What the node knows of one container."""

    spec: Obj
    kind: ContainerKind
    state: Obj = field(default_factory=dict)
    last_state: Obj = field(default_factory=dict)
    ready: bool = False
    started: bool = False
    restart_count: int = 0
    image_id: str = ""
    container_id: str = ""

    @property
    def name(self) -> str:
        """The container's name."""
        return str(self.spec["name"])

    @property
    def running(self) -> bool:
        """Whether its first process runs."""
        return "running" in self.state

    @property
    def exit_code(self) -> int | None:
        """How its last instance ended; None unless that is its state now."""
        ended = self.state.get("terminated")
        return int(ended["exitCode"]) if ended else None


@dataclass(slots=True)
class PodRecord:
    """What the node knows of one pod beside its containers."""

    pod_ip: str = ""
    host_ip: str = ""
    start_time: str = ""
    sandbox_ready: bool = False
    """Whether its address, directories and volumes are there."""
    finished: bool = False
    """Whether no container of it will run again."""
    reason: str = ""
    message: str = ""
    """Why it failed as a whole (``DeadlineExceeded``)."""
    containers: list[ContainerRecord] = field(default_factory=list)

    def of_kind(self, *kinds: ContainerKind) -> list[ContainerRecord]:
        """The containers of these kinds, in the order of the spec."""
        return [record for record in self.containers if record.kind in kinds]


def should_restart(policy: str, kind: ContainerKind, exit_code: int) -> bool:
    """Whether a container that ended is started again."""
    if kind == "ephemeral":
        return False
    if kind == "sidecar":
        return True
    if kind == "init":
        return exit_code != 0 and policy != "Never"
    return policy == "Always" or (policy == "OnFailure" and exit_code != 0)


def initialized(record: PodRecord) -> bool:
    """Whether all init containers are done and all sidecars have started."""
    return all(
        one.exit_code == 0 if one.kind == "init" else one.started or one.exit_code is not None
        for one in record.of_kind("init", "sidecar")
    )


def phase(pod: Obj, record: PodRecord) -> str:
    """``Pending``, ``Running``, ``Succeeded`` or ``Failed``."""
    if record.reason and record.finished:
        return "Failed"
    policy = pod["spec"].get("restartPolicy", "Always")
    if any(one.exit_code and policy == "Never" for one in record.of_kind("init")):
        return "Failed" if record.finished else "Pending"
    apps = record.of_kind("app")
    if not initialized(record) and not any(one.state.keys() - {"waiting"} or one.last_state for one in apps):
        return "Pending"
    if any("waiting" in one.state and not one.last_state for one in apps):
        return "Pending"
    if not record.finished or any(one.running for one in apps):
        return "Running"
    return "Succeeded" if all(one.exit_code == 0 for one in apps) else "Failed"


def compute(pod: Obj, record: PodRecord, now: str) -> Obj:
    """The pod's new status; times of conditions that did not change are kept.

    Args:
        pod: the pod as the API has it, with its present status.
        record: what the node knows.
        now: the time for conditions that change.
    """
    old = pod.get("status") or {}
    new_phase = phase(pod, record)
    status: Obj = {
        **{key: value for key, value in old.items() if key in ("nominatedNodeName", "resize", "resourceClaimStatuses")},
        "observedGeneration": pod["metadata"].get("generation", 1),
        "phase": new_phase,
        "conditions": _conditions(pod, record, new_phase, now),
    }
    if record.reason:
        status["reason"], status["message"] = record.reason, record.message
    status["hostIP"] = record.host_ip
    status["hostIPs"] = [{"ip": record.host_ip}]
    if record.pod_ip:
        status["podIP"] = record.pod_ip
        status["podIPs"] = [{"ip": record.pod_ip}]
    status["startTime"] = record.start_time
    if inits := record.of_kind("init", "sidecar"):
        status["initContainerStatuses"] = [container_status(one) for one in inits]
    status["containerStatuses"] = [container_status(one) for one in record.of_kind("app")]
    if ephemeral := record.of_kind("ephemeral"):
        status["ephemeralContainerStatuses"] = [container_status(one) for one in ephemeral]
    status["qosClass"] = old.get("qosClass") or qos_class(pod)
    return status


def container_status(record: ContainerRecord) -> Obj:
    """One entry of ``containerStatuses``."""
    result: Obj = {
        "name": record.name,
        "state": record.state,
        "lastState": record.last_state,
        "ready": record.ready,
        "restartCount": record.restart_count,
        "image": record.spec.get("image", ""),
        "imageID": record.image_id,
        "started": record.started,
    }
    if record.container_id:
        result["containerID"] = record.container_id
    resources = record.spec.get("resources")
    if resources:
        result["resources"] = resources
        if requests := resources.get("requests"):
            result["allocatedResources"] = requests
    if mounts := record.spec.get("volumeMounts"):
        result["volumeMounts"] = [_mount_status(mount) for mount in mounts]
    return result


def waiting(reason: str, message: str = "") -> Obj:
    """The state of a container that does not run yet, or not now."""
    return {"waiting": {"reason": reason, **({"message": message} if message else {})}}


def terminated(
    exit_code: int, container_id: str, started_at: str, finished_at: str, *, reason: str = "", message: str = ""
) -> Obj:
    """The state of a container that ended; the reason follows from the exit code unless given."""
    state: Obj = {
        "exitCode": exit_code,
        "reason": reason or ("Completed" if exit_code == 0 else "Error"),
        "startedAt": started_at,
        "finishedAt": finished_at,
        "containerID": container_id,
    }
    if message:
        state["message"] = message
    return {"terminated": state}


def qos_class(pod: Obj) -> str:
    """``Guaranteed``, ``Burstable`` or ``BestEffort``, from requests and limits of CPU and memory."""
    containers = [*(pod["spec"].get("initContainers") or []), *pod["spec"]["containers"]]
    any_set, guaranteed = False, True
    for container in containers:
        resources = container.get("resources") or {}
        limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
        for name in ("cpu", "memory"):
            if name in limits or name in requests:
                any_set = True
            if name not in limits or quantity.parse(requests.get(name, limits[name])) != quantity.parse(limits[name]):
                guaranteed = False
    return "BestEffort" if not any_set else "Guaranteed" if guaranteed else "Burstable"


def _mount_status(mount: Obj) -> Obj:
    result: Obj = {"name": mount["name"], "mountPath": mount["mountPath"]}
    if mount.get("readOnly"):
        result |= {"readOnly": True, "recursiveReadOnly": "Disabled"}
    return result


def _conditions(pod: Obj, record: PodRecord, new_phase: str, now: str) -> list[Obj]:
    old = {condition["type"]: condition for condition in (pod.get("status") or {}).get("conditions") or []}
    generation = pod["metadata"].get("generation", 1)
    verdicts = {
        "PodReadyToStartContainers": (record.sandbox_ready and not record.finished, "", ""),
        "Initialized": _initialized_verdict(record, new_phase),
        "Ready": _ready_verdict(pod, record, new_phase, old),
        "ContainersReady": _containers_verdict(record, new_phase),
        "PodScheduled": (True, "", ""),
    }
    result = []
    for type_ in OWN_CONDITIONS:
        holds, reason, message = verdicts[type_]
        status = "True" if holds else "False"
        before = old.get(type_)
        changed = before is None or before["status"] != status
        condition: Obj = {
            "type": type_,
            "observedGeneration": generation,
            "status": status,
            "lastProbeTime": None,
            "lastTransitionTime": now if changed or before is None else before.get("lastTransitionTime") or now,
        }
        if reason:
            condition["reason"] = reason
        if message:
            condition["message"] = message
        result.append(condition)
    return result + [condition for type_, condition in old.items() if type_ not in OWN_CONDITIONS]


Verdict = tuple[bool, str, str]


def _initialized_verdict(record: PodRecord, new_phase: str) -> Verdict:
    if new_phase == "Succeeded":
        return True, "PodCompleted", ""
    undone = [
        one.name
        for one in record.of_kind("init", "sidecar")
        if not (one.exit_code == 0 if one.kind == "init" else one.started or one.exit_code is not None)
    ]
    # Sidecars that were restarted do not undo what was done before the main containers ran.
    if undone and not any(one.running for one in record.of_kind("app")):
        return False, "ContainersNotInitialized", f"containers with incomplete status: {_names(undone)}"
    return True, "", ""


def _containers_verdict(record: PodRecord, new_phase: str) -> Verdict:
    if new_phase in ("Succeeded", "Failed"):
        return False, "PodCompleted" if new_phase == "Succeeded" else "PodFailed", ""
    unready = [one.name for one in record.of_kind("sidecar", "app") if not one.ready]
    if unready:
        return False, "ContainersNotReady", f"containers with unready status: {_names(unready)}"
    return True, "", ""


def _ready_verdict(pod: Obj, record: PodRecord, new_phase: str, conditions: dict[str, Obj]) -> Verdict:
    holds, reason, message = _containers_verdict(record, new_phase)
    if not holds:
        return holds, reason, message
    gates = [gate["conditionType"] for gate in pod["spec"].get("readinessGates") or []]
    missing = [
        f'the status of pod readiness gate "{gate}" is not "True", but {conditions[gate]["status"]}'
        if gate in conditions
        else f'corresponding condition of pod readiness gate "{gate}" does not exist.'
        for gate in gates
        if conditions.get(gate, {}).get("status") != "True"
    ]
    return (False, "ReadinessGatesNotReady", ", ".join(missing)) if missing else (True, "", "")


def _names(names: Sequence[str]) -> str:
    return f"[{' '.join(names)}]"
