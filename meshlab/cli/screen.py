"""``meshlab`` alone: the course on a screen."""

from __future__ import annotations

import gc
import shlex
import sys
from typing import TYPE_CHECKING

from meshlab.cli.lab import lab_of, provider_of
from meshlab.cli.readahead import read_ahead
from meshlab.errors import UsageError
from meshlab.labs import DEFAULT_LAB

if TYPE_CHECKING:
    import argparse

    from meshlab.cli.selection import Selection


def run_screen(arguments: Selection | argparse.Namespace) -> int:
    """Open the course.

    Raises:
        UsageError: there is no terminal to draw on.
    """
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError("the course needs a terminal", hint="in a script use the commands that meshlab --help lists")
    # What start-up makes is there to stay; looking for garbage in it is a sixth of the time until the first frame.
    # The app begins to look once that is painted.
    gc.disable()
    read_ahead(("textual", "rich", "meshlab.course", "meshlab.tui", "markdown_it", "yaml"))
    from meshlab.cluster import tools
    from meshlab.course.catalogue import find_course
    from meshlab.tui import app

    lab, provider = lab_of(arguments), provider_of(arguments)

    def variables() -> tools.Variables:
        kubeconfig, context = provider.locate()
        return tools.shell_variables(kubeconfig, context, lab)

    return app.run(
        find_course(arguments.course), provider, variables=variables, shell_command=_shell_command(arguments)
    )


def _shell_command(arguments: Selection | argparse.Namespace) -> str:
    """How to open a shell on the same cluster in another terminal."""
    words = ["meshlab"]
    for option in ("kubeconfig", "context", "lab"):
        value = getattr(arguments, option)
        if value and not (option == "lab" and value == DEFAULT_LAB):
            words += [f"--{option}", value]
    return shlex.join([*words, "shell"])
