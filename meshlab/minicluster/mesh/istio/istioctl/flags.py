"""Argument parsing as upstream's commands do it: ``--flag=false`` for booleans, usage errors with exit code 64."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from typing import Any, NoReturn

from meshlab.minicluster.mesh.istio.istioctl.errors import EXIT_USAGE, CommandError

GLOBAL_VALUE_FLAGS = ("-c", "--kubeconfig", "--context", "-n", "--namespace", "-i", "--istioNamespace")
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


class CommandParser(argparse.ArgumentParser):
    """A parser of one command; knows the global flags and Go's form of boolean flags."""

    def __init__(self, command: str, description: str) -> None:
        super().__init__(
            prog=f"istioctl {command}",
            description=description,
            allow_abbrev=False,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        self._booleans: set[str] = set()
        group = self.add_argument_group("global flags")
        group.add_argument("-c", "--kubeconfig", default="", help="Kubernetes configuration file")
        group.add_argument("--context", default="", help="Kubernetes configuration context")
        group.add_argument("-n", "--namespace", default="", help="Kubernetes namespace")
        group.add_argument("-i", "--istioNamespace", default="istio-system", help="Istio system namespace")
        group.add_argument("--vklog", default="", help=argparse.SUPPRESS)

    def add_boolean(self, *names: str, default: bool = False, help: str = "") -> None:
        """A flag that stands alone or as ``--flag=true|false``."""
        self._booleans.update(names)
        self.add_argument(*names, type=_boolean, default=default, metavar="BOOL", help=help)

    def parse(self, arguments: Sequence[str]) -> argparse.Namespace:
        """Parse what follows the command's name.

        Raises:
            CommandError: with exit code 64.
        """
        # Flags may stand anywhere, between two arguments as well.
        return self.parse_intermixed_args([f"{word}=true" if word in self._booleans else word for word in arguments])

    def error(self, message: str) -> NoReturn:
        raise CommandError(message, hint=f"See '{self.prog} --help' for usage.", exit_code=EXIT_USAGE)


def only_subcommand(argv: Sequence[str], group: str, name: str) -> list[str]:
    """What follows the one sub-command that a group has; ``--help`` of the group is that of the sub-command.

    Raises:
        CommandError: with exit code 64, for any other word.
    """
    command, *rest = argv or [""]
    if command in ("-h", "--help"):
        return [command]
    if command != name:
        raise CommandError(
            f'unknown command "{command}" for "istioctl {group}"',
            hint=f"there is  istioctl {group} {name}",
            exit_code=EXIT_USAGE,
        )
    return rest


def _boolean(text: str) -> bool:
    if text.lower() in ("true", "t", "1"):
        return True
    if text.lower() in ("false", "f", "0"):
        return False
    raise argparse.ArgumentTypeError(f'"{text}" is neither true nor false')


def duration(text: str) -> float:
    """Seconds of a Go duration: ``5m0s``, ``300ms``."""
    parts = _DURATION.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise argparse.ArgumentTypeError(f'"{text}" is not a duration like 30s or 5m')
    return sum(float(number) * _SECONDS[unit] for number, unit in parts)


def output_format(choices: Sequence[str]) -> dict[str, Any]:
    """Keyword arguments of an ``-o`` flag."""
    return {"default": "", "metavar": "|".join(choices), "choices": ["", *choices], "dest": "output"}
