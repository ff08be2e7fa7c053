"""How a command ends: upstream's exit codes, and the one exception that carries a message for the person."""

from __future__ import annotations

EXIT_ERROR = 1
EXIT_USAGE = 64
EXIT_DATA = 65
EXIT_ANALYZERS = 79
"""Analyzers found issues at or above ``--failure-threshold``."""


class CommandError(Exception):
    """The command cannot go on; ``message`` is printed after ``Error: `` and ``hint`` below it."""

    def __init__(self, message: str, *, hint: str = "", exit_code: int = EXIT_ERROR) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.exit_code = exit_code


class LackingError(CommandError):
    """Upstream's istioctl can do this and the lab's cannot; on a cluster that is no lab, the other one may."""
