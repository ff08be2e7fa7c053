"""Command lines as Go's ``flag`` package reads them: ``-name value``, ``--name=value``, booleans without a value."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_DURATION = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)")
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


class FlagError(Exception):
    """The command line is wrong; the message is the package's own. ``help`` is set for ``-h``."""

    def __init__(self, message: str, *, help_wanted: bool = False) -> None:
        super().__init__(message)
        self.help_wanted = help_wanted


@dataclass(frozen=True, slots=True)
class Flag:
    """One flag."""

    usage: str
    default: str | int | bool | float = ""
    kind: str = "string"
    """``string``, ``int``, ``bool`` or ``duration`` (seconds)."""


def parse_flags(
    flags: Mapping[str, Flag], arguments: Sequence[str]
) -> tuple[dict[str, str | int | bool | float], list[str]]:
    """The value of every flag, and what is left of the command line.

    Raises:
        FlagError: an unknown flag, a missing or a malformed value.
    """
    values = {name: flag.default for name, flag in flags.items()}
    rest = list(arguments)
    while rest and rest[0].startswith("-") and rest[0] != "-":
        argument = rest.pop(0)
        if argument == "--":
            break
        name, equals, text = argument[2 if argument.startswith("--") else 1 :].partition("=")
        if not name or name.startswith(("-", "=")):
            raise FlagError(f"bad flag syntax: {argument}")
        flag = flags.get(name)
        if flag is None:
            if name in {"h", "help"}:
                raise FlagError("flag: help requested", help_wanted=True)
            raise FlagError(f"flag provided but not defined: -{name}")
        if not equals:
            if flag.kind == "bool":
                text = "true"
            elif rest:
                text = rest.pop(0)
            else:
                raise FlagError(f"flag needs an argument: -{name}")
        values[name] = _value(name, flag.kind, text)
    return values, rest


def _value(name: str, kind: str, text: str) -> str | int | bool | float:
    try:
        match kind:
            case "int":
                return int(text, 0)
            case "bool":
                return {"1": True, "t": True, "true": True, "0": False, "f": False, "false": False}[text.lower()]
            case "duration":
                return parse_duration(text)
    except (ValueError, KeyError):
        adjective = "boolean value" if kind == "bool" else "value"
        raise FlagError(f'invalid {adjective} "{text}" for flag -{name}: parse error') from None
    return text


def parse_duration(text: str) -> float:
    """Seconds of a Go duration such as ``1m30s`` or ``250ms``.

    Raises:
        ValueError: it is none.
    """
    if text in {"0", "+0", "-0"}:
        return 0.0
    sign = -1.0 if text.startswith("-") else 1.0
    body = text[1:] if text.startswith(("+", "-")) else text
    matches = _DURATION.findall(body)
    if not matches or "".join(number + unit for number, unit in matches) != body:
        raise ValueError(f'time: invalid duration "{text}"')
    return sign * sum(float(number) * _UNITS[unit] for number, unit in matches)


def usage(program: str, flags: Mapping[str, Flag]) -> str:
    """What the package prints for ``-h`` and after an error."""
    lines = [f"Usage of {program}:"]
    for name, flag in sorted(flags.items()):
        kind = "" if flag.kind == "bool" else f" {flag.kind}"
        default = ""
        if flag.default not in ("", False, 0):
            default = f' (default "{flag.default}")' if flag.kind == "string" else f" (default {flag.default})"
        lines += [f"  -{name}{kind}", f"    \t{flag.usage}{default}"]
    return "\n".join(lines) + "\n"
