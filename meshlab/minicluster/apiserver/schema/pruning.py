"""Unknown fields: found, named and dropped."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from meshlab.minicluster.kubeapi import Obj

Schema = Mapping[str, Any]

_RESOURCE_FIELDS = frozenset({"apiVersion", "kind", "metadata"})
_PRESERVE = "x-kubernetes-preserve-unknown-fields"
_EMBEDDED = "x-kubernetes-embedded-resource"


def prune(schema: Schema, obj: Obj, *, metadata: Schema | None = None) -> tuple[Obj, list[str]]:
    """Drop what the schema does not know.

    Args:
        schema: the schema of the whole object.
        obj: the object; it is not changed.
        metadata: the schema of ``metadata`` where the object's own schema has none to speak of (custom resources);
            without it, such metadata is left as it is.

    Returns:
        The object without unknown fields, and their paths as upstream writes them (``spec.containers[0].foo``),
        ready to be put into ``unknown field "..."``.
    """
    unknown: list[str] = []
    pruned: Obj = _Pruner(unknown, metadata).value(schema, obj, "", root=True)
    return pruned, unknown


class _Pruner:
    def __init__(self, unknown: list[str], metadata: Schema | None) -> None:
        self._unknown = unknown
        self._metadata = metadata

    def value(self, schema: Schema, value: Any, path: str, *, root: bool = False) -> Any:
        if isinstance(value, dict):
            return self._object(schema, value, path, resource=root or bool(schema.get(_EMBEDDED)))
        if isinstance(value, list):
            items = schema.get("items")
            if isinstance(items, Mapping):
                return [self.value(items, item, f"{path}[{index}]") for index, item in enumerate(value)]
        return value

    def _object(self, schema: Schema, value: Obj, path: str, *, resource: bool) -> Obj:
        properties: Mapping[str, Any] = schema.get("properties") or {}
        additional = schema.get("additionalProperties")
        if not properties and additional is None and not resource and self._anything_goes(schema):
            return value
        result: Obj = {}
        for key, child in value.items():
            where = f"{path}.{key}" if path else key
            if resource and key == "metadata" and "x-go-type" not in (properties.get(key) or {}):
                result[key] = child if self._metadata is None else self.value(self._metadata, child, where)
            elif key in properties:
                result[key] = self.value(properties[key], child, where)
            elif resource and key in _RESOURCE_FIELDS:
                result[key] = child
            elif isinstance(additional, Mapping):
                result[key] = self.value(additional, child, where)
            elif additional is True or schema.get(_PRESERVE):
                result[key] = child
            else:
                self._unknown.append(where)
        return result

    def _anything_goes(self, schema: Schema) -> bool:
        """Whether a schema that names no fields accepts all: free-form built-in types do, structural ones do not."""
        return bool(schema.get(_PRESERVE)) or "type" not in schema or "x-go-type" in schema
