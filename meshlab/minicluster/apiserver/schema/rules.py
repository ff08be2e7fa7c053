"""The CEL rules of custom resources (``x-kubernetes-validations``), judged as apiextensions-apiserver judges them.

A schema's rules are gathered once into a tree that holds only the nodes that have some; an object is then walked along
it. An old object takes part in two ways: rules that name ``oldSelf`` are for changes only, and what was wrong before
and has not changed is let through ("ratcheting").
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from meshlab.minicluster.apiserver.schema.cel import CelError, expression
from meshlab.minicluster.apiserver.statuses import Problem, duplicate, forbidden_field, invalid_value, required
from meshlab.minicluster.kubeapi import Obj

Schema = Mapping[str, Any]

_ABSENT = object()
_BLOCKING = frozenset(
    ["FieldValueNotSupported", "FieldValueRequired", "FieldValueTooLong", "FieldValueTooMany", "FieldValueTypeInvalid"]
)
_NOT_CHECKED = Problem(
    "FieldValueInvalid",
    "<nil>",
    'Invalid value: "null": some validation rules were not checked because the object was invalid; '
    "correct the existing errors to complete validation",
)
_ESCAPES = {"__": "__underscores__", ".": "__dot__", "-": "__dash__", "/": "__slash__"}
_SPELLED = re.compile(r"__|[.\-/]")
_RESERVED = frozenset(
    [
        *("true", "false", "null", "in", "as", "break", "const", "continue", "else", "for", "function", "if"),
        *("import", "let", "loop", "package", "namespace", "return"),
    ]
)


@dataclass(slots=True)
class RuleTree:
    """The rules at one node of a schema and below it."""

    schema: Schema
    rules: Sequence[Mapping[str, Any]] = ()
    properties: dict[str, RuleTree] = field(default_factory=dict)
    additional: RuleTree | None = None
    items: RuleTree | None = None


def rule_tree(schema: Schema) -> RuleTree | None:
    """The rules of a schema; None if it has none anywhere."""
    properties = {
        key: tree for key, child in (schema.get("properties") or {}).items() if (tree := rule_tree(child)) is not None
    }
    additional, items = schema.get("additionalProperties"), schema.get("items")
    tree = RuleTree(
        schema=schema,
        rules=schema.get("x-kubernetes-validations") or (),
        properties=properties,
        additional=rule_tree(additional) if isinstance(additional, Mapping) else None,
        items=rule_tree(items) if isinstance(items, Mapping) else None,
    )
    return tree if tree.rules or properties or tree.additional or tree.items else None


def not_checked(problems: Sequence[Problem]) -> list[Problem]:
    """The note upstream adds where findings of the schema keep the rules from being judged; else nothing."""
    return [_NOT_CHECKED] if any(problem.reason in _BLOCKING for problem in problems) else []


def rule_problems(tree: RuleTree | None, obj: Obj, old: Obj | None = None) -> list[Problem]:
    """Every rule that an object breaks.

    Args:
        tree: the rules of its schema.
        obj: the object, already valid by the rest of the schema.
        old: what it replaces, if anything.
    """
    return [] if tree is None else list(_node(tree, obj, _ABSENT if old is None else old, ""))


def _node(tree: RuleTree, value: Any, old: Any, path: str) -> Iterator[Problem]:
    if value is None and tree.schema.get("nullable"):
        return
    if tree.rules:
        bound: dict[str, Any] = {"self": to_cel(tree.schema, value)}
        if old is not _ABSENT:
            bound["oldSelf"] = to_cel(tree.schema, old)
        unchanged = old is not _ABSENT and old == value
        for rule in tree.rules:
            yield from _judge(rule, bound, tree.schema, value, path, unchanged=unchanged)
    if isinstance(value, dict):
        before = old if isinstance(old, dict) else {}
        for key, item in value.items():
            child = tree.properties.get(key, tree.additional)
            if child is not None:
                yield from _node(child, item, before.get(key, _ABSENT), _child(path, key, tree))
    elif isinstance(value, list) and tree.items is not None:
        for index, item in enumerate(value):
            yield from _node(tree.items, item, _counterpart(tree.schema, item, old), f"{path}[{index}]")


def _child(path: str, key: str, tree: RuleTree) -> str:
    if key not in tree.properties:
        return f"{path}[{key}]"
    return f"{path}.{key}" if path else key


def _counterpart(schema: Schema, item: Any, old: Any) -> Any:
    """The old item with the same keys; only lists that are maps can tell."""
    keys = schema.get("x-kubernetes-list-map-keys")
    if not keys or not isinstance(old, list) or not isinstance(item, dict):
        return _ABSENT
    wanted = [item.get(key) for key in keys]
    return next((one for one in old if isinstance(one, dict) and [one.get(key) for key in keys] == wanted), _ABSENT)


def _judge(
    rule: Mapping[str, Any], bound: Mapping[str, Any], schema: Schema, value: Any, path: str, *, unchanged: bool
) -> Iterator[Problem]:
    message = str(rule.get("message") or "").strip()
    named = message or str(rule["rule"]).strip()
    try:
        compiled = expression(rule["rule"])
        transition = "oldSelf" in compiled.names
        if (transition and "oldSelf" not in bound) or compiled.evaluate(bound) is True:
            return
    except CelError as error:
        detail = f"{error} evaluating rule: {named}"
        if str(error) == "no such overload":
            detail = (
                f"'{error}': call arguments did not match a supported operator, function or macro signature "
                f"for rule: {named}"
            )
        yield Problem("FieldValueInvalid", path, f'Invalid value: "{schema.get("type", "")}": {detail}')
        return
    if unchanged and not transition:
        return
    detail = message or f"failed rule: {named}"
    if rule.get("messageExpression"):
        detail = _message(rule["messageExpression"], bound) or detail
    where = (path + str(rule.get("fieldPath") or "")).removeprefix(".")
    yield _problem(where, value, detail, str(rule.get("reason") or ""))


def _message(source: str, bound: Mapping[str, Any]) -> str:
    """What a message expression says; nothing where it fails, says nothing, or is not one line of text."""
    try:
        said = expression(source).evaluate(bound)
    except CelError:
        return ""
    return said.strip() if isinstance(said, str) and "\n" not in said else ""


def _problem(path: str, value: Any, detail: str, reason: str) -> Problem:
    if reason == "FieldValueForbidden":
        return forbidden_field(path, detail)
    if reason == "FieldValueRequired":
        return required(path, detail)
    # Since Kubernetes 1.35 a plain value is shown as it is, and of an object or a list not even the type.
    plain = not isinstance(value, dict | list)
    if reason == "FieldValueDuplicate":
        return duplicate(path, value) if plain else Problem(reason, path, "Duplicate value")
    return (
        invalid_value(path, value, detail) if plain else Problem("FieldValueInvalid", path, f"Invalid value: {detail}")
    )


# Values


def to_cel(schema: Schema, value: Any) -> Any:
    """A JSON value as a rule sees it: numbers of the schema's type, fields under names that CEL can spell."""
    if isinstance(value, dict):
        properties = schema.get("properties") or {}
        additional = schema.get("additionalProperties")
        rest: Schema = additional if isinstance(additional, Mapping) else {}
        return {
            escaped(key) if key in properties else key: to_cel(properties.get(key, rest), item)
            for key, item in value.items()
            if item is not None
        }
    if isinstance(value, list):
        items = schema.get("items")
        inner: Schema = items if isinstance(items, Mapping) else {}
        return [to_cel(inner, item) for item in value]
    if schema.get("type") == "number" and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    return value


def escaped(name: str) -> str:
    """The name of a field as rules write it: ``x-y`` is ``x__dash__y``, a word of the language ``__word__``."""
    if name in _RESERVED:
        return f"__{name}__"
    return _SPELLED.sub(lambda found: _ESCAPES[found[0]], name)
