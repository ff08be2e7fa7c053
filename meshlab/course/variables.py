"""Variables of an exercise: drawn once per attempt from a seed, and put into texts by plain replacement.

``{{name}}`` and ``{{ns.ROLE}}`` are replaced in the *text* before any YAML is parsed; there are no expressions.
``{{{{`` is a literal ``{{``. An unknown name is an error, so that a typo cannot reach a learner.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence

from meshlab.errors import CourseError

_UNIT_SEPARATOR = "\x1f"
_PLACEHOLDER = re.compile(r"\{\{\{\{|\{\{\s*([A-Za-z_][\w.-]*)\s*\}\}")


def draw(
    choices: Mapping[str, Sequence[str]], *, key: bytes, learner: str, exercise: str, version: int, round_: int
) -> dict[str, str]:
    """Draw every variable: HMAC-SHA256 of who and what, first 8 bytes, modulo the number of choices."""
    drawn = {}
    for name, options in choices.items():
        message = _UNIT_SEPARATOR.join([learner, exercise, str(version), str(round_), name])
        digest = hmac.new(key, message.encode(), hashlib.sha256).digest()
        drawn[name] = options[int.from_bytes(digest[:8], "big") % len(options)]
    return drawn


def render(text: str, values: Mapping[str, str], *, where: str) -> str:
    """Replace the placeholders of a text.

    Raises:
        CourseError: a placeholder names nothing.
    """

    def replacement(match: re.Match[str]) -> str:
        name = match[1]
        if name is None:
            return "{{"
        if name not in values:
            line = text.count("\n", 0, match.start()) + 1
            known = ", ".join(sorted(values)) or "none"
            raise CourseError(f"{where}:{line}: {{{{{name}}}}} is not a variable", hint=f"known are: {known}")
        return values[name]

    return _PLACEHOLDER.sub(replacement, text)


def values_for_lesson(drawn: Mapping[str, tuple[Mapping[str, str], Mapping[str, str]]]) -> dict[str, str]:
    """What placeholders of a lesson may name.

    Args:
        drawn: variables and namespaces of each of its exercises, by id, in the lesson's order.

    Returns:
        ``{{EXERCISE.name}}`` for every value, and ``{{name}}`` for that of the first exercise that has one.
    """
    values: dict[str, str] = {}
    for identifier, (variables, namespaces) in drawn.items():
        for name, value in values_for(variables, namespaces).items():
            values.setdefault(name, value)
            values[f"{identifier}.{name}"] = value
    return values


def values_for(variables: Mapping[str, str], namespaces: Mapping[str, str]) -> dict[str, str]:
    """What placeholders may name: the variables, and the namespaces as ``ns.ROLE``."""
    return dict(variables) | {f"ns.{role}": name for role, name in namespaces.items()}
