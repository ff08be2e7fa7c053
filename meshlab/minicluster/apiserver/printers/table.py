"""Tables of any resource: built-in printers, a definition's own columns, or NAME and AGE."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

from meshlab.minicluster.apiserver.printers import cluster, networking, pods, workloads
from meshlab.minicluster.apiserver.printers.columns import NAME, Cells, Column, Printer, columns, name, object_age
from meshlab.minicluster.apiserver.printers.durations import age
from meshlab.minicluster.apiserver.printers.jsonpath import find
from meshlab.minicluster.apiserver.resources import Resource
from meshlab.minicluster.kubeapi import Obj

IncludeObject = Literal["None", "Metadata", "Object"]

_PRINTERS: Mapping[str, Printer] = {
    **pods.PRINTERS,
    **workloads.PRINTERS,
    **networking.PRINTERS,
    **cluster.PRINTERS,
}
_DEFAULT = Printer(columns("Name|Age"), lambda obj, now: [name(obj), object_age(obj, now)])
_AGE_ONLY = ({"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},)


def table(
    resource: Resource,
    objs: Iterable[Obj],
    *,
    include_object: IncludeObject = "Metadata",
    now: datetime,
    crd_columns: Sequence[Obj] | None = None,
    metadata: Obj | None = None,
    headers: bool = True,
) -> Obj:
    """The ``meta.k8s.io/v1`` Table of some objects.

    Args:
        resource: what the objects are.
        objs: the objects, in the order of the rows.
        include_object: what of each object goes with its row.
        now: the moment by which ages are told; with a time zone.
        crd_columns: ``additionalPrinterColumns`` of a custom resource (empty: only an age); None for a built-in one.
        metadata: the table's list metadata (resourceVersion, continue, remainingItemCount).
        headers: whether columns are described; in a watch only the first table of a stream has them.
    """
    printer = _PRINTERS.get(resource.storage, _DEFAULT) if crd_columns is None else _custom(crd_columns or _AGE_ONLY)
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": metadata or {},
        "columnDefinitions": [column.to_json() for column in printer.columns] if headers else None,
        "rows": [{"cells": printer.row(obj, now), "object": _included(obj, include_object)} for obj in objs],
    }


def _included(obj: Obj, include_object: IncludeObject) -> Obj | None:
    match include_object:
        case "Object":
            return obj
        case "None":
            return None
        case _:
            return {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": obj["metadata"]}


def _custom(definitions: Sequence[Obj]) -> Printer:
    shown = [
        Column(
            item["name"],
            item.get("type", "string"),
            item.get("format", ""),
            item.get("priority", 0),
            item.get("description") or f"Custom resource definition column (in JSONPath format): {item['jsonPath']}",
        )
        for item in definitions
    ]

    def row(obj: Obj, now: datetime) -> Cells:
        return [name(obj), *(_cell(item, obj, now) for item in definitions)]

    return Printer((NAME, *shown), row)


def _cell(definition: Obj, obj: Obj, now: datetime) -> Any:
    found = find(definition["jsonPath"], obj)
    if not found or found[0] is None:
        return None
    kind = definition.get("type", "string")
    if kind == "string" and len(found) > 1:
        return ",".join(map(_text, found))
    value = found[0]
    match kind:
        case "integer":
            return int(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
        case "number":
            return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
        case "boolean":
            return value if isinstance(value, bool) else None
        case "date":
            try:
                return age(value, now) if isinstance(value, str) else "<invalid>"
            except ValueError:
                return "<invalid>"
        case _:
            return _text(value)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
