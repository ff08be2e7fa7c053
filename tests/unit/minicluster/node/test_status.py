from __future__ import annotations

from typing import Any

import pytest

from meshlab.minicluster.node import status
from meshlab.minicluster.node.status import ContainerKind, ContainerRecord, PodRecord

NOW = "2026-01-02T03:04:05Z"
RUNNING = {"running": {"startedAt": NOW}}
WAITING = status.waiting("ContainerCreating")


def ended(code: int) -> dict[str, Any]:
    return status.terminated(code, "proc://x", NOW, NOW)


def pod(policy: str = "Always", **spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "p", "generation": 3},
        "spec": {"restartPolicy": policy, "containers": [{"name": "c"}], **spec},
    }


def record(*containers: tuple[ContainerKind, dict[str, Any]], finished: bool = False, **fields: Any) -> PodRecord:
    records = [
        ContainerRecord({"name": f"{kind}{i}"}, kind, state, ready="running" in state, started="running" in state)
        for i, (kind, state) in enumerate(containers)
    ]
    return PodRecord(containers=records, finished=finished, host_ip="127.7.0.1", start_time=NOW, **fields)


@pytest.mark.parametrize(
    ("policy", "containers", "finished", "expected"),
    [
        ("Always", [("app", WAITING)], False, "Pending"),
        ("Always", [("app", RUNNING)], False, "Running"),
        ("Always", [("app", RUNNING), ("app", WAITING)], False, "Pending"),
        ("Always", [("app", ended(1))], False, "Running"),
        ("Never", [("app", ended(0)), ("app", RUNNING)], False, "Running"),
        ("Never", [("app", ended(0)), ("app", ended(0))], True, "Succeeded"),
        ("Never", [("app", ended(0)), ("app", ended(2))], True, "Failed"),
        ("Never", [("init", ended(1)), ("app", WAITING)], True, "Failed"),
        ("Always", [("init", ended(1)), ("app", WAITING)], False, "Pending"),
        ("Always", [("init", RUNNING), ("app", WAITING)], False, "Pending"),
        ("Always", [("sidecar", RUNNING), ("app", RUNNING)], False, "Running"),
        ("Never", [("sidecar", RUNNING), ("app", ended(0))], False, "Running"),
        ("Never", [("sidecar", ended(143)), ("app", ended(0))], True, "Succeeded"),
    ],
)
def test_phase(policy: str, containers: list[Any], finished: bool, expected: str) -> None:
    assert status.phase(pod(policy), record(*containers, finished=finished)) == expected


def test_conditions_of_a_pod_that_waits_for_its_init_container() -> None:
    computed = status.compute(pod(), record(("init", RUNNING), ("app", WAITING), sandbox_ready=True), NOW)
    conditions = {one["type"]: one for one in computed["conditions"]}
    assert conditions["Initialized"]["status"] == "False"
    assert conditions["Initialized"]["message"] == "containers with incomplete status: [init0]"
    assert conditions["Ready"]["reason"] == "ContainersNotReady"
    assert conditions["Ready"]["message"] == "containers with unready status: [app1]"
    assert conditions["PodReadyToStartContainers"]["status"] == "True"
    assert conditions["PodScheduled"]["observedGeneration"] == 3


def test_times_change_only_with_the_condition() -> None:
    first = status.compute(pod(), record(("app", RUNNING)), "2026-01-01T00:00:00Z")
    again = status.compute({**pod(), "status": first}, record(("app", RUNNING)), NOW)
    assert again == first
    later = status.compute({**pod(), "status": first}, record(("app", ended(1))), NOW)
    times = {one["type"]: one["lastTransitionTime"] for one in later["conditions"]}
    assert times["Ready"] == NOW
    assert times["PodScheduled"] == "2026-01-01T00:00:00Z"


def test_readiness_gates_and_foreign_conditions() -> None:
    gated = pod(readinessGates=[{"conditionType": "example.com/ready"}])
    conditions = {one["type"]: one for one in status.compute(gated, record(("app", RUNNING)), NOW)["conditions"]}
    assert conditions["ContainersReady"]["status"] == "True"
    assert conditions["Ready"]["reason"] == "ReadinessGatesNotReady"
    assert (
        conditions["Ready"]["message"]
        == 'corresponding condition of pod readiness gate "example.com/ready" does not exist.'
    )
    gate = {"type": "example.com/ready", "status": "True"}
    passed = status.compute({**gated, "status": {"conditions": [gate]}}, record(("app", RUNNING)), NOW)["conditions"]
    assert gate in passed
    assert next(one for one in passed if one["type"] == "Ready")["status"] == "True"


def test_completed_pod_is_not_ready() -> None:
    computed = status.compute(pod("Never"), record(("app", ended(0)), finished=True), NOW)
    ready = next(one for one in computed["conditions"] if one["type"] == "Ready")
    assert (ready["status"], ready["reason"]) == ("False", "PodCompleted")


@pytest.mark.parametrize(
    ("resources", "expected"),
    [
        ([{}], "BestEffort"),
        ([{"requests": {"cpu": "1"}}], "Burstable"),
        ([{"limits": {"cpu": "1", "memory": "1Gi"}}], "Guaranteed"),
        ([{"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1000m", "memory": "1024Mi"}}], "Guaranteed"),
        ([{"limits": {"cpu": "1", "memory": "1Gi"}}, {}], "Burstable"),
    ],
)
def test_qos_class(resources: list[dict[str, Any]], expected: str) -> None:
    containers = [{"name": str(i), "resources": one} for i, one in enumerate(resources)]
    assert status.qos_class({"spec": {"containers": containers}}) == expected


@pytest.mark.parametrize(
    ("policy", "kind", "code", "expected"),
    [
        ("Always", "app", 0, True),
        ("OnFailure", "app", 0, False),
        ("OnFailure", "app", 1, True),
        ("Never", "app", 1, False),
        ("Always", "init", 0, False),
        ("OnFailure", "init", 1, True),
        ("Never", "init", 1, False),
        ("Never", "sidecar", 0, True),
        ("Always", "ephemeral", 1, False),
    ],
)
def test_should_restart(policy: str, kind: ContainerKind, code: int, expected: bool) -> None:
    assert status.should_restart(policy, kind, code) is expected
