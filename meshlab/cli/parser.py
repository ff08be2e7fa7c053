"""The whole command line as a parser; each group's module declares its own commands."""

from __future__ import annotations

import argparse
import sys
from typing import NoReturn

from meshlab import __version__
from meshlab.cli import course, doctor, exercises, lab, lessons, record

EXIT_USAGE = 2

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
