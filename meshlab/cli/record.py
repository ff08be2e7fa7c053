"""What is recorded of a learner: shown, exported, erased."""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING, Any

from meshlab.cli.console import adder, confirm, course_of, progress_of, say
from meshlab.errors import UsageError

if TYPE_CHECKING:
    from meshlab.cli.console import Commands
    from meshlab.course.catalogue import Course
    from meshlab.course.outline import Outline
    from meshlab.course.progress import Progress

_EXERCISE_STATES = {"new": "not started", "started": "started", "done": "done", "changed": "done, and since changed"}
_LESSON_STATES = {"new": "not opened", "opened": "opened", "read": "read"}


def register(commands: Commands, common: argparse.ArgumentParser) -> None:
    """Declare this group's commands."""
    add = adder(commands, common)
    add("progress", "what was done so far", run_progress, output=("text", "json"))
    data = commands.add_parser("data", parents=[common], help="what is recorded of you: where it is, export, erase")
    verbs = adder(data.add_subparsers(metavar="VERB", required=True), common)
    verbs("path", "print where the record is", run_path)
    verbs("export", "print every event, one JSON object per line", run_export)
    erase = verbs("erase", "delete everything that is recorded", run_erase)
    erase.add_argument("-y", "--yes", action="store_true", help="do not ask")


def run_progress(arguments: argparse.Namespace) -> int:
    """Print what was done so far."""
    from meshlab.course.outline import outline

    course = course_of(arguments)
    with progress_of(arguments) as progress:
        current = outline(course, progress)
        broken = progress.verify()
        if arguments.output == "json":
            print(json.dumps(_progress_json(course, progress, current, intact=broken is None), indent=2))
            return 0
    if broken is not None:
        say(f"the record was changed by hand: event {broken} does not continue the ones before it")
    lessons = [lesson for lesson in current.lessons if lesson.state != "new"]
    exercises = [entry for entry in current.exercises if entry.state != "new"]
    if not lessons and not exercises:
        print("nothing was started yet; meshlab next says where to begin")
        return 0
    for lesson in lessons:
        seen = sum(done for _, _, done in lesson.steps)
        questions = f", {lesson.quiz[0]} of {lesson.quiz[1]} questions right" if lesson.quiz[1] else ""
        state = _LESSON_STATES[lesson.state]
        print(f"lesson   {lesson.id:<20} {state:<24} {seen} of {len(lesson.steps)} steps{questions}")
    for entry in exercises:
        state = _EXERCISE_STATES[entry.state]
        print(f"exercise {entry.id:<20} {state:<24} {entry.checks} checks, {entry.hints} hints")
    print(f"{current.points_earned.normalize():f} of {current.points_possible.normalize():f} points")
    return 0


def run_path(arguments: argparse.Namespace) -> int:
    """Print where the record is."""
    with progress_of(arguments) as progress:
        print(progress.path)
    return 0


def run_export(arguments: argparse.Namespace) -> int:
    """Print every event, oldest first."""
    with progress_of(arguments) as progress:
        for line in progress.export():
            print(line)
    return 0


def run_erase(arguments: argparse.Namespace) -> int:
    """Delete the record; a script has to say --yes."""
    with progress_of(arguments) as progress:
        if not arguments.yes and not sys.stdin.isatty():
            raise UsageError("nothing was erased", title="Not confirmed", hint="--yes does not ask")
        confirm(arguments, f"Erase all {len(progress.events())} events in {progress.path} for good?")
        progress.erase()
        print(f"{progress.path} is empty")
    return 0


def _progress_json(course: Course, progress: Progress, current: Outline, *, intact: bool) -> dict[str, Any]:
    from meshlab.course.outline import lesson_record

    known = progress.projection()
    lessons = []
    for entry in current.lessons:
        record = lesson_record(course.lessons[entry.id], known)
        if entry.state == "new":
            continue
        lessons.append(
            {
                "lesson": entry.id,
                "state": entry.state,
                "opened_at": record.opened_at,
                "last_at": record.last_at,
                "steps": [{"step": step, "seen_at": record.seen.get(step)} for step, _, _ in entry.steps],
                "predictions": record.predictions,
                "quiz": {"right": entry.quiz[0], "asked": entry.quiz[1]},
            }
        )
    return {
        "learner": progress.learner,
        "intact": intact,
        "points": {"earned": float(current.points_earned), "possible": float(current.points_possible)},
        "lessons": lessons,
        "exercises": progress.summary(),
    }
