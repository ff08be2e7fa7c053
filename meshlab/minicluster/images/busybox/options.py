"""Short options as getopt reads them: grouped, with values attached or apart."""

from __future__ import annotations

import getopt
from collections.abc import Sequence


class UsageError(Exception):
    """The command line is wrong; the message is the program's."""


def parse(
    program: str, arguments: Sequence[str], short: str, long: Sequence[str] = ()
) -> tuple[dict[str, list[str]], list[str]]:
    """Options by name, each with all its values, and the operands; options may follow operands.

    Raises:
        UsageError: an unknown option, or one without its value.
    """
    try:
        found, operands = getopt.gnu_getopt(list(arguments), short, list(long))
    except getopt.GetoptError as error:
        what = "unrecognized option" if "not recognized" in error.msg else "option requires an argument --"
        raise UsageError(f"{program}: {what}: {error.opt}") from None
    options: dict[str, list[str]] = {}
    for name, value in found:
        options.setdefault(name.lstrip("-"), []).append(value)
    return options, operands
