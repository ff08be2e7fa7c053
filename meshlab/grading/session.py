"""One learner's work on one cluster: start, check, hint, solve, reset, answer; the TUI and the command line call this.

It joins the four parts that know nothing of each other: the course (what is asked), the workbench (what is on the
cluster), the engine (how it is judged) and the progress file (what happened).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from meshlab.cluster.facade import Cluster
from meshlab.cluster.mesh import MeshInfo, detect_mesh
from meshlab.cluster.providers.choice import Provider
from meshlab.course.catalogue import Course
from meshlab.course.exercises import load
from meshlab.course.model import Exercise, Task
from meshlab.course.progress import Progress
from meshlab.errors import UsageError
from meshlab.grading import scripts
from meshlab.grading.attempt import AttemptRecord
from meshlab.grading.engine import ExerciseResult, TaskResult, run_exercise
from meshlab.grading.registry import Lacking, Registry, lacks_nothing, load_checks
from meshlab.grading.reports import ReportContext
from meshlab.grading.workbench import Workbench


@dataclass(frozen=True, slots=True)
class Hint:
    """One tier of hints for one task."""

    task: Task
    tier: int
    tiers: int
    text: str


@dataclass(frozen=True, slots=True)
class Started:
    """The outcome of `Session.start`."""

    exercise: Exercise
    record: AttemptRecord
    already: bool


class Session:
    """A learner, a course and a cluster.

    Args:
        course: the course.
        cluster: where exercises run.
        progress: where events are kept.
        on_progress: told what is being done, in a few words.
        lacking: which capabilities the cluster does not have.

    It belongs to the thread that made it, as the progress file does; several threads open one each.
    """

    def __init__(
        self,
        course: Course,
        cluster: Cluster,
        progress: Progress,
        on_progress: Callable[[str], None] = lambda stage: None,
        lacking: Lacking = lacks_nothing,
    ) -> None:
        self.course = course
        self.lacking = lacking
        self.cluster = cluster
        self.progress = progress
        self.registry: Registry = load_checks(course.root / "checks")
        self.workbench = Workbench(cluster, self.registry, on_progress)

    def close(self) -> None:
        """Close the progress file and the connections."""
        self.progress.close()
        self.cluster.close()

    @cached_property
    def mesh(self) -> MeshInfo | None:
        """The mesh of the cluster, None if it has none; read once."""
        return detect_mesh(self.cluster)

    def prepare(self, exercise_id: str, provider: Provider, say: Callable[[str], None]) -> None:
        """See to it that the cluster offers what the exercise needs, before it is started.

        Raises:
            UsageError: the cluster lacks it, and it cannot be installed there.
        """
        source = self.course.exercise_file(exercise_id)
        needs = load(source, {name: choices[0] for name, choices in source.choices.items()}).needs
        lacking = provider.lacking(needs.capabilities)
        if lacking:
            raise UsageError(
                f"exercise {exercise_id} needs {', '.join(lacking)}, which this cluster does not offer",
                title="Not available here",
                hint="meshlab doctor --fidelity says what the embedded lab does not do; use --kubeconfig FILE",
            )
        self.mesh = provider.ensure_mesh(self.cluster, needs.mesh, say)

    def start(self, exercise_id: str) -> Started:
        """Set an exercise up; one that is under way is left as it is.

        Raises:
            UsageError: the exercise is unknown, or the cluster lacks what it needs.
        """
        source = self.course.exercise_file(exercise_id)
        record = self.workbench.record(source)
        if record is not None:
            exercise, record = self.workbench.resume(source)
            self._note_attempt(exercise, record)
            return Started(exercise, record, already=True)
        round_ = self.progress.next_round(exercise_id)
        exercise = self.course.draw(
            exercise_id, key=self.progress.course_key, learner=self.progress.learner, round_=round_
        )
        record = self.workbench.start(exercise, learner=self.progress.learner, round_=round_)
        # The cluster knows of no attempt: one that this file takes for open went with its lab.
        while (lost := self.progress.open_attempt_of(exercise_id)) is not None:
            self.progress.close_attempt(lost.id, exercise=exercise_id, why="superseded")
        self._note_attempt(exercise, record)
        self.progress.append(
            "exercise.started",
            attempt=record.attempt,
            exercise=exercise.id,
            version=exercise.version,
            round=record.round,
            vars=record.variables,
        )
        return Started(exercise, record, already=False)

    def check(
        self,
        exercise_id: str,
        *,
        task: str | None = None,
        wait_s: float | None = None,
        on_result: Callable[[TaskResult], None] = lambda result: None,
    ) -> tuple[ExerciseResult, AttemptRecord]:
        """Judge an exercise, or one of its tasks, and record what came out."""
        exercise, record = self.resume(exercise_id)
        if task is not None and exercise.task(task) is None:
            known = ", ".join(entry.id for entry in exercise.tasks)
            raise UsageError(f'exercise {exercise_id} has no task "{task}"', hint=f"its tasks: {known}")
        result = run_exercise(
            self.cluster,
            exercise,
            self.registry,
            only=task,
            wait_s=wait_s,
            on_result=on_result,
            lacking=self.lacking,
        )
        self.record_run(result, record, task=task or "")
        return result, record

    def record_run(self, result: ExerciseResult, record: AttemptRecord, *, task: str = "", live: bool = False) -> None:
        """Write down what came out: one ``check.ran``, each verdict with its evidence, and what passed.

        Args:
            result: of all tasks, or of one and its guards.
            record: whose attempt.
            task: which task was asked for, if only one.
            live: whether nobody asked for it: the live checker looked by itself.
        """
        exercise = result.exercise
        run = self.progress.append(
            "check.ran",
            attempt=record.attempt,
            exercise=exercise.id,
            task=task,
            done=not task and result.done,
            earned=float(result.earned),
            possible=float(exercise.possible),
            verdicts={
                entry.task.id: {"verdict": entry.verdict.outcome, "code": entry.verdict.code} for entry in result.tasks
            },
            **({"live": True} if live else {}),
        ).record["id"]
        for entry in result.tasks:
            self.progress.add_verdict(record.attempt, run, entry.to_json(exercise.id))
            for evidence in (item for check in entry.checks for item in check.evidence):
                self.progress.add_evidence(evidence.content_id(), evidence.to_json())
            if entry.verdict.outcome == "PASS" and not entry.task.guard:
                self.progress.append("task.passed", attempt=record.attempt, exercise=exercise.id, task=entry.task.id)

    def last_recorded(self, record: AttemptRecord) -> dict[str, dict[str, str]] | None:
        """Verdict and code of each task in an attempt's newest recorded run of all tasks; None if there is none."""
        runs = [
            event.record["data"]["verdicts"]
            for event in self.progress.events(exercise=record.exercise)
            if event.record["kind"] == "check.ran"
            and event.record["attempt"] == record.attempt
            and not event.record["task"]
        ]
        return runs[-1] if runs else None

    def report_context(self, record: AttemptRecord) -> ReportContext:
        """Who, which course and which cluster, for a report."""
        lab = {"cluster": self.cluster.version(), "mesh": self.mesh.text if self.mesh else None}
        return ReportContext(learner=record.learner, course=self.course.reference, lab=lab, attempt=record.attempt)

    def hint(self, exercise_id: str, task_id: str | None = None) -> Hint:
        """The next tier of hints for a task; the last one again once all were given.

        Raises:
            UsageError: the exercise has no such task, or the task has no hints.
        """
        exercise, record = self.resume(exercise_id)
        hinted = [task for task in exercise.tasks if task.hints]
        task = exercise.task(task_id) if task_id else next(iter(hinted), None)
        if task is None or not task.hints:
            known = ", ".join(entry.id for entry in hinted) or "none"
            raise UsageError(f"there are no hints for {task_id or exercise_id}", hint=f"tasks with hints: {known}")
        tier = min(self.progress.hints_taken(record.attempt, task.id) + 1, len(task.hints))
        self.progress.append("hint.taken", attempt=record.attempt, exercise=exercise.id, task=task.id, tier=tier)
        return Hint(task, tier, len(task.hints), task.hints[tier - 1])

    def tried(self, exercise_id: str) -> bool:
        """Whether this attempt was checked at least once."""
        _, record = self.resume(exercise_id)
        return self.progress.tried(record.attempt)

    def solution(self, exercise_id: str) -> list[scripts.File]:
        """The first solution, rendered for this attempt.

        Raises:
            UsageError: this course was packed without solutions.
        """
        exercise, record = self.resume(exercise_id)
        if not exercise.solutions:
            raise UsageError(f"this course has no solution of {exercise_id}", hint="ask your instructor")
        self.progress.append("solution.shown", attempt=record.attempt, exercise=exercise.id)
        return scripts.files(exercise, exercise.solutions[0])

    def apply_solution(self, exercise_id: str) -> str:
        """Run the first solution against the cluster and return what it printed."""
        exercise, _ = self.resume(exercise_id)
        said = scripts.run(exercise, exercise.solutions[0], self.cluster)
        for task, value in exercise.answers.items():
            self.workbench.answer(exercise, task, value)
        return said

    def to_be_deleted(self, exercise_id: str) -> list[str]:
        """What ``reset`` would delete, as ``kind namespace/name``."""
        exercise, record = self.resume(exercise_id)
        made = self.workbench.made_by_learner(exercise, record)
        return [
            *(f"what {name} undoes" for name in exercise.teardown),
            *(f"{resource.partition('.')[0]} {namespace}/{name}" for resource, namespace, name in made),
        ]

    def reset(self, exercise_id: str, *, remove: bool = False) -> None:
        """Put an exercise back to its start, or take it away altogether."""
        exercise, record = self.resume(exercise_id)
        if remove:
            self.workbench.remove(exercise, record)
            self.progress.close_attempt(record.attempt, exercise=exercise.id)
        else:
            self.workbench.reset(exercise, record)
            self.progress.append("exercise.reset", attempt=record.attempt, exercise=exercise.id)

    def answer(self, exercise_id: str, task_id: str, value: str) -> None:
        """Hand in an answer; it is judged by the next check.

        Raises:
            UsageError: the exercise has no such task, or the value is a missing file.
        """
        exercise, _ = self.resume(exercise_id)
        if exercise.task(task_id) is None:
            known = ", ".join(task.id for task in exercise.tasks)
            raise UsageError(f'exercise {exercise_id} has no task "{task_id}"', hint=f"its tasks: {known}")
        self.workbench.answer(exercise, task_id, read_value(value))

    def resume(self, exercise_id: str) -> tuple[Exercise, AttemptRecord]:
        """The exercise as drawn, and the attempt that is under way.

        Raises:
            UsageError: it has not been started on this cluster.
        """
        exercise, record = self.workbench.resume(self.course.exercise_file(exercise_id))
        self._note_attempt(exercise, record)
        return exercise, record

    def _note_attempt(self, exercise: Exercise, record: AttemptRecord) -> None:
        """An attempt may have been started from another machine: this one's file learns of it now."""
        self.progress.open_attempt(exercise.id, exercise.version, record.round, record.variables, record.attempt)


def open_session(
    course: Course, provider: Provider, on_progress: Callable[[str], None] = lambda stage: None
) -> Session:
    """A session on the provider's cluster, recorded in this user's progress file.

    Raises:
        LabError: there is no such cluster now.
    """
    kubeconfig, context = provider.locate()
    progress = Progress(lab=provider.name, course=lambda: course.reference)
    return Session(course, Cluster(kubeconfig, context), progress, on_progress, provider.lacking)


def read_value(value: str) -> str:
    """``@FILE`` means the file's content.

    Raises:
        UsageError: the file cannot be read.
    """
    if not value.startswith("@"):
        return value
    try:
        return Path(value[1:]).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{value[1:]} cannot be read: {error}", hint="answer EXERCISE/TASK VALUE or @FILE") from error
