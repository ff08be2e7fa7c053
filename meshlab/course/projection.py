"""What the events say: the state of each exercise and lesson, folded out of the event table one event at a time.

A projection never looks back, so that new events cost nothing but themselves: the `Progress` that owns one feeds it
only what came since. Nothing here is stored; another policy is another fold over the same events.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import orjson

IDLE_MS = 5 * 60 * 1000
"""A gap between two events that is longer does not count as active time."""


@dataclass(slots=True)
class ExerciseRecord:
    """All that happened to one exercise, over all attempts."""

    exercise: str
    attempts: int = 0
    checks: int = 0
    hints: int = 0
    helps: int = 0
    resets: int = 0
    solution_seen: bool = False
    done: bool = False
    changed_since: bool = False
    first_done_at: str | None = None
    last_at: str = ""
    active_ms: int = 0
    last_moment: tuple[str, int] = ("", 0)
    earned: float = 0.0
    """The most that one check of all tasks earned."""
    tasks: dict[str, dict[str, str]] = field(default_factory=dict)
    """The last verdict and code of each task."""

    def to_json(self) -> dict[str, Any]:
        """The record as ``progress -o json`` prints it."""
        return {
            "exercise": self.exercise,
            "attempts": self.attempts,
            "checks": self.checks,
            "hints": self.hints,
            "helps": self.helps,
            "resets": self.resets,
            "solution_seen": self.solution_seen,
            "done": self.done,
            "changed_since": self.changed_since,
            "first_done_at": self.first_done_at,
            "last_at": self.last_at,
            "active_s": self.active_ms // 1000,
            "earned": self.earned,
            "tasks": self.tasks,
        }


@dataclass(slots=True)
class LessonRecord:
    """All that happened in one lesson."""

    lesson: str
    opened_at: str
    last_at: str
    seen: dict[str, str] = field(default_factory=dict)
    """When each step was seen first."""
    ran: dict[str, int] = field(default_factory=dict)
    """How often each block was run."""
    predictions: dict[str, str] = field(default_factory=dict)
    """The first choice at each question; later ones do not count."""
    quiz: dict[str, list[Mapping[str, Any]]] = field(default_factory=dict)
    """Per question what was answered, in order: ``{answer, right}``."""


@dataclass(frozen=True, slots=True)
class Place:
    """A lesson, or one of its exercises; an exercise may stand in no lesson."""

    lesson: str = ""
    exercise: str = ""


class Projection:
    """The fold. `seq` and `last_id` name the newest event in it."""

    def __init__(self) -> None:
        self.seq = 0
        self.last_id = ""
        self.exercises: dict[str, ExerciseRecord] = {}
        self.lessons: dict[str, LessonRecord] = {}
        self.here = Place()
        """Where the learner was last."""

    def apply(self, row: tuple[Any, ...]) -> None:
        """Fold one event in.

        Args:
            row: ``seq, id, at, mono_ms, boot, kind, exercise, task, data``, as the event table holds them.
        """
        self.seq, self.last_id, at, mono_ms, boot, kind, exercise, task, data = row
        if exercise:
            record = self.exercises.get(exercise)
            if record is None:
                record = self.exercises[exercise] = ExerciseRecord(exercise)
            record.last_at = at
            record.active_ms += active_ms((record.last_moment, (boot, mono_ms)))
            record.last_moment = (boot, mono_ms)
            if self.here.exercise != exercise:
                self.here = Place(self.here.lesson, exercise)
            if kind in _ON_EXERCISES:
                _ON_EXERCISES[kind](record, at, task, data)
        elif kind in _ON_LESSONS:
            values = orjson.loads(data)
            name = values["lesson"]
            lesson = self.lessons.get(name)
            if lesson is None:
                lesson = self.lessons[name] = LessonRecord(name, at, at)
            lesson.last_at = at
            place = (name, values.get("exercise", ""))
            if place != (self.here.lesson, self.here.exercise):
                self.here = Place(*place)
            _ON_LESSONS[kind](lesson, at, values)


def active_ms(moments: Sequence[tuple[str, int]]) -> int:
    """Active time: the gaps between events (boot, milliseconds), leaving out those too long to be work."""
    total = 0
    for (last_boot, last_ms), (boot, mono_ms) in pairwise(moments):
        if last_boot == boot and 0 <= mono_ms - last_ms < IDLE_MS:
            total += mono_ms - last_ms
    return total


def _started(record: ExerciseRecord, at: str, task: str, data: str) -> None:
    record.attempts += 1


def _hinted(record: ExerciseRecord, at: str, task: str, data: str) -> None:
    record.hints += 1


def _asked(record: ExerciseRecord, at: str, task: str, data: str) -> None:
    record.helps += 1


def _reset(record: ExerciseRecord, at: str, task: str, data: str) -> None:
    record.resets += 1


def _solved(record: ExerciseRecord, at: str, task: str, data: str) -> None:
    record.solution_seen = True


def _checked(record: ExerciseRecord, at: str, task: str, data: str) -> None:
    values = orjson.loads(data)
    verdicts = values["verdicts"]
    record.checks += 1
    # A check of one task says nothing of the others.
    record.tasks = record.tasks | verdicts if task else verdicts
    if not task:
        record.earned = max(record.earned, values.get("earned", 0.0))
    if values["done"]:
        record.done = True
        record.first_done_at = record.first_done_at or at
    holds = all(verdict["verdict"] == "PASS" for verdict in verdicts.values())
    if not holds or not task:
        record.changed_since = record.done and not holds


def _opened(lesson: LessonRecord, at: str, values: dict[str, Any]) -> None:
    """Nothing beside what every event of a lesson does."""


def _seen(lesson: LessonRecord, at: str, values: dict[str, Any]) -> None:
    lesson.seen.setdefault(values["step"], at)


def _ran(lesson: LessonRecord, at: str, values: dict[str, Any]) -> None:
    lesson.ran[values["block"]] = lesson.ran.get(values["block"], 0) + 1


def _predicted(lesson: LessonRecord, at: str, values: dict[str, Any]) -> None:
    lesson.predictions.setdefault(values["block"], values["choice"])


def _answered(lesson: LessonRecord, at: str, values: dict[str, Any]) -> None:
    lesson.quiz.setdefault(values["block"], []).append(values)


_ON_EXERCISES: dict[str, Callable[[ExerciseRecord, str, str, str], None]] = {
    "exercise.started": _started,
    "hint.taken": _hinted,
    "help.asked": _asked,
    "exercise.reset": _reset,
    "solution.shown": _solved,
    "check.ran": _checked,
}
_ON_LESSONS: dict[str, Callable[[LessonRecord, str, dict[str, Any]], None]] = {
    "lesson.opened": _opened,
    "step.seen": _seen,
    "block.run": _ran,
    "predict.answered": _predicted,
    "quiz.answered": _answered,
}
