"""JSON patch (RFC 6902), with the strictness of the library that the upstream API server uses.

Like that library, negative array indices count from the end, and a ``test`` for null passes where nothing is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from meshlab.minicluster.kubeapi import Obj, StatusError

_MAX_OPERATIONS = 10_000
_OPERATIONS = frozenset({"add", "remove", "replace", "move", "copy", "test"})
_MISSING = object()


class _NotApplicableError(Exception):
    """An operation does not fit the document."""


def json_patch(obj: Obj, operations: Sequence[Any]) -> Obj:
    """Apply a list of operations, all or none.

    Raises:
        StatusError: 400 for a malformed patch, 413 for too long a one, 422 if an operation (a ``test`` above all) does
            not hold; upstream says no more about the latter than the text given here.
    """
    if not isinstance(operations, list | tuple):
        raise StatusError(400, "BadRequest", "json: cannot unmarshal object into Go value of type jsonpatch.Patch")
    if len(operations) > _MAX_OPERATIONS:
        raise StatusError(
            413,
            "RequestEntityTooLarge",
            f"The allowed maximum operations in a JSON patch is {_MAX_OPERATIONS}, got {len(operations)}",
        )
    document: Any = obj
    try:
        for operation in operations:
            document = _apply(document, operation)
    except _NotApplicableError:
        raise StatusError(422, "Invalid", "the server rejected our request due to an error in our request") from None
    if not isinstance(document, dict):
        raise StatusError(400, "BadRequest", "the patched document is not an object")
    return document


def _apply(document: Any, operation: Any) -> Any:
    if not isinstance(operation, dict):
        raise StatusError(400, "BadRequest", "json: cannot unmarshal into Go value of type jsonpatch.Operation")
    kind, path = operation.get("op"), operation.get("path")
    if kind not in _OPERATIONS or not isinstance(path, str):
        raise _NotApplicableError
    steps = _steps(path)
    match kind:
        case "add":
            return _edit(document, steps, "add", _value(operation))
        case "replace":
            return _edit(document, steps, "replace", _value(operation))
        case "remove":
            return _edit(document, steps, "remove", None)
        case "test":
            if not _same(_get(document, steps, missing=None), operation.get("value")):
                raise _NotApplicableError
            return document
    source = operation.get("from")
    if not isinstance(source, str):
        raise _NotApplicableError
    value = _get(document, _steps(source))
    if kind == "move":
        document = _edit(document, _steps(source), "remove", None)
    return _edit(document, steps, "add", value)


def _value(operation: Obj) -> Any:
    if "value" not in operation:
        raise _NotApplicableError
    return operation["value"]


def _steps(pointer: str) -> list[str]:
    """The steps of a JSON pointer (RFC 6901)."""
    if pointer and not pointer.startswith("/"):
        raise _NotApplicableError
    return [step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/")[1:]]


def _index(step: str, length: int) -> int:
    """An index in ``0..length-1``; negative ones count from the end."""
    try:
        index = int(step)
    except ValueError:
        raise _NotApplicableError from None
    if index < 0:
        index += length
    if not 0 <= index < length:
        raise _NotApplicableError
    return index


def _get(document: Any, steps: Sequence[str], *, missing: Any = _MISSING) -> Any:
    node = document
    for position, step in enumerate(steps):
        if isinstance(node, dict):
            if step not in node:
                # Only the last step may be absent, and only where the caller has a default for it.
                if missing is _MISSING or position < len(steps) - 1:
                    raise _NotApplicableError
                return missing
            node = node[step]
        elif isinstance(node, list):
            node = node[_index(step, len(node))]
        else:
            raise _NotApplicableError
    return node


def _edit(node: Any, steps: Sequence[str], action: str, value: Any) -> Any:
    """A copy of ``node`` with the place that ``steps`` name added, replaced or removed."""
    if not steps:
        if action == "remove":
            raise _NotApplicableError
        return value
    step, rest = steps[0], steps[1:]
    if isinstance(node, dict):
        if step not in node and (rest or action != "add"):
            raise _NotApplicableError
        if rest:
            return {**node, step: _edit(node[step], rest, action, value)}
        if action == "remove":
            return {key: item for key, item in node.items() if key != step}
        return {**node, step: value}
    if isinstance(node, list):
        if rest:
            index = _index(step, len(node))
            return [*node[:index], _edit(node[index], rest, action, value), *node[index + 1 :]]
        if action == "add":
            index = len(node) if step == "-" else _index(step, len(node) + 1)
            return [*node[:index], value, *node[index:]]
        index = _index(step, len(node))
        return [*node[:index], *([value] if action == "replace" else []), *node[index + 1 :]]
    raise _NotApplicableError


def _same(left: Any, right: Any) -> bool:
    """JSON equality: unlike in Python, true is not 1."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(_same(left[key], right[key]) for key in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(_same, left, right))
    return bool(left == right)
