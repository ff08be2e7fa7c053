"""The one exception tree of meshlab, drawn here so that every caller can see it at once.

    MeshlabError                 anything a person should read; never a traceback
      UsageError                 the command line or an id is wrong (exit code 2)
        UnknownExercise
        LabAlreadyRunning
      LabError                   the lab or the cluster failed (exit code 3)
        LabNotRunning
        ClusterUnreachable
      CourseError                a lesson or exercise file is malformed (exit code 2)

The terminal prints ``title``, ``message`` and ``hint`` on stderr, the TUI draws the same three in a panel,
and ``-o json`` prints them as an object.
"""

from __future__ import annotations


class MeshlabError(Exception):
    """Something went wrong that the person at the keyboard can understand and act on.

    Args:
        message: what happened, naming the object, file or address concerned.
        title: a short headline; the class name's words by default.
        hint: what to do next, as a sentence or a command; empty if there is nothing to say.
    """

    title = "Error"
    exit_code = 1

    def __init__(self, message: str, *, title: str | None = None, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        if title is not None:
            self.title = title
        self.hint = hint

    def to_json(self) -> dict[str, str | int]:
        """The error as ``-o json`` prints it."""
        return {
            "error": type(self).__name__,
            "title": self.title,
            "message": self.message,
            "hint": self.hint,
            "exitCode": self.exit_code,
        }


class UsageError(MeshlabError):
    """The command line names something that does not exist or does not fit."""

    title = "Wrong usage"
    exit_code = 2


class UnknownExercise(UsageError):
    """No exercise of the course has that id."""

    title = "Unknown exercise"


class LabError(MeshlabError):
    """The lab or the cluster failed; the person's answer is not the cause."""

    title = "The lab failed"
    exit_code = 3


class LabAlreadyRunning(UsageError):
    """A lab of that name is up already."""

    title = "The lab is already running"


class LabNotRunning(LabError):
    """No lab of that name is up."""

    title = "The lab is not running"


class ClusterUnreachable(LabError):
    """The kubeconfig points at a cluster that does not answer."""

    title = "The cluster cannot be reached"


class CourseError(MeshlabError):
    """A file of the course is malformed; the message names file, line and key."""

    title = "The course is malformed"
    exit_code = 2
