"""The JSONPath of printer columns: fields, indices, wildcards and filters, as ``k8s.io/client-go/util/jsonpath``.

Understood are ``.a.b``, ``['a.b']`` (a dot in a name; a backslash before it does as well), ``[0]``, ``[-1]``, ``[*]``,
``.*``, and filters as ``[?(@.type=="Ready")]`` with ``==``, ``!=``, ``<``, ``<=``, ``>``, ``>=`` or a bare path.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import Any

Step = Callable[[Any], Iterator[Any]]

_TOKEN = re.compile(
    r"""
      \.(?P<wild>\*)
    | \.?(?P<field>(?:\\.|[^.\[\]\\*\s])+)
    | \[(?P<index>-?\d+)\]
    | \[(?P<all>\*)\]
    | \[\s*'(?P<quoted>[^']*)'\s*\]
    | \[\s*"(?P<double>[^"]*)"\s*\]
    | \[\?\((?P<filter>.*?)\)\]
    """,
    re.VERBOSE,
)
_FILTER = re.compile(r"\s*@(?P<path>\S*?)\s*(?:(?P<op>==|!=|<=|>=|<|>)\s*(?P<value>.+?))?\s*")
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def find(path: str, value: Any) -> list[Any]:
    """Every value at a path; an empty list if there is none or the path is malformed."""
    steps = _parse(path)
    if steps is None:
        return []
    return _follow(steps, value)


def _follow(steps: Iterable[Step], value: Any) -> list[Any]:
    found = [value]
    for step in steps:
        found = [item for node in found for item in step(node)]
    return found


@lru_cache(maxsize=1024)
def _parse(path: str) -> tuple[Step, ...] | None:
    text = path.strip().removeprefix("{").removesuffix("}").removeprefix("$")
    steps: list[Step] = []
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            return None
        position = match.end()
        step = _step(match)
        if step is None:
            return None
        steps.append(step)
    return tuple(steps)


def _step(match: re.Match[str]) -> Step | None:
    kind = match.lastgroup
    text = match.group(kind) if kind else ""
    match kind:
        case "wild" | "all":
            return _every
        case "index":
            return _at(int(text))
        case "filter":
            return _where(text)
        case "field":
            return _field(re.sub(r"\\(.)", r"\1", text))
        case _:
            return _field(text)


def _field(name: str) -> Step:
    def step(node: Any) -> Iterator[Any]:
        if isinstance(node, dict) and name in node:
            yield node[name]

    return step


def _at(index: int) -> Step:
    def step(node: Any) -> Iterator[Any]:
        if isinstance(node, list) and -len(node) <= index < len(node):
            yield node[index]

    return step


def _every(node: Any) -> Iterator[Any]:
    if isinstance(node, dict):
        yield from node.values()
    elif isinstance(node, list):
        yield from node


def _where(condition: str) -> Step | None:
    match = _FILTER.fullmatch(condition)
    if match is None:
        return None
    steps = _parse(match["path"])
    if steps is None:
        return None
    compare = _COMPARE.get(match["op"] or "")
    wanted = _literal(match["value"]) if match["value"] else None

    def holds(item: Any) -> bool:
        found = _follow(steps, item)
        if compare is None:
            return bool(found)
        try:
            return any(compare(value, wanted) for value in found)
        except TypeError:
            return False

    def step(node: Any) -> Iterator[Any]:
        if isinstance(node, list):
            yield from (item for item in node if holds(item))

    return step


def _literal(text: str) -> Any:
    if text[:1] in {'"', "'"}:
        return text[1:-1]
    if text in {"true", "false"}:
        return text == "true"
    try:
        return int(text) if re.fullmatch(r"-?\d+", text) else float(text)
    except ValueError:
        return text
