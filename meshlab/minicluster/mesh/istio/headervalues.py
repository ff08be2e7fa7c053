"""Values of headers that a route adds: Envoy's format language, parsed as strictly as Envoy parses it.

``%VARIABLE%`` and ``%VARIABLE(argument)%`` are replaced at request time, ``%%`` is a per cent sign. The states are
those of Envoy's header parser, which istiod repeats so that no proxy refuses what was admitted.
"""

from __future__ import annotations

import re

_FORBIDDEN = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_PREFIX = "header value configuration: invalid header configuration. "


def header_value_error(value: str) -> str:
    """Why a header cannot have that value; empty if it can."""
    if _FORBIDDEN.search(value):
        return f"header value configuration {value} is invalid"
    problem = _format_problem(value)
    return _PREFIX + problem if problem else ""


def _format_problem(value: str) -> str:
    state = "literal"
    position = 0
    while position < len(value):
        character = value[position]
        following = value[position + 1 : position + 2]
        if state == "literal":
            if character == "%":
                if not following:
                    return "Un-escaped %"
                if following == "%":
                    position += 1
                else:
                    state = "name"
        elif state == "string" and character == "\\":
            if not following:
                return "Un-terminated backslash in JSON string"
            position += 1
        else:
            state, problem = _next_state(state, character)
            if problem:
                return problem
        position += 1
    return "" if state == "literal" else f"Un-terminated variable expression '{value}'"


_TRANSITIONS: dict[str, tuple[dict[str, str], str, str]] = {
    "name": ({"%": "literal", "(": "array"}, "name", ""),
    "array": ({"[": "element", " ": "array"}, "string", ""),
    "element": ({'"': "string", " ": "element"}, "", "Expecting '\"'"),
    "string": ({")": "end", '"': "delimiter"}, "string", ""),
    "delimiter": ({",": "element", "]": "close", " ": "delimiter"}, "", "Expecting ',', ']', or whitespace"),
    "close": ({")": "end", " ": "close"}, "", "Expecting ')' or whitespace after '{}', but found '{}'"),
    "end": ({"%": "literal", " ": "end"}, "", "Expecting '%' or whitespace after"),
}
"""state -> (character -> next state), the next state for any other, or what is wrong with any other."""


def _next_state(state: str, character: str) -> tuple[str, str]:
    known, other, problem = _TRANSITIONS[state]
    following = known.get(character, other)
    return following, "" if following else problem
