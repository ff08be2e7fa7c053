"""READY, STATUS and RESTARTS in the states that learners meet."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from meshlab.minicluster.apiserver.printers import table
from meshlab.minicluster.apiserver.resources import builtin_resources
from meshlab.minicluster.kubeapi import Obj

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
PODS = next(item for item in builtin_resources() if item.storage == "pods")

RUNNING: Obj = {"running": {"startedAt": "2026-01-02T03:03:05Z"}}


def waiting(reason: str) -> Obj:
    return {"waiting": {"reason": reason}}


def terminated(code: int, reason: str = "", **fields: Any) -> Obj:
    return {"terminated": {"exitCode": code, **({"reason": reason} if reason else {}), **fields}}


def status(name: str, state: Obj, *, ready: bool = False, restarts: int = 0, last: str = "", **fields: Any) -> Obj:
    result: Obj = {"name": name, "state": state, "ready": ready, "restartCount": restarts, **fields}
    if last:
        result["lastState"] = {"terminated": {"exitCode": 1, "finishedAt": last}}
    return result


def pod(
    *statuses: Obj,
    phase: str = "Running",
    init: tuple[Obj, ...] = (),
    sidecars: tuple[str, ...] = (),
    conditions: tuple[str, ...] = (),
    deleted: bool = False,
    **pod_status: Any,
) -> Obj:
    obj: Obj = {
        "metadata": {"name": "web", "creationTimestamp": "2026-01-02T03:02:05Z"},
        "spec": {
            "nodeName": "meshlab",
            "containers": [{"name": item["name"]} for item in statuses] or [{"name": "app"}],
            "initContainers": [
                {"name": item["name"], **({"restartPolicy": "Always"} if item["name"] in sidecars else {})}
                for item in init
            ],
        },
        "status": {
            "phase": phase,
            "containerStatuses": list(statuses),
            "initContainerStatuses": list(init),
            "conditions": [{"type": item, "status": "True"} for item in conditions],
            **pod_status,
        },
    }
    if deleted:
        obj["metadata"]["deletionTimestamp"] = "2026-01-02T03:04:00Z"
    return obj


def cells(obj: Obj) -> list[Any]:
    row: list[Any] = table(PODS, [obj], now=NOW)["rows"][0]["cells"]
    return row


APP = status("app", RUNNING, ready=True)
PROXY = status("istio-proxy", RUNNING, ready=True, started=True)


@pytest.mark.parametrize(
    ("obj", "ready", "state", "restarts"),
    [
        (pod(phase="Pending"), "0/1", "Pending", "0"),
        (pod(APP), "1/1", "Running", "0"),
        (pod(APP, status("other", RUNNING)), "1/2", "Running", "0"),
        (pod(status("app", waiting("ContainerCreating")), phase="Pending"), "0/1", "ContainerCreating", "0"),
        (pod(status("app", waiting("ImagePullBackOff")), phase="Pending"), "0/1", "ImagePullBackOff", "0"),
        (
            pod(status("app", waiting("CrashLoopBackOff"), restarts=2, last="2026-01-02T03:04:00Z")),
            "0/1",
            "CrashLoopBackOff",
            "2 (5s ago)",
        ),
        (pod(status("app", terminated(1, "Error"))), "0/1", "Error", "0"),
        (pod(status("app", terminated(137))), "0/1", "ExitCode:137", "0"),
        (pod(status("app", terminated(0, signal=9))), "0/1", "Signal:9", "0"),
        (pod(status("app", terminated(0, "Completed")), phase="Succeeded"), "0/1", "Completed", "0"),
        (
            pod(status("app", terminated(0, "Completed")), status("b", RUNNING, ready=True), conditions=("Ready",)),
            "1/2",
            "Running",
            "0",
        ),
        (pod(status("app", terminated(0, "Completed")), status("b", RUNNING, ready=True)), "1/2", "NotReady", "0"),
        (pod(APP, deleted=True), "1/1", "Terminating", "0"),
        (pod(status("app", terminated(0, "Completed")), phase="Succeeded", deleted=True), "0/1", "Completed", "0"),
        (pod(phase="Failed", reason="Evicted"), "0/1", "Evicted", "0"),
        # Native sidecars count, in READY and in RESTARTS.
        (pod(APP, init=(PROXY,), sidecars=("istio-proxy",)), "2/2", "Running", "0"),
        (
            pod(
                APP,
                init=(status("istio-proxy", RUNNING, started=True, restarts=1),),
                sidecars=("istio-proxy",),
                conditions=("Initialized",),
            ),
            "1/2",
            "Running",
            "1",
        ),
        (
            pod(
                status("app", waiting("PodInitializing")),
                phase="Pending",
                init=(status("istio-proxy", RUNNING, started=False),),
                sidecars=("istio-proxy",),
            ),
            "0/2",
            "Init:0/1",
            "0",
        ),
        # Plain init containers.
        (
            pod(
                status("app", waiting("PodInitializing")),
                phase="Pending",
                init=(status("setup", terminated(0, "Completed")), status("wait", waiting("PodInitializing"))),
            ),
            "0/1",
            "Init:1/2",
            "0",
        ),
        (
            pod(phase="Pending", init=(status("setup", waiting("CrashLoopBackOff"), restarts=3),)),
            "0/1",
            "Init:CrashLoopBackOff",
            "3",
        ),
        (pod(phase="Pending", init=(status("setup", terminated(1, "Error")),)), "0/1", "Init:Error", "0"),
        (pod(phase="Pending", init=(status("setup", terminated(3)),)), "0/1", "Init:ExitCode:3", "0"),
        (
            pod(
                status("app", waiting("PodInitializing")),
                phase="Pending",
                init=(status("setup", terminated(0, "Completed"), restarts=4),),
            ),
            "0/1",
            "PodInitializing",
            "0",
        ),
    ],
)
def test_state(obj: Obj, ready: str, state: str, restarts: str) -> None:
    assert cells(obj)[:5] == ["web", ready, state, restarts, "2m"]


def test_wide_columns() -> None:
    obj = pod(APP, podIP="127.77.1.5", podIPs=[{"ip": "127.77.1.5"}], conditions=("lab/warm",))
    obj["spec"]["readinessGates"] = [{"conditionType": "lab/warm"}, {"conditionType": "lab/other"}]
    assert cells(obj)[5:] == ["127.77.1.5", "meshlab", "<none>", "1/2"]
    obj = pod(phase="Pending")
    del obj["spec"]["nodeName"]
    assert cells(obj)[5:] == ["<none>", "<none>", "<none>", "<none>"]


def test_scheduling_gated() -> None:
    obj = pod(phase="Pending")
    obj["status"]["conditions"] = [{"type": "PodScheduled", "status": "False", "reason": "SchedulingGated"}]
    assert cells(obj)[2] == "SchedulingGated"


def test_columns() -> None:
    definitions = table(PODS, [], now=NOW)["columnDefinitions"]
    assert [item["name"] for item in definitions if not item["priority"]] == [
        "Name",
        "Ready",
        "Status",
        "Restarts",
        "Age",
    ]
    assert definitions[0]["format"] == "name"
