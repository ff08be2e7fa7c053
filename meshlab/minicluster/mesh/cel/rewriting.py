"""What an expression asks for and calls, and other expressions in its place."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from itertools import pairwise, zip_longest

from meshlab.minicluster.mesh.cel.syntax import BINARY, LITERALS, RESERVED, Token, fault, tokens

_LOOSE = frozenset(["?", ":", "-", *(sign for level in BINARY[:3] for sign in level)])
"""Operators beside which a ``+`` of texts cannot stand."""


@cache
def calls(expression: str) -> frozenset[str]:
    """The names of the functions and macros that an expression calls."""
    found = tokens(expression)
    return frozenset(
        token.text
        for token, after in pairwise(found)
        if token.kind == "name" and after.text == "(" and token.text not in RESERVED
    )


@cache
def paths(expression: str) -> frozenset[tuple[str, ...]]:
    """The dotted paths of attributes that an expression asks for."""
    found = tokens(expression)
    return frozenset(path for index in range(len(found)) if (path := tuple(_path(found, index))))


def renamed(expression: str, paths: Mapping[str, str]) -> str:
    """The expression with other texts for some attributes.

    Args:
        expression: an expression without faults.
        paths: dotted paths from the root (``destination.port``) -> what stands there instead.
    """
    found = tokens(expression)
    parts: list[str] = []
    position = index = 0
    while index < len(found):
        path = _path(found, index)
        known = next((n for n in range(len(path), 0, -1) if ".".join(path[:n]) in paths), 0)
        if not known:
            index += max(2 * len(path) - 1, 1)
            continue
        last = found[index + 2 * known - 2]
        parts += [expression[position : found[index].start], paths[".".join(path[:known])]]
        position, index = last.start + len(last.text), index + 2 * known - 1
    return "".join([*parts, expression[position:]])


def path(expression: str) -> tuple[str, ...]:
    """The names of an expression that is nothing but a dotted path; empty for any other."""
    found = tokens(expression)
    names = tuple(_path(found, 0)) if found else ()
    return names if len(found) == 2 * len(names) - 1 else ()


def text_parts(expression: str) -> tuple[str, ...]:
    """The expressions whose values, written behind each other, are an expression's value as a text.

    Whoever writes values converts and joins them by doing so; Envoy's own expressions can do neither.
    """
    choice = _split(expression, "?", ":")
    if len(choice) == 3:
        branches = zip_longest(*(map(_closed, text_parts(branch)) for branch in choice[1:]), fillvalue="''")
        return tuple(f"{choice[0]} ? {first} : {second}" for first, second in branches)
    sum_ = _split(expression, "+")
    if len(sum_) > 1 and any(_is_text(part) for part in sum_):
        return tuple(shown for part in sum_ for shown in text_parts(part))
    for function in ("string", ""):
        inner = _argument(expression, function)
        if inner:
            return text_parts(inner)
    return (expression,)


def results(expression: str) -> tuple[str, ...]:
    """The expressions of which some, joined, are the value as a text: what is only looked at is not among them."""
    choice = _split(expression, "?", ":")
    parts = choice[1:] if len(choice) == 3 else text_parts(expression)
    if tuple(parts) == (expression,):
        return (expression,)
    return tuple(result for part in parts for result in results(part))


def with_known(expression: str, known: Mapping[str, bool]) -> str:
    """The expression with ``true`` or ``false`` for ``has()`` of some paths and of what begins with them."""
    found = tokens(expression)
    parts: list[str] = []
    position = 0
    for index, token in enumerate(found[:-2]):
        member = index > 0 and found[index - 1].text == "."
        if member or token.text != "has" or found[index + 1].text != "(":
            continue
        path = _path(found, index + 2)
        end = index + 1 + 2 * len(path)
        answer = next((a for name, a in known.items() if ".".join([*path, ""]).startswith(f"{name}.")), None)
        if answer is not None and end < len(found) and found[end].text == ")":
            parts += [expression[position : token.start], str(answer).lower()]
            position = found[end].start + 1
    return "".join([*parts, expression[position:]])


def _closed(expression: str) -> str:
    """The expression as a branch of a choice."""
    return f"({expression})" if any(token.text == "?" for token in tokens(expression)) else expression


def _is_text(expression: str) -> bool:
    found = tokens(expression)
    return [token.kind for token in found] == ["string"] or bool(_argument(expression, "string"))


def _argument(expression: str, function: str) -> str:
    """What an expression calls a function with, if it is nothing but that call of one argument; else empty."""
    found = tokens(expression)
    begin = [function, "("] if function else ["("]
    if [token.text for token in found[: len(begin)]] != begin or found[-1].text != ")":
        return ""
    inner = expression[found[len(begin) - 1].start + 1 : found[-1].start].strip()
    return inner if not fault(inner) else ""


def _split(expression: str, *marks: str) -> list[str]:
    """The parts around operators outside of all brackets, in their order; one part if a looser operator is there."""
    parts: list[str] = []
    position = depth = 0
    wanted = list(marks)
    for token in tokens(expression):
        if token.kind == "mark":
            depth += (token.text in "([{") - (token.text in ")]}")
        if depth or token.kind == "string":
            continue
        if token.text in marks and (len(marks) == 1 or (wanted and token.text == wanted[0])):
            wanted = wanted[1:]
            parts.append(expression[position : token.start].strip())
            position = token.start + 1
        elif token.text in _LOOSE and len(marks) == 1:
            return [expression]
    return [*parts, expression[position:].strip()]


def _path(found: tuple[Token, ...], index: int) -> list[str]:
    """The dotted path that begins at a token; none for a name that is a member or a function."""
    if found[index].kind != "name" or found[index].text in LITERALS or (index and found[index - 1].text == "."):
        return []
    names = [found[index].text]
    index += 1
    while index + 1 < len(found) and found[index].text == "." and found[index + 1].kind == "name":
        names.append(found[index + 1].text)
        index += 2
    if index < len(found) and found[index].text == "(":
        names.pop()
    return names
