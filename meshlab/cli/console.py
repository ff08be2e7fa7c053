"""What every command of the course shares: which course and which record, questions to a person, a line of progress."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from meshlab.errors import UsageError

if TYPE_CHECKING:
    import argparse

    from meshlab.course.catalogue import Course
    from meshlab.course.progress import Progress
    from meshlab.course.reading import Reading
    from meshlab.grading.session import Session

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

AddCommand = Callable[..., "argparse.ArgumentParser"]


def adder(commands: Commands, common: argparse.ArgumentParser) -> AddCommand:
    """How a group declares one command: ``add(name, text, run, output=("text", "json"))``."""

    def add(name: str, text: str, run: Any, *, output: tuple[str, ...] = ()) -> argparse.ArgumentParser:
        parser = commands.add_parser(name, parents=[common], help=text, description=text)
        if output:
            parser.add_argument("-o", "--output", choices=output, default=output[0])
        parser.set_defaults(run=run)
        return parser

    return add


def course_of(arguments: argparse.Namespace) -> Course:
    """The course that the command line names."""
    from meshlab.course.catalogue import find_course

    return find_course(arguments.course)


def session_of(arguments: argparse.Namespace) -> Session:
    """This user at work on the cluster that the command line names."""
    from meshlab.cli.lab import provider_of
    from meshlab.grading.session import open_session

    course = course_of(arguments)
    exercise = getattr(arguments, "exercise", "").partition("/")[0]
    if exercise:
        # A mistyped id must not cost a connection first.
        course.exercise_file(exercise)
    return open_session(course, provider_of(arguments), progress_line)


@contextlib.contextmanager
def progress_of(arguments: argparse.Namespace, course: Callable[[], str] = str) -> Iterator[Progress]:
    """This user's record, for the lab that the command line names."""
    from meshlab.cli.lab import lab_of
    from meshlab.course.progress import Progress

    progress = Progress(lab="kubeconfig" if arguments.kubeconfig else lab_of(arguments).name, course=course)
    try:
        yield progress
    finally:
        progress.close()


@contextlib.contextmanager
def reading_of(arguments: argparse.Namespace) -> Iterator[Reading]:
    """This user, reading the course that the command line names."""
    from meshlab.course.reading import Reading

    course = course_of(arguments)
    with progress_of(arguments, lambda: course.reference) as progress:
        yield Reading(course, progress)


def given(value: str) -> str:
    """A value of the command line: ``@FILE`` means the file's content, ``-`` what comes on standard input.

    Raises:
        UsageError: the file cannot be read.
    """
    if value == "-":
        return sys.stdin.read()
    if not value.startswith("@"):
        return value
    try:
        return Path(value[1:]).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{value[1:]} cannot be read: {error}", hint="write TEXT, @FILE or -") from error


def confirm(arguments: argparse.Namespace, question: str) -> None:
    """Ask a person; a script (no terminal) has said what it wants already."""
    if arguments.yes or not sys.stdin.isatty():
        return
    print(f"{question} (y/N) ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise UsageError("nothing was changed", title="Not confirmed", hint="--yes does not ask")


def say(text: str) -> None:
    """Tell a person something that is not the command's output."""
    print(text, file=sys.stderr)


def progress_line(text: str) -> None:
    """Show what is being done, in one line that the next one replaces."""
    if sys.stderr.isatty():
        print(f"\r\x1b[2K  {text}", end="\r", file=sys.stderr, flush=True)


@contextlib.contextmanager
def progress_line_cleared() -> Iterator[None]:
    """Leave no rest of a progress line under what is printed next, be it a result or an error."""
    try:
        yield
    finally:
        if sys.stderr.isatty():
            print("\r\x1b[2K", end="", file=sys.stderr, flush=True)
