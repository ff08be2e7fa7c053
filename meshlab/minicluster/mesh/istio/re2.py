"""Regular expressions as RE2 takes them, and Go's words for those that it does not.

istiod compiles every expression with Go's ``regexp`` before Envoy sees it. Python's ``re`` reads nearly the same
language, so it does the parsing here; what only one of the two knows is sorted out before and after.
"""

from __future__ import annotations

import re

MAXIMUM_REPEAT = 1000

_ONLY_RE2 = re.compile(r"\\[pPzQC]|\[\[:|\(\?[a-zA-Z]*U")
"""What RE2 knows and Python does not; such an expression is left to Envoy."""
_GROUP = re.compile(r"\(\?(?:P?<(?P<name>[^>]*)>|(?P<flags>[imsU]*-?[imsU]*)[:)])")
_REPEAT = re.compile(r"\{(\d+)(?:,(\d*))?\}")
_TWICE = re.compile(r"(?:[*+?]|\{\d+(?:,\d*)?\})(?:\+|\?[*+?])")
"""Repetition of a repetition, which Perl calls possessive."""
_ESCAPES = frozenset("afnrtvxdDsSwWbBAzQECpP0")
_REASONS = {
    "unterminated character set": "missing closing ]",
    "missing ), unterminated subpattern": "missing closing )",
    "unbalanced parenthesis": "unexpected )",
    "nothing to repeat": "missing argument to repetition operator",
    "multiple repeat": "invalid nested repetition operator",
    "bad escape (end of pattern)": "trailing backslash at end of expression",
}


def regex_error(pattern: str) -> str:
    """Why Go would not compile the expression (``error parsing regexp: ...``); empty if it would."""
    reason = _unsupported(pattern) or ("" if _ONLY_RE2.search(pattern) else _malformed(pattern))
    return f"error parsing regexp: {reason}" if reason else ""


def _unsupported(pattern: str) -> str:
    """Perl's syntax that RE2 leaves out: assertions, back references, atomic and possessive repetition."""
    in_class = False
    position = 0
    while position < len(pattern):
        rest = pattern[position:]
        step = 1
        if rest.startswith("\\Q"):
            end = rest.find("\\E")
            step = len(rest) if end < 0 else end + 2
        elif rest[0] == "\\" and len(rest) > 1:
            if rest[1].isalnum() and rest[1].isascii() and rest[1] not in _ESCAPES:
                return f"invalid escape sequence: `{rest[:2]}`"
            step = 2
        elif in_class:
            in_class = rest[0] != "]"
        elif rest[0] == "[":
            in_class = True
            step = 2 if rest.startswith("[^") else 1
            # A closing bracket that comes first is one of the characters.
            step += rest.startswith("]", step)
        elif problem := _group_problem(rest) or _repeat_problem(rest):
            return problem
        position += step
    return ""


def _group_problem(rest: str) -> str:
    if not rest.startswith("(?"):
        return ""
    group = _GROUP.match(rest)
    if group is None:
        named = rest.startswith(("(?<", "(?P<"))
        return f"invalid named capture: `{rest}`" if named else f"invalid or unsupported Perl syntax: `{rest[:3]}`"
    if group["name"] is not None and re.fullmatch(r"\w+", group["name"]) is None:
        return f"invalid named capture: `{rest[: rest.index('>') + 1]}`"
    return ""


def _repeat_problem(rest: str) -> str:
    if repeat := _REPEAT.match(rest):
        bounds = [int(bound) for bound in repeat.groups() if bound]
        if max(bounds) > MAXIMUM_REPEAT or bounds != sorted(bounds):
            return f"invalid repeat count: `{repeat.group()}`"
    if twice := _TWICE.match(rest):
        return f"invalid nested repetition operator: `{twice.group()}`"
    return ""


def _malformed(pattern: str) -> str:
    try:
        re.compile(re.sub(r"\(\?<(?![=!])", "(?P<", pattern))
    except re.error as error:
        return _reason(error, pattern)
    except (OverflowError, RecursionError):
        return "expression nests too deeply"
    return ""


def _reason(error: re.error, pattern: str) -> str:
    """Python's finding in Go's words, with the part of the expression that Go shows."""
    where = error.pos or 0
    if error.msg.startswith("bad character range "):
        return f"invalid character class range: `{error.msg.removeprefix('bad character range ')}`"
    words = _REASONS.get(error.msg, error.msg)
    shown = {
        "missing closing ]": pattern[where:],
        "missing closing )": pattern,
        "unexpected )": pattern,
        "missing argument to repetition operator": pattern[where : where + 1],
        "invalid nested repetition operator": pattern[max(where - 1, 0) : where + 1],
        "trailing backslash at end of expression": "",
    }.get(words, pattern)
    return f"{words}: `{shown}`"
