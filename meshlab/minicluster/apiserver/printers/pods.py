"""Pods: the STATUS, READY and RESTARTS that everybody reads, by upstream's ``printPod``."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from meshlab.minicluster.apiserver.printers.columns import NONE, Cells, Printer, at, columns, name, object_age
from meshlab.minicluster.apiserver.printers.durations import age
from meshlab.minicluster.kubeapi import Obj

_NODE_UNREACHABLE = "NodeLost"


def _pod(pod: Obj, now: datetime) -> Cells:
    spec, status = pod.get("spec") or {}, pod.get("status") or {}
    sidecars = {item["name"] for item in spec.get("initContainers") or () if item.get("restartPolicy") == "Always"}
    total = len(spec.get("containers") or ()) + len(sidecars)
    ready, reason, restarts = _state(pod, sidecars)
    restarted = str(restarts.count)
    if restarts.count and restarts.last:
        restarted += f" ({age(restarts.last, now)} ago)"
    ips = [item["ip"] for item in status.get("podIPs") or () if item.get("ip")]
    return [
        name(pod),
        f"{ready}/{total}",
        reason,
        restarted,
        object_age(pod, now),
        ips[0] if ips else status.get("podIP") or NONE,
        spec.get("nodeName") or NONE,
        status.get("nominatedNodeName") or NONE,
        _readiness_gates(spec, status),
    ]


@dataclass
class _Restarts:
    """How often containers were restarted, and when that last happened (empty if unknown)."""

    count: int = 0
    last: str = ""

    def add(self, container: Obj) -> None:
        self.count += container.get("restartCount", 0)
        self.last = max(self.last, at(container, "lastState.terminated.finishedAt", ""))


def _state(pod: Obj, sidecars: set[str]) -> tuple[int, str, _Restarts]:
    """Ready containers, the status word, and restarts."""
    status = pod.get("status") or {}
    reason = status.get("reason") or status.get("phase") or "Unknown"
    if any(item.get("reason") == "SchedulingGated" for item in status.get("conditions") or ()):
        reason = "SchedulingGated"
    restarts, sidecar_restarts = _Restarts(), _Restarts()
    ready = 0
    waiting_for = ""
    for index, container in enumerate(status.get("initContainerStatuses") or ()):
        restarts.add(container)
        is_sidecar = container.get("name") in sidecars
        if is_sidecar:
            sidecar_restarts.add(container)
        if at(container, "state.terminated") is not None and not at(container, "state.terminated.exitCode", 0):
            continue
        if is_sidecar and container.get("started"):
            ready += bool(container.get("ready"))
            continue
        waiting_for = _initializing(container, index, len(at(pod, "spec.initContainers", [])))
        break
    reason = waiting_for or reason
    if not waiting_for or _condition(status, "Initialized"):
        # What init containers did once does not count any more; what sidecars do does.
        restarts = sidecar_restarts
        running = 0
        for container in reversed(status.get("containerStatuses") or ()):
            restarts.add(container)
            state = container.get("state") or {}
            if at(state, "waiting.reason"):
                reason = state["waiting"]["reason"]
            elif state.get("terminated") is not None:
                reason = _terminated(state["terminated"])
            elif container.get("ready") and state.get("running") is not None:
                running += 1
        ready += running
        if reason == "Completed" and running:
            reason = "Running" if _condition(status, "Ready") else "NotReady"
    if pod["metadata"].get("deletionTimestamp"):
        if status.get("reason") == _NODE_UNREACHABLE:
            reason = "Unknown"
        elif status.get("phase") not in {"Failed", "Succeeded"}:
            reason = "Terminating"
    return ready, reason, restarts


def _initializing(container: Obj, index: int, count: int) -> str:
    """The status word while this init container has not done its part."""
    state = container.get("state") or {}
    if state.get("terminated") is not None:
        return f"Init:{_terminated(state['terminated'])}"
    waiting = at(state, "waiting.reason", "")
    if waiting and waiting != "PodInitializing":
        return f"Init:{waiting}"
    return f"Init:{index}/{count}"


def _terminated(terminated: Obj) -> str:
    if terminated.get("reason"):
        return str(terminated["reason"])
    if terminated.get("signal"):
        return f"Signal:{terminated['signal']}"
    return f"ExitCode:{terminated.get('exitCode', 0)}"


def _condition(status: Obj, type_: str) -> bool:
    return any(item.get("type") == type_ and item.get("status") == "True" for item in status.get("conditions") or ())


def _readiness_gates(spec: Obj, status: Obj) -> str:
    gates = spec.get("readinessGates") or ()
    if not gates:
        return NONE
    return f"{sum(_condition(status, gate['conditionType']) for gate in gates)}/{len(gates)}"


PRINTERS = {
    "pods": Printer(
        columns("Name|Ready|Status|Restarts|Age|IP*|Node*|Nominated Node*|Readiness Gates*"),
        _pod,
    ),
}
