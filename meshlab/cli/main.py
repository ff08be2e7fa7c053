"""``meshlab``: parses the command line, runs one command, and draws every error alike.

Start-up is kept light: a group's module only declares its arguments, and what a command needs (the Kubernetes client,
the course loader) is imported when it runs. Standard output is for output; diagnostics go to standard error.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from meshlab import __version__
from meshlab.cli import course, doctor, exercises, lab, lessons, record
from meshlab.errors import MeshlabError

EXIT_USAGE = 2
EXIT_INTERRUPTED = 130

_DESCRIPTION = """Learn service meshes by running one.

The course runs on an embedded lab (meshlab up) or on any cluster (--kubeconfig FILE)."""

_EPILOG = """exit codes of checking commands: 0 all pass, 1 some task fails, 2 usage, 3 the lab or cluster failed,
4 not decided in time"""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(EXIT_USAGE, f"{self.prog}: {message}\nTry '{self.prog} --help'.\n")


def build_parser() -> argparse.ArgumentParser:
    """The whole command line."""
    common = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    group = common.add_argument_group("which cluster, which course")
    group.add_argument("--kubeconfig", metavar="FILE", help="use this cluster instead of the embedded lab")
    group.add_argument("--context", metavar="NAME", help="a context of that kubeconfig (default: its current one)")
    group.add_argument("--course", metavar="DIR", help="another course of the same shape (its checks are trusted code)")
    group.add_argument("--lab", metavar="NAME", help="which embedded lab (default: default)")
    parser = _Parser(
        prog="meshlab",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        parents=[common],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"meshlab {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", dest="command", parser_class=_Parser)
    for module in (lab, doctor, lessons, exercises, record, course):
        module.register(commands, common)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the result is the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    head, passed_on = lab.split_passthrough(words)
    parser = build_parser()
    arguments = parser.parse_args(head)
    for name in ("kubeconfig", "context", "course", "lab"):
        if not hasattr(arguments, name):
            setattr(arguments, name, None)
    arguments.passed_on = passed_on
    try:
        if arguments.command is None:
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
