"""Runs the checks of a task until each has a verdict, and the tasks of an exercise until it has a score.

The clockwork around the pure judges: PENDING is looked at again until the task's ``within`` is over and then becomes a
verdict with a culprit; more evidence is collected while a sequential test is undecided and the budget lasts; evidence
during which a watched object changed is thrown away, since it belongs to no moment.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from meshlab.cluster.facade import Cluster
from meshlab.course.ids import timestamp
from meshlab.course.model import CheckCall, Exercise, Task
from meshlab.errors import ClusterUnreachable, LabError
from meshlab.grading.evidence import Evidence
from meshlab.grading.health import sickness
from meshlab.grading.registry import Check, CheckContext, Lacking, Overtaken, Registry, lacks_nothing
from meshlab.grading.verdicts import NeedMore, Verdict, lab_error, pending, worst

logger = logging.getLogger(__name__)

REQUEST_BUDGET = 8000
SECONDS_BUDGET = 45.0
PENDING_POLL_S = 0.25
VOID_LIMIT = 5
UNREACHABLE = "lab.unreachable"
"""The code of the verdict that no look could be taken, since nobody answered."""


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One check's verdict, with everything that a record of it needs."""

    call: CheckCall
    version: int
    verdict: Verdict
    evidence: tuple[Evidence, ...]
    asked_at: str
    decided_at: str


@dataclass(frozen=True, slots=True)
class TaskResult:
    """One task's verdict: the worst of its checks."""

    task: Task
    verdict: Verdict
    checks: tuple[CheckResult, ...]
    earned: Decimal
    seconds: float

    def to_json(self, exercise_id: str) -> dict[str, Any]:
        """The verdict record (schema in ``docs/schemas``)."""
        decisive = next(result for result in self.checks if result.verdict == self.verdict)
        watched = next((item.watched for item in decisive.evidence if item.watched), {})
        return {
            "v": 1,
            **self.verdict.to_json(),
            "exercise": exercise_id,
            "task": self.task.id,
            "guard": self.task.guard,
            "check": {
                "name": decisive.call.name,
                "version": decisive.version,
                "params": dict(decisive.call.params),
            },
            "points": {"earned": float(self.earned), "possible": float(self.task.points)},
            "asked_at": decisive.asked_at,
            "decided_at": decisive.decided_at,
            "watched": watched,
            "evidence": [item.content_id() for result in self.checks for item in result.evidence],
            "seconds": round(self.seconds, 3),
        }


@dataclass(frozen=True, slots=True)
class ExerciseResult:
    """All tasks of one exercise, judged in one run."""

    exercise: Exercise
    tasks: tuple[TaskResult, ...]

    @property
    def earned(self) -> Decimal:
        """Points of the tasks that pass and whose guards hold."""
        return sum((result.earned for result in self.tasks), Decimal(0))

    @property
    def done(self) -> bool:
        """Whether all goals and guards hold, in this one run."""
        judged = {result.task.id for result in self.tasks}
        return judged == {task.id for task in self.exercise.tasks} and all(
            result.verdict.outcome == "PASS" for result in self.tasks
        )

    @property
    def debrief(self) -> tuple[str, ...]:
        """What is worth reading once it is done: the exercise's own text, and those that the verdicts' notes choose."""
        notes = {note for task in self.tasks for note in task.verdict.notes}
        chosen = [text for note, text in self.exercise.debrief_notes.items() if note in notes]
        return tuple(text.strip() for text in (self.exercise.debrief, *chosen) if text.strip())


def run_exercise(
    cluster: Cluster,
    exercise: Exercise,
    registry: Registry,
    *,
    only: str | None = None,
    wait_s: float | None = None,
    on_result: Callable[[TaskResult], None] = lambda result: None,
    lacking: Lacking = lacks_nothing,
) -> ExerciseResult:
    """Judge an exercise.

    Args:
        cluster: where the learner works.
        exercise: with its variables drawn.
        registry: the course's checks.
        only: judge one task only (and the guards that protect it).
        wait_s: look again at tasks that do not pass, until they do or this time is over.
        on_result: called as each task is decided.
        lacking: which capabilities the cluster does not have.
    """
    context = CheckContext(cluster, exercise, lacking=lacking)
    selected = tasks_for(exercise, only)
    deadline = time.monotonic() + (wait_s or 0)
    while True:
        judged = _apply_guards([run_task(context, task, registry) for task in selected])
        undone = any(result.verdict.outcome != "PASS" for result in judged)
        if not undone or time.monotonic() >= deadline:
            break
        time.sleep(PENDING_POLL_S)
    for result in judged:
        on_result(result)
    return ExerciseResult(exercise, tuple(judged))


def tasks_for(exercise: Exercise, only: str | None) -> list[Task]:
    """All tasks, or one and the guards that protect it."""
    return [task for task in exercise.tasks if only is None or task.id == only or _protects(exercise, task, only)]


def run_task(context: CheckContext, task: Task, registry: Registry) -> TaskResult:
    """Run a task's checks until each is decided; the worst verdict is the task's."""
    return _judge_task(task, lambda call: run_check(context, call, registry, within_s=task.within_s))


def look_at_task(context: CheckContext, task: Task, registry: Registry) -> TaskResult:
    """Look at a task once; the verdict may be PENDING.

    Raises:
        Overtaken: the context said meanwhile that what is judged has changed.
    """
    return _judge_task(task, lambda call: look(context, call, registry))


def _judge_task(task: Task, judge: Callable[[CheckCall], CheckResult]) -> TaskResult:
    started = time.monotonic()
    results = tuple(judge(call) for call in task.checks)
    verdict = worst([result.verdict for result in results])
    earned = task.points if verdict.outcome == "PASS" else Decimal(0)
    return TaskResult(task, verdict, results, earned, time.monotonic() - started)


