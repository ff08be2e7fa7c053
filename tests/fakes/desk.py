"""A desk without a cluster: reading is real, acting is scripted, and the live check says what a test wants."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar, cast

from meshlab.cluster.mesh import MeshInfo
from meshlab.course.catalogue import Course
from meshlab.course.exercises import load
from meshlab.course.model import Exercise
from meshlab.course.progress import Progress
from meshlab.course.reading import Reading
from meshlab.errors import MeshlabError
from meshlab.grading.attempt import AttemptRecord
from meshlab.grading.live import LiveCheck, LiveStatus, TaskStatus
from meshlab.grading.scripts import File
from meshlab.grading.session import Hint, Session
from meshlab.grading.verdicts import Verdict
from meshlab.tui.desk import Desk

T = TypeVar("T")


class ScriptedCheck:
    """In place of the live check: reports when a test says so."""

    def __init__(self, exercise: Exercise, record: AttemptRecord, report: Callable[[LiveStatus], None]) -> None:
        self.status = LiveStatus(
            exercise=exercise,
            record=record,
            tasks=tuple(TaskStatus(task, None, Decimal(0), False, False, None, 0.0) for task in exercise.tasks),
            done=False,
            earned=Decimal(0),
            possible=exercise.possible,
            debrief=(),
            error=None,
            looking=False,
        )
        self.nudges: list[str] = []
        self.stopped = False
        self._report = report

    def start(self) -> None:
        self._report(self.status)

    def nudge(self, reason: str = "") -> None:
        self.nudges.append(reason)

    def stop(self, timeout_s: float = 2) -> None:
        self.stopped = True

    def say(self, verdicts: dict[str, Verdict], *, pending_s: float | None = None) -> None:
        """Report verdicts by task; done is when all pass."""
        tasks = tuple(
            replace(
                entry,
                verdict=verdicts.get(entry.task.id, entry.verdict),
                pending_s=pending_s if entry.task.id in verdicts else None,
            )
            for entry in self.status.tasks
        )
        done = all(entry.verdict is not None and entry.verdict.outcome == "PASS" for entry in tasks)
        earned = sum(
            (entry.task.points for entry in tasks if entry.verdict and entry.verdict.outcome == "PASS"), Decimal(0)
        )
        debrief = (self.status.exercise.debrief,) if done and self.status.exercise else ()
        self.status = replace(self.status, tasks=tasks, done=done, earned=earned, debrief=debrief, error=None)
        self._report(self.status)

    def fail(self, error: MeshlabError | None) -> None:
        """Report that the cluster does not answer, or does again."""
        self.status = replace(self.status, error=error)
        self._report(self.status)


@dataclass
class ScriptedSession:
    """In place of a session; what is asked of it is kept in ``calls``."""

    course: Course
    progress: Progress
    calls: list[str] = field(default_factory=list)
    records: dict[str, AttemptRecord] = field(default_factory=dict)
    failure: MeshlabError | None = None
    """Raised by the next call."""
    has_tried: bool = False

    @property
    def workbench(self) -> ScriptedSession:
        return self

    def record(self, source: Any) -> AttemptRecord | None:
        return self.records.get(source.id)

    def prepare(self, exercise_id: str, provider: Any, say: Callable[[str], None]) -> None:
        self._note(f"prepare {exercise_id}")
        say("installing a mesh")

    def start(self, exercise_id: str) -> None:
        self._note(f"start {exercise_id}")
        self.records[exercise_id] = AttemptRecord(
            "a-1", exercise_id, 1, 1, "r-1", {"name": "ada"}, {"app": "mesh-tour"}, "2026-11-25T10:00:00.000Z"
        )
        self.progress.append("exercise.started", attempt="a-1", exercise=exercise_id, version=1, round=1, vars={})

    def hint(self, exercise_id: str, task_id: str | None) -> Hint:
        self._note(f"hint {exercise_id}/{task_id}")
        exercise = self.course.sample(exercise_id)
        task = exercise.task(task_id or "") or exercise.tasks[1]
        tier = min(self.progress.hints_taken("a-1", task.id) + 1, len(task.hints))
        self.progress.append("hint.taken", attempt="a-1", exercise=exercise_id, task=task.id, tier=tier)
        return Hint(task, tier, len(task.hints), task.hints[tier - 1])

    def answer(self, exercise_id: str, task: str, value: str) -> None:
        self._note(f"answer {exercise_id}/{task} {value}")

    def tried(self, exercise_id: str) -> bool:
        return self.has_tried

    def solution(self, exercise_id: str) -> Sequence[File]:
        self._note(f"solution {exercise_id}")
        return [File("solution/all.sh", "kubectl apply -f thing.yaml\n"), File("solution/thing.yaml", "kind: Thing\n")]

    def apply_solution(self, exercise_id: str) -> str:
        self._note(f"apply {exercise_id}")
        return ""

    def to_be_deleted(self, exercise_id: str) -> list[str]:
        return ["virtualservices mesh-tour/mine"]

    def reset(self, exercise_id: str) -> None:
        self._note(f"reset {exercise_id}")

    def _note(self, call: str) -> None:
        if self.failure is not None:
            failure, self.failure = self.failure, None
            raise failure
        self.calls.append(call)


class ScriptedProvider:
    """Names a lab that does not exist."""

    name = "default"


class ScriptedDesk(Desk):
    """A desk for one test.

    Args:
        course: the course.
        home: where the progress file lies.
        is_up: whether the lab comes up at once; else it waits for `let_up`.
    """

    def __init__(self, course: Course, home: Path, *, mesh: MeshInfo | None = None) -> None:
        super().__init__(course, cast(Any, ScriptedProvider()), lambda text: None)
        self._home = home
        self.session = ScriptedSession(course, self.open_progress())
        self.checks: list[ScriptedCheck] = []
        self.mesh_info = mesh
        self.bring_up_failure: MeshlabError | None = None
        self.brought_up = 0

    def open_progress(self) -> Progress:
        """The progress file, for the calling thread."""
        return Progress(self._home / "progress.db", lab="default", course=lambda: self.course.reference)

    @property
    def check(self) -> ScriptedCheck:
        """The live check that was asked for last."""
        return self.checks[-1]

    async def bring_up(self) -> None:
        self.brought_up += 1
        if self.bring_up_failure is not None:
            raise self.bring_up_failure

    async def act(self, call: Callable[[Session], T]) -> T:
        return call(cast(Session, self.session))

    async def mesh(self) -> MeshInfo | None:
        return self.mesh_info

    def live_check(self, exercise_id: str, report: Callable[[LiveStatus], None]) -> LiveCheck:
        record = self.session.records[exercise_id]
        exercise = load(self.course.exercise_file(exercise_id), record.variables, record.namespaces)
        self.checks.append(ScriptedCheck(exercise, record, report))
        return cast(LiveCheck, self.checks[-1])

    async def close(self) -> None:
        await super().close()
        self.session.progress.close()

    def _open_reading(self) -> Reading:
        if self._reading is None:
            self._reading = Reading(self.course, self.open_progress())
        return self._reading

    def _close_session(self) -> None:
        """There is none of its own."""
