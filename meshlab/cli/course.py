"""``meshlab course``: for authors. Begin a course, a lesson or an exercise; examine the files; prove the exercises."""

from __future__ import annotations

import argparse
import signal
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from meshlab.cli.console import course_of

if TYPE_CHECKING:
    from meshlab.cli.console import Commands
    from meshlab.course.catalogue import Course


def register(commands: Commands, common: argparse.ArgumentParser) -> None:
    """Declare this group's commands."""
    course = commands.add_parser("course", parents=[common], help="for authors: begin, lint and test a course")
    verbs = course.add_subparsers(metavar="VERB", required=True)
    lint = verbs.add_parser("lint", parents=[common], help="examine the course's files")
    lint.set_defaults(run=run_lint)
    new = verbs.add_parser("new", parents=[common], help="begin a course, a lesson or an exercise; overwrites nothing")
    whats = new.add_subparsers(metavar="WHAT", required=True)
    whole = whats.add_parser("course", parents=[common], help="a whole course that lints and passes its tests")
    whole.add_argument("directory", metavar="DIR")
    whole.set_defaults(run=run_new_course)
    lesson = whats.add_parser("lesson", parents=[common], help="a lesson of this course (of . or --course DIR)")
    lesson.add_argument("id", metavar="ID")
    lesson.set_defaults(run=run_new_lesson)
    exercise = whats.add_parser("exercise", parents=[common], help="an exercise of this course (of . or --course DIR)")
    exercise.add_argument("id", metavar="ID")
    exercise.add_argument("--lesson", metavar="LESSON", help="the lesson that it belongs to (default: the last one)")
    exercise.set_defaults(run=run_new_exercise)
    test = verbs.add_parser("test", parents=[common], help="prove every exercise on a throw-away lab")
    test.add_argument("exercises", nargs="*", metavar="EXERCISE")
    test.add_argument("--jobs", type=int, default=1, metavar="N", help="how many labs at once")
    test.add_argument("--times", type=int, default=1, metavar="N", help="repeat, to find flakes")
    test.set_defaults(run=run_test)


def run_lint(arguments: argparse.Namespace) -> int:
    """Examine the course's files; exit code 1 if something is wrong."""
    from meshlab.grading.lint import lint_course

    findings = lint_course(course_of(arguments))
    for finding in findings:
        print(finding)
    if not findings:
        print("the course is well-formed")
    return 1 if findings else 0


def run_test(arguments: argparse.Namespace) -> int:
    """Prove exercises on throw-away labs; exit code 1 if one fails, 3 if a lab does."""
    from meshlab.cluster.providers.throwaway import ThrowawayLabs
    from meshlab.grading.coursetest import run_course_tests

    course = course_of(arguments)
    for exercise_id in arguments.exercises:
        course.exercise_file(exercise_id)
    # A lab outlives its starter, so being terminated must take the way on which it is taken away.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda received, _: sys.exit(128 + received))
    with ThrowawayLabs() as labs:
        return run_course_tests(
            course,
            arguments.exercises,
            jobs=arguments.jobs,
            times=arguments.times,
            open_lab=labs.open,
            say=partial(print, flush=True),
        )


def run_new_course(arguments: argparse.Namespace) -> int:
    """Begin a course in a directory of its own."""
    from meshlab.course import scaffold

    directory = Path(arguments.directory).expanduser()
    _made(scaffold.new_course(directory))
    print(
        f"\nExamine it: meshlab --course {directory} course lint\nProve it:   meshlab --course {directory} course test"
    )
    return 0


def run_new_lesson(arguments: argparse.Namespace) -> int:
    """Begin a lesson, after the last one."""
    from meshlab.course import scaffold

    _made(scaffold.new_lesson(_own_course(arguments), arguments.id))
    return 0


def run_new_exercise(arguments: argparse.Namespace) -> int:
    """Begin an exercise; its lesson has to name it, which is the author's to write."""
    from meshlab.course import scaffold

    course = _own_course(arguments)
    lesson = scaffold.lesson_for(course, arguments.lesson)
    _made(scaffold.new_exercise(course, arguments.id, lesson))
    print(f"\nNow {lesson.path} has to name it:\n  exercises: [{', '.join([*lesson.exercises, arguments.id])}]")
    print(f"and show it where learners should do it:\n  ```yaml exercise id={arguments.id}\n  ```")
    return 0


def _own_course(arguments: argparse.Namespace) -> Course:
    """The course to write into: never the one that is shipped, unless somebody names it."""
    from meshlab.course.catalogue import find_course

    return find_course(arguments.course or ".")


def _made(paths: list[Path]) -> None:
    for path in paths:
        print(f"made {path}")