def run_check(context: CheckContext, call: CheckCall, registry: Registry, *, within_s: float) -> CheckResult:
    """Look until the check is decided or `within_s` is over; then PENDING gets its culprit."""
    asked_at = timestamp()
    deadline = time.monotonic() + within_s
    while True:
        result = look(context, call, registry)
        left = deadline - time.monotonic()
        if result.verdict.outcome != "PENDING" or left <= 0:
            break
        time.sleep(min(PENDING_POLL_S, left))
    verdict = overdue(result.verdict, within_s, context.cluster)
    return replace(result, verdict=verdict, asked_at=asked_at)


def overdue(verdict: Verdict, within_s: float, cluster: Cluster) -> Verdict:
    """What a PENDING verdict becomes when its time is over; any other is unchanged.

    Whoever is to blame by the check's own evidence, a lab that the probes find sick comes first; and where nobody is
    to blame and the lab is well, it is not decided.
    """
    if verdict.outcome != "PENDING":
        return verdict
    finding = sickness(cluster)
    if finding:
        return _sick(finding, f"{verdict.why} (and the lab is not well)")
    decided = verdict.overdue(within_s)
    return replace(decided, outcome="INCONCLUSIVE") if verdict.blame == "nobody" else decided


def look(context: CheckContext, call: CheckCall, registry: Registry) -> CheckResult:
    """Collect and judge once; the verdict may be PENDING.

    An ERROR has a culprit: the cluster does not answer, or the probes find it sick, or the check itself is broken. If
    the cluster refuses something and yet is well, that is PENDING: a pod may just be on its way out or in.

    Raises:
        Overtaken: the context said meanwhile that what is judged has changed.
    """
    check = registry.get(call.name)
    asked_at = timestamp()
    evidence: Evidence | None = None
    missing = context.lacking(check.capabilities)
    try:
        if missing:
            verdict = _not_available(missing)
        else:
            verdict, evidence = _collect_and_judge(context, check, call.params)
    except Overtaken:
        raise
    except ClusterUnreachable as error:
        verdict = lab_error(UNREACHABLE, error.message, "the cluster does not answer", error.hint)
    except LabError as error:
        context.stop_if_overtaken()
        finding = sickness(context.cluster)
        verdict = _sick(finding, error.message) if finding else _refused(error)
    except Exception as error:  # a check is the course's code; its defect must not cost a learner points
        logger.exception("check %s", call.name)
        why = "the check itself is broken; this is a defect of the course"
        verdict = lab_error("check.crashed", f"{call.name}: {type(error).__name__}: {error}", why)
    return CheckResult(call, check.version, verdict, (evidence,) if evidence else (), asked_at, timestamp())


def _not_available(missing: tuple[str, ...]) -> Verdict:
    return lab_error(
        "lab.not-available",
        f"not available here: {', '.join(missing)}",
        "the check needs what this cluster does not offer",
        "meshlab doctor --fidelity says what the embedded lab does not do; use --kubeconfig FILE",
    )


def _sick(finding: str, because: str) -> Verdict:
    return lab_error("lab.failed", finding, because)


def _refused(error: LabError) -> Verdict:
    return pending(
        "lab.refused",
        "declared",
        found=error.message,
        wanted="",
        why="the cluster refused what the check needs, though it is well",
        hint=error.hint,
        blame="nobody",
    )


def _collect_and_judge(context: CheckContext, check: Check, params: Mapping[str, Any]) -> tuple[Verdict, Evidence]:
    """One look: collect, judge, and collect more as long as the judge asks and the budget lasts."""
    voided = 0
    spent = 0
    deadline = time.monotonic() + SECONDS_BUDGET
    evidence: Evidence | None = None
    wanted = 0
    while True:
        context.stop_if_overtaken()
        evidence = check.collect(replace(context, requests_wanted=wanted), params, evidence)
        if evidence.is_void:
            voided += 1
            if voided > VOID_LIMIT:
                return _restless(voided), evidence
            evidence, wanted = None, 0
            continue
        judged = check.judge(evidence, params)
        if isinstance(judged, Verdict):
            return judged, evidence
        if spent + judged.requests > REQUEST_BUDGET or time.monotonic() > deadline:
            return judged.otherwise, evidence
        spent += judged.requests
        wanted = judged.requests


def _restless(times: int) -> Verdict:
    """The verdict if the judged objects never stand still for as long as a look takes."""
    return Verdict(
        "INCONCLUSIVE",
        "evidence.void",
        "observed",
        found=f"the objects that are judged changed during each of {times} looks",
        why="what was seen belongs to no moment",
        hint="wait until nothing changes them any more, then check again",
        blame="nobody",
    )


def rejudge(check: Check, params: Mapping[str, Any], evidence: Evidence) -> Verdict:
    """Give the verdict again from stored evidence, without a cluster."""
    judged = check.judge(evidence, params)
    return judged.otherwise if isinstance(judged, NeedMore) else judged


def _protects(exercise: Exercise, guard: Task, protected: str) -> bool:
    task = exercise.task(protected)
    return task is not None and guard.id in task.guarded_by


def _apply_guards(results: list[TaskResult]) -> list[TaskResult]:
    """A task whose guard does not hold earns nothing, whatever its own verdict; both verdicts are shown."""
    verdicts = {result.task.id: result.verdict for result in results}
    return [result if guards_hold(result.task, verdicts) else replace(result, earned=Decimal(0)) for result in results]


def guards_hold(task: Task, verdicts: Mapping[str, Verdict]) -> bool:
    """Whether the guards of a task hold; one that was not judged is not held against it."""
    return all(verdicts[guard].outcome == "PASS" for guard in task.guarded_by if guard in verdicts)
