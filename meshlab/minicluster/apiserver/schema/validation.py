"""Validation against a schema, with the findings of upstream's validator.

Wordings follow ``k8s.io/kube-openapi/pkg/validation`` and the conversion of its results in apiextensions-apiserver;
list-type checks follow ``structural-schema/listtype``. Rules in CEL are judged afterwards (`rules`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any

import orjson

from meshlab.minicluster.apiserver.go_values import go_float
from meshlab.minicluster.apiserver.schema.formats import FORMATS
from meshlab.minicluster.apiserver.statuses import Problem, duplicate, not_supported, required
from meshlab.minicluster.kubeapi import Obj

Schema = Mapping[str, Any]


def validate(schema: Schema, obj: Obj) -> list[Problem]:
    """Everything in which the object does not meet the schema; unknown fields are not among it (see `prune`)."""
    return list(_value(schema, obj, ""))


def _value(schema: Schema, value: Any, path: str) -> Iterator[Problem]:
    if value is None and schema.get("nullable"):
        return
    wrong = _type_problem(schema, value, path)
    if wrong is not None:
        yield wrong
        return
    if isinstance(value, str):
        yield from _string(schema, value, path)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield from _number(schema, value, path)
    elif isinstance(value, list):
        yield from _array(schema, value, path)
    elif isinstance(value, dict):
        yield from _object(schema, value, path)
    allowed = schema.get("enum")
    if allowed is not None and not any(value == item and type(value) is type(item) for item in allowed):
        yield not_supported(path, value, [item if isinstance(item, str) else _json(item) for item in allowed])
    yield from _combinations(schema, value, path)


# Types


def _type_problem(schema: Schema, value: Any, path: str) -> Problem | None:
    found = _type_name(value)
    if schema.get("x-kubernetes-int-or-string"):
        wanted = "integer,string"
        fits = found in {"integer", "string"}
    else:
        wanted = schema.get("type", "")
        fits = not wanted or found == wanted or (wanted == "number" and found == "integer")
    if value is None and not wanted:
        return None
    if fits:
        return None
    detail = f'{path} in body must be of type {wanted}: "{found}"'
    return Problem("FieldValueTypeInvalid", path, f'Invalid value: "{found}": {detail}')


def _type_name(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int():
            return "integer"
        case float():
            return "integer" if value.is_integer() else "number"
        case str():
            return "string"
        case list():
            return "array"
        case _:
            return "object"


# One value


def _string(schema: Schema, value: str, path: str) -> Iterator[Problem]:
    if len(value) < schema.get("minLength", 0):
        yield _invalid(path, value, f"should be at least {schema['minLength']} chars long")
    if "maxLength" in schema and len(value) > schema["maxLength"]:
        yield Problem("FieldValueTooLong", path, f"Too long: may not be more than {schema['maxLength']} bytes")
    pattern = schema.get("pattern")
    if pattern and not _compiled(pattern)(value):
        yield _invalid(path, value, f"should match '{pattern}'")
    name = schema.get("format", "")
    check = FORMATS.get(name)
    if check is not None and not check(value) and not schema.get("x-kubernetes-int-or-string"):
        detail = f"{path} in body must be of type {name}: {_json(value)}"
        yield Problem("FieldValueTypeInvalid", path, f"Invalid value: {_json(value)}: {detail}")


@cache
def _compiled(pattern: str) -> Callable[[str], object]:
    # Go's \z is Python's \Z, and Go's $ does not match before a final newline.
    translated = re.sub(r"(?<!\\)\$", r"\\Z", pattern.replace(r"\z", r"\Z"))
    try:
        return re.compile(translated).search
    except re.error:
        return lambda _: True


def _number(schema: Schema, value: float, path: str) -> Iterator[Problem]:
    low, high, step = schema.get("minimum"), schema.get("maximum"), schema.get("multipleOf")
    if low is not None:
        strict = bool(schema.get("exclusiveMinimum"))
        if value < low or (strict and value == low):
            yield _invalid(path, value, f"should be greater than {'' if strict else 'or equal to '}{go_float(low)}")
    if high is not None:
        strict = bool(schema.get("exclusiveMaximum"))
        if value > high or (strict and value == high):
            yield _invalid(path, value, f"should be less than {'' if strict else 'or equal to '}{go_float(high)}")
    if step and abs(value / step - round(value / step)) > 1e-9:
        yield _invalid(path, value, f"should be a multiple of {go_float(step)}")


def _array(schema: Schema, value: list[Any], path: str) -> Iterator[Problem]:
    if len(value) < schema.get("minItems", 0):
        yield _invalid(path, len(value), f"should have at least {schema['minItems']} items")
    if "maxItems" in schema and len(value) > schema["maxItems"]:
        yield _too_many(path, len(value), schema["maxItems"])
    items = schema.get("items")
    if isinstance(items, Mapping):
        for index, item in enumerate(value):
            yield from _value(items, item, f"{path}[{index}]")
    yield from _duplicates(schema, value, path)


def _duplicates(schema: Schema, value: Sequence[Any], path: str) -> Iterator[Problem]:
    match schema.get("x-kubernetes-list-type"):
        case "set":
            identities = list(value)
        case "map":
            identities = [_list_key(schema, item) for item in value]
        case _:
            return
    seen: set[bytes] = set()
    for index, identity in enumerate(identities):
        key = orjson.dumps(identity, option=orjson.OPT_SORT_KEYS)
        if key in seen:
            yield duplicate(f"{path}[{index}]", identity)
        seen.add(key)


def _list_key(schema: Schema, item: Any) -> Obj:
    properties = (schema.get("items") or {}).get("properties") or {}
    keys = schema.get("x-kubernetes-list-map-keys") or ()
    values = {key: item.get(key, properties.get(key, {}).get("default")) for key in keys if isinstance(item, dict)}
    return {key: value for key, value in values.items() if value is not None}


def _object(schema: Schema, value: Obj, path: str) -> Iterator[Problem]:
    properties: Mapping[str, Any] = schema.get("properties") or {}
    for key in schema.get("required") or ():
        # In a Go struct, null is the absent value.
        if key not in value or (value[key] is None and "x-go-type" in schema):
            yield required(_child(path, key))
    if len(value) < schema.get("minProperties", 0):
        yield _invalid(path, value, f"should have at least {schema['minProperties']} properties")
    if "maxProperties" in schema and len(value) > schema["maxProperties"]:
        yield _too_many(path, len(value), schema["maxProperties"])
    additional = schema.get("additionalProperties")
    for key, item in value.items():
        child = properties.get(key, additional)
        if isinstance(child, Mapping):
            yield from _value(child, item, _child(path, key))


def _child(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


# Combinations


def _combinations(schema: Schema, value: Any, path: str) -> Iterator[Problem]:
    if "allOf" in schema:
        for alternative in schema["allOf"]:
            yield from _value(alternative, value, path)
    if "anyOf" in schema and not _int_or_string_marker(schema, "anyOf"):
        outcomes = _outcomes(schema["anyOf"], value, path)
        if all(outcomes):
            yield _composite(path, "must validate at least one schema (anyOf)")
            yield from min(outcomes, key=len)
    if "oneOf" in schema and not _int_or_string_marker(schema, "oneOf"):
        outcomes = _outcomes(schema["oneOf"], value, path)
        valid = sum(not outcome for outcome in outcomes)
        if not valid:
            yield _composite(path, "must validate one and only one schema (oneOf). Found none valid")
            yield from min(outcomes, key=len)
        elif valid > 1:
            yield _composite(path, f"must validate one and only one schema (oneOf). Found {valid} valid alternatives")
    if "not" in schema and not list(_value(schema["not"], value, path)):
        yield _composite(path, "must not validate the schema (not)")


def _int_or_string_marker(schema: Schema, word: str) -> bool:
    """Whether the alternatives only say again that the value is an integer or a string."""
    return bool(schema.get("x-kubernetes-int-or-string")) and [item.get("type") for item in schema[word]] in (
        ["integer", "string"],
        ["string", "integer"],
    )


def _outcomes(alternatives: Sequence[Schema], value: Any, path: str) -> list[list[Problem]]:
    return [list(_value(alternative, value, path)) for alternative in alternatives]


def _composite(path: str, detail: str) -> Problem:
    # Upstream gives these no field of their own, and kubectl prints "<nil>" for it.
    return Problem("FieldValueInvalid", "<nil>", f'Invalid value: "": "{path}" {detail}')


def _invalid(path: str, value: Any, detail: str) -> Problem:
    return Problem("FieldValueInvalid", path, f"Invalid value: {_json(value)}: {path} in body {detail}")


def _too_many(path: str, count: int, limit: int) -> Problem:
    return Problem("FieldValueTooMany", path, f"Too many: {count}: must have at most {limit} items")


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()
