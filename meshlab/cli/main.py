"""``meshlab``: parses the command line, runs one command, and draws every error alike.

Start-up is kept light: a group's module only declares its arguments, and what a command needs (the Kubernetes client,
the course loader) is imported when it runs. Standard output is for output; diagnostics go to standard error.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from meshlab.cli.selection import Selection
from meshlab.errors import MeshlabError

if TYPE_CHECKING:
    import argparse

EXIT_INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the result is the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    # The course alone needs no parser, and opens the sooner for it.
    arguments = _parse(words) if words else Selection()
    try:
        if isinstance(arguments, Selection) or arguments.command is None:
            from meshlab.cli.screen import run_screen

            return run_screen(arguments)
        return int(arguments.run(arguments) or 0)
    except MeshlabError as error:
        print_error(error, as_json=getattr(arguments, "output", None) == "json")
        return error.exit_code
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader (head, less) went away; Python would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _parse(words: Sequence[str]) -> argparse.Namespace:
    from meshlab.cli.lab import split_passthrough
    from meshlab.cli.parser import build_parser

    head, passed_on = split_passthrough(words)
    arguments = build_parser().parse_args(head)
    for name in Selection.NAMES:
        if not hasattr(arguments, name):
            setattr(arguments, name, None)
    arguments.passed_on = passed_on
    return arguments


def print_error(error: MeshlabError, *, as_json: bool) -> None:
    """Draw an error: an object on standard output for ``-o json``, else three lines on standard error."""
    if as_json:
        print(json.dumps(error.to_json(), indent=2))
        return
    print(f"{error.title}: {error.message}", file=sys.stderr)
    if error.hint:
        print(f"  -> {error.hint}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
