"""Exercises, checks and results made of plain values, for tests of grading without a cluster."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

from meshlab.cluster.facade import Cluster
from meshlab.course.model import CheckCall, Client, Exercise, Task
from meshlab.grading.engine import CheckResult, ExerciseResult, TaskResult
from meshlab.grading.evidence import Evidence
from meshlab.grading.registry import Check, CheckContext, Registry
from meshlab.grading.verdicts import NeedMore, Verdict, failed, lab_error, passed, pending


class ProbedCluster:
    """A cluster that answers nothing but the probes of its health.

    Args:
        ready: whether its node is.
    """

    def __init__(self, *, ready: bool = True) -> None:
        self.ready = ready

    def request(self, method: str, path: str, *, timeout_s: float = 0) -> Any:
        return {
            "/readyz": "ok",
            "/api/v1/nodes": {"items": [{"status": {"conditions": [{"type": "Ready", "status": str(self.ready)}]}}]},
            "/api/v1/namespaces/default": {"status": {"phase": "Active"}},
        }[path]


NO_CLUSTER = cast(Cluster, ProbedCluster())
"""For checks that collect without one; its probes find it well."""
SICK_CLUSTER = cast(Cluster, ProbedCluster(ready=False))

AT = "2026-11-23T10:00:00.000Z"

PASS = passed("a.right", "all is well")
FAIL = failed("a.wrong", "pushed", found="it is not", wanted="it is", why="so it is", hint="look there")
PENDING = pending("a.waiting", "accepted", found="not yet", wanted="it is", why="slow", hint="wait")
LAB_PENDING = pending("a.waiting", "accepted", found="not yet", wanted="it is", why="slow", hint="", blame="lab")
ERROR = lab_error("lab.failed", "the lab is broken", "so it is")
INCONCLUSIVE = Verdict("INCONCLUSIVE", "a.unclear", "observed", "neither", "it is", blame="nobody")


def task(
    name: str, check: str = "", *, guard: bool = False, guarded_by: tuple[str, ...] = (), points: int = 10
) -> Task:
    calls = tuple(CheckCall(word, {}) for word in (check or name).split("+"))
    return Task(name, f"do {name}", calls, guard, guarded_by, Decimal(0 if guard else points), within_s=0)


def exercise(*tasks: Task, folder: Path = Path()) -> Exercise:
    return Exercise(
        id="canary",
        version=3,
        title="A canary",
        folder=folder,
        lesson="canary",
        tasks=tasks,
        namespaces={"app": "default"},
        clients={"client": Client("default", "client")},
    )


def result(of: Task, verdict: Verdict, *, earned: int | None = None) -> TaskResult:
    evidence = Evidence("requests", {"n": 1}, watched={"from_rv": "1", "to_rv": "1"})
    checked = CheckResult(of.checks[0], 1, verdict, (evidence,), AT, AT)
    points = of.points if verdict.outcome == "PASS" else Decimal(0)
    return TaskResult(of, verdict, (checked,), points if earned is None else Decimal(earned), 0.5)


def results(**verdicts: Verdict) -> ExerciseResult:
    """One exercise with a task of 10 points for each verdict."""
    tasks = [task(name) for name in verdicts]
    judged = tuple(result(of, verdict) for of, verdict in zip(tasks, verdicts.values(), strict=True))
    return ExerciseResult(exercise(*tasks), judged)


class ScriptedCheck:
    """A check that collects and judges as a script says, and remembers what it was asked for.

    Args:
        script: what the judge says each time (the last entry for ever): a verdict, a `NeedMore`, or an error that
            collecting raises.
        void: how often a watched object changes while evidence is collected.
    """

    def __init__(self, *script: Verdict | NeedMore | Exception, void: int = 0) -> None:
        self.script = list(script)
        self.void = void
        self.wanted: list[int] = []
        self.so_far: list[Evidence | None] = []

    def collect(self, context: CheckContext, params: Any, so_far: Evidence | None) -> Evidence:
        self.wanted.append(context.requests_wanted)
        self.so_far.append(so_far)
        if isinstance(self.script[0], Exception):
            raise self.script[0]
        evidence = so_far or Evidence("requests", {"looks": 0})
        evidence.data["looks"] += 1
        if self.void:
            self.void -= 1
            evidence.watched = {"from_rv": "1", "to_rv": "2"}
        return evidence

    def judge(self, evidence: Evidence, params: Any) -> Verdict | NeedMore:
        said = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        assert not isinstance(said, Exception)
        return said

    @property
    def looks(self) -> int:
        """How often evidence was collected."""
        return len(self.wanted)


def registry(**checks: ScriptedCheck) -> Registry:
    return Registry({name: Check(name, 1, check.collect, check.judge) for name, check in checks.items()})


def noting(into: list[str]) -> Callable[[TaskResult], None]:
    """A callback that notes which tasks were decided."""
    return lambda decided: into.append(decided.task.id)


def outcomes(judged: ExerciseResult) -> Sequence[str]:
    return [entry.verdict.outcome for entry in judged.tasks]
