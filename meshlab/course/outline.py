"""The course as one learner sees it: which lessons and exercises there are, how far each is, and what comes next.

Pure: a `Course` and what the progress file says go in, frozen values come out. Screens and the command line draw them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from meshlab.course.catalogue import Course
from meshlab.course.model import Lesson, Scope
from meshlab.course.progress import Progress
from meshlab.course.projection import ExerciseRecord, LessonRecord, Place, Projection
from meshlab.errors import UsageError

ExerciseState = Literal["new", "started", "done", "changed"]
"""``changed``: it was done, and the last check found something undone again."""
LessonState = Literal["new", "opened", "read"]
"""``read``: every step was seen."""


@dataclass(frozen=True, slots=True)
class ExerciseEntry:
    """One exercise and how far it is."""

    id: str
    title: str
    minutes: int
    points: Decimal
    earned: Decimal
    scope: Scope
    state: ExerciseState
    checks: int
    hints: int


@dataclass(frozen=True, slots=True)
class LessonEntry:
    """One lesson and how far it is read."""

    id: str
    title: str
    minutes: int
    state: LessonState
    steps: tuple[tuple[str, str, bool], ...]
    """Id, title, and whether it was seen."""
    exercises: tuple[ExerciseEntry, ...]
    quiz: tuple[int, int]
    """How many questions are answered right, the last answer counting, and how many there are."""


@dataclass(frozen=True, slots=True)
class NextStep:
    """What to do next: read a step of a lesson, work on an exercise, or nothing (both are empty then)."""

    sentence: str
    lesson: str = ""
    step: str = ""
    exercise: str = ""


@dataclass(frozen=True, slots=True)
class Outline:
    """The whole course for one learner."""

    lessons: tuple[LessonEntry, ...]
    others: tuple[ExerciseEntry, ...]
    """Exercises that no lesson names."""
    points_earned: Decimal
    points_possible: Decimal
    here: Place
    """Where the learner was last."""

    @property
    def exercises(self) -> Iterator[ExerciseEntry]:
        """Every exercise once, in the order of the lessons."""
        seen: set[str] = set()
        for entry in (*(exercise for lesson in self.lessons for exercise in lesson.exercises), *self.others):
            if entry.id not in seen:
                seen.add(entry.id)
                yield entry

    def next(self) -> NextStep:
        """What the learner should do next.

        An exercise that is under way where they were last comes first. Then, from that lesson onwards and at last from
        the beginning: the first step not yet seen, then the first exercise not yet done.
        """
        for entry in self.exercises:
            if entry.id == self.here.exercise and entry.state in ("new", "started"):
                within = next((each.id for each in self.lessons if entry in each.exercises), "")
                verb = "Go on with" if entry.state == "started" else "Start"
                return NextStep(f"{verb} the exercise: {entry.title}", lesson=within, exercise=entry.id)
        ids = [lesson.id for lesson in self.lessons]
        first = ids.index(self.here.lesson) if self.here.lesson in ids else 0
        for lesson in self.lessons[first:] + self.lessons[:first]:
            found = _open_in(lesson)
            if found:
                return found
        for entry in self.others:
            if entry.state in ("new", "started"):
                return NextStep(f"Do the exercise: {entry.title}", exercise=entry.id)
        if not self.lessons and not self.others:
            return NextStep("This course is empty")
        return NextStep("All lessons are read and all exercises done")


def outline(course: Course, progress: Progress) -> Outline:
    """The course, with how far the learner is.

    Raises:
        CourseError: a file of the course is malformed.
        LabError: the progress file cannot be read.
    """
    known = progress.projection()
    entries = {identifier: _exercise(course, identifier, known) for identifier in course.exercise_files}
    lessons = tuple(_lesson(lesson, known, entries) for lesson in course.lessons.values())
    named = {entry.id for lesson in lessons for entry in lesson.exercises}
    return Outline(
        lessons=lessons,
        others=tuple(entry for entry in entries.values() if entry.id not in named),
        points_earned=sum((entry.earned for entry in entries.values()), Decimal(0)),
        points_possible=sum((entry.points for entry in entries.values()), Decimal(0)),
        here=place_today(course, known.here),
    )


def lesson_record(lesson: Lesson, known: Projection) -> LessonRecord:
    """What happened in a lesson, under its id and those that it had before."""
    records = [known.lessons[name] for name in (lesson.id, *lesson.aliases) if name in known.lessons]
    if len(records) == 1:
        return records[0]
    merged = LessonRecord(lesson.id, "", "")
    for record in sorted(records, key=lambda each: each.opened_at):
        merged.opened_at = merged.opened_at or record.opened_at
        merged.last_at = max(merged.last_at, record.last_at)
        merged.seen = record.seen | merged.seen
        merged.ran = {block: merged.ran.get(block, 0) + record.ran.get(block, 0) for block in merged.ran | record.ran}
        merged.predictions = record.predictions | merged.predictions
        for block, answers in record.quiz.items():
            merged.quiz[block] = [*merged.quiz.get(block, []), *answers]
    return merged


def _exercise(course: Course, identifier: str, known: Projection) -> ExerciseEntry:
    exercise = course.sample(identifier)
    record = known.exercises.get(identifier) or ExerciseRecord(identifier)
    state: ExerciseState = "new"
    if record.done:
        state = "changed" if record.changed_since else "done"
    elif record.attempts or record.checks:
        state = "started"
    best = exercise.possible if record.done else min(Decimal(str(record.earned)), exercise.possible)
    return ExerciseEntry(
        id=identifier,
        title=exercise.title,
        minutes=exercise.minutes,
        points=exercise.possible,
        earned=best,
        scope=exercise.scope,
        state=state,
        checks=record.checks,
        hints=record.hints,
    )


def _lesson(lesson: Lesson, known: Projection, entries: dict[str, ExerciseEntry]) -> LessonEntry:
    record = lesson_record(lesson, known)
    steps = tuple((step.id, step.title, step.id in record.seen) for step in lesson.steps)
    state: LessonState = "new"
    if all(seen for _, _, seen in steps):
        state = "read"
    elif record.opened_at:
        state = "opened"
    questions = [block.id for block in lesson.blocks if block.role == "quiz"]
    right = sum(bool(record.quiz[block][-1]["right"]) for block in questions if block in record.quiz)
    return LessonEntry(
        id=lesson.id,
        title=lesson.title,
        minutes=lesson.minutes,
        state=state,
        steps=steps,
        exercises=tuple(entries[name] for name in lesson.exercises if name in entries),
        quiz=(right, len(questions)),
    )


def place_today(course: Course, here: Place) -> Place:
    """A place under today's ids; an exercise stands in its lesson, whatever was read before."""
    if here.exercise and here.exercise in course.exercise_files:
        within = course.sample(here.exercise).lesson
        return Place(within if within in course.lesson_files else "", here.exercise)
    try:
        return Place(course.lesson(here.lesson).id) if here.lesson else Place()
    except UsageError:
        return Place()


def _open_in(lesson: LessonEntry) -> NextStep | None:
    for step, title, seen in lesson.steps:
        if not seen:
            verb = "Read" if lesson.state == "new" else "Go on reading"
            return NextStep(f"{verb} {lesson.title}: {title}", lesson=lesson.id, step=step)
    for entry in lesson.exercises:
        if entry.state in ("new", "started"):
            return NextStep(f"Do the exercise: {entry.title}", lesson=lesson.id, exercise=entry.id)
    return None
