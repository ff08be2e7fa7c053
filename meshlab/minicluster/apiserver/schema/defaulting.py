"""Defaults from a structural schema, as upstream applies them to custom resources (KEP 1007)."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from meshlab.minicluster.kubeapi import Obj

Schema = Mapping[str, Any]


def default(schema: Schema, obj: Obj) -> Obj:
    """The object with every default of the schema filled in; the input is not changed.

    A null where the schema has a default and is not nullable counts as absent.
    """
    result: Obj = _defaulted(schema, obj)
    return result


def _defaulted(schema: Schema, value: Any) -> Any:
    if isinstance(value, dict):
        return _defaulted_object(schema, value)
    if isinstance(value, list) and isinstance(schema.get("items"), Mapping):
        items = [_defaulted(schema["items"], item) for item in value]
        return items if any(new is not old for new, old in zip(items, value, strict=True)) else value
    return value


def _defaulted_object(schema: Schema, value: Obj) -> Obj:
    result = value
    properties: Mapping[str, Any] = schema.get("properties") or {}
    for key, child in properties.items():
        present = key in value and not (value[key] is None and "default" in child and not child.get("nullable"))
        if not present and "default" not in child:
            continue
        # A copy, so that nobody holds a piece of the schema.
        old = value[key] if present else deepcopy(child["default"])
        new = _defaulted(child, old)
        if not present or new is not old:
            if result is value:
                result = dict(value)
            result[key] = new
    additional = schema.get("additionalProperties")
    if isinstance(additional, Mapping):
        for key, old in value.items():
            if key not in properties and (new := _defaulted(additional, old)) is not old:
                if result is value:
                    result = dict(value)
                result[key] = new
    return result
