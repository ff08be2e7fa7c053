"""Request bodies: parsing them, and the errors Go's decoder gives where a value does not fit its typed field.

Built-in kinds are decoded into Go structs upstream, so that a wrong type is no validation finding but a 400 with the
text of ``encoding/json``. The struct and field named in it are found by walking the schema.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from meshlab.minicluster.apiserver.schema.formats import is_base64, is_date_time
from meshlab.minicluster.kubeapi import Obj, StatusError

Schema = Mapping[str, Any]

_QUANTITY = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([KMGTPE]i|[numkMGTPE]|[eE][+-]?\d+)?")
_QUANTITY_ERROR = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
_GO_TYPES = {"string": "string", "boolean": "bool", "number": "float64", "object": "map[string]interface {}"}


# Parsing


def parse_body(body: bytes, content_type: str, *, strict: bool = False) -> tuple[Any, list[str]]:
    """Parse a JSON or YAML body.

    Args:
        body: the bytes.
        content_type: the media type, parameters allowed; anything with ``yaml`` in it is YAML, all else JSON.
        strict: look for duplicate fields too.

    Returns:
        The value, and the paths of fields that occur twice (only if ``strict``), ready to be put into
        ``duplicate field "..."``. Of a duplicate the last one counts.

    Raises:
        StatusError: 400, the body cannot be parsed.
    """
    if "yaml" in content_type:
        # Rare, and PyYAML takes its time to import.
        from meshlab.minicluster.apiserver.schema.yaml_bodies import parse_yaml

        return parse_yaml(body, strict=strict)
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise StatusError(400, "BadRequest", f"couldn't get version/kind; json parse error: {error}") from None
    if not strict:
        return value, []
    return value, list(_duplicates(json.loads(body, object_pairs_hook=_Pairs), ""))


class _Pairs(list[tuple[str, Any]]):
    """An object as its members in order, duplicates included."""


def _duplicates(value: Any, path: str) -> Iterator[str]:
    if isinstance(value, _Pairs):
        seen: set[str] = set()
        for key, item in value:
            where = f"{path}.{key}" if path else key
            if key in seen:
                yield where
            seen.add(key)
            yield from _duplicates(item, where)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _duplicates(item, f"{path}[{index}]")


# Decoding into typed structs


def decode_error(schema: Schema, obj: Obj) -> str | None:
    """Why Go could not decode the object into the built-in type, or None if it can.

    Args:
        schema: the kind's definition from `SchemaSet`.
        obj: the object as parsed.

    Returns:
        The whole message of the 400, as ``Deployment in version "v1" cannot be handled as a Deployment: json: cannot
        unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32``.
    """
    problem = next(_problems(schema, obj, _Place("", "")), None)
    if problem is None:
        return None
    kind = obj.get("kind", "")
    version = str(obj.get("apiVersion", "")).rpartition("/")[2]
    return f'{kind} in version "{version}" cannot be handled as a {kind}: {problem}'


class _Place:
    """Where the decoder is: the innermost struct and the path of field names without indices."""

    __slots__ = ("path", "struct")

    def __init__(self, struct: str, path: str) -> None:
        self.struct = struct
        self.path = path

    def field(self, schema: Schema, name: str) -> _Place:
        struct = str(schema.get("x-go-type", "")).rpartition(".")[2] or self.struct
        return _Place(struct, f"{self.path}.{name}" if self.path else name)


def _problems(schema: Schema, value: Any, place: _Place) -> Iterator[str]:
    if value is None:
        return
    if schema.get("x-kubernetes-int-or-string"):
        if not isinstance(value, str | int) or isinstance(value, bool):
            yield _mismatch(value, "intstr.IntOrString", place)
        return
    if schema.get("x-go-type") == "resource.Quantity":
        if not _is_quantity(value):
            yield _QUANTITY_ERROR
        return
    wanted = schema.get("type")
    fits = {
        "object": isinstance(value, dict),
        "array": isinstance(value, list),
        "string": isinstance(value, str),
        "boolean": isinstance(value, bool),
        "integer": isinstance(value, int) and not isinstance(value, bool),
        "number": isinstance(value, int | float) and not isinstance(value, bool),
    }
    if wanted is not None and not fits[wanted]:
        yield _mismatch(value, _go_type(schema), place)
    elif isinstance(value, dict):
        properties = schema.get("properties") or {}
        additional = schema.get("additionalProperties")
        for key, item in value.items():
            if key in properties:
                yield from _problems(properties[key], item, place.field(schema, key))
            elif isinstance(additional, Mapping):
                # Values of a map are reported at the map's own field.
                yield from _problems(additional, item, place)
    elif isinstance(value, list):
        items = schema.get("items")
        if isinstance(items, Mapping):
            for item in value:
                yield from _problems(items, item, place)
    elif isinstance(value, str):
        yield from _string_problems(schema, value)


def _string_problems(schema: Schema, value: str) -> Iterator[str]:
    if schema.get("format") == "byte" and not is_base64(value):
        good = re.match(r"[A-Za-z0-9+/]*", value)
        yield f"illegal base64 data at input byte {good.end() if good else 0}"
    elif schema.get("format") == "date-time" and not is_date_time(value):
        layout = (
            "2006-01-02T15:04:05.000000Z07:00"
            if "MicroTime" in schema.get("x-go-type", "")
            else ("2006-01-02T15:04:05Z07:00")
        )
        yield f'parsing time "{value}" as "{layout}": cannot parse "{value}" as "2006"'


def _is_quantity(value: Any) -> bool:
    if isinstance(value, bool):
        return False
    return isinstance(value, int | float) or (isinstance(value, str) and _QUANTITY.fullmatch(value) is not None)


def _mismatch(value: Any, go_type: str, place: _Place) -> str:
    match value:
        case bool():
            found = "bool"
        case float():
            found = f"number {value}" if go_type.startswith("int") else "number"
        case int():
            found = "number"
        case str():
            found = "string"
        case list():
            found = "array"
        case _:
            found = "object"
    if not place.path:
        return f"json: cannot unmarshal {found} into Go value of type {go_type}"
    return f"json: cannot unmarshal {found} into Go struct field {place.struct}.{place.path} of type {go_type}"


def _go_type(schema: Schema) -> str:
    match schema.get("type"):
        case "array":
            return f"[]{_go_type(schema.get('items') or {})}"
        case "object" if "x-go-type" in schema:
            return str(schema["x-go-type"])
        case "object" if isinstance(schema.get("additionalProperties"), Mapping):
            return f"map[string]{_go_type(schema['additionalProperties'])}"
        case "integer":
            return str(schema.get("format", "int64"))
        case "string" if schema.get("format") == "byte":
            return "[]uint8"
        case other:
            return _GO_TYPES.get(str(other), "interface {}")
