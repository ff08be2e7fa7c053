"""Answers as bytes: objects, lists, Tables and metadata, from records whose JSON is cached."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import Literal

import orjson

from meshlab.minicluster.apiserver import statuses
from meshlab.minicluster.apiserver.catalog import Catalog
from meshlab.minicluster.apiserver.negotiation import YAML, Format
from meshlab.minicluster.apiserver.registry import Page
from meshlab.minicluster.apiserver.resources import Resource
from meshlab.minicluster.apiserver.store import Record
from meshlab.minicluster.kubeapi import Obj

_META = "meta.k8s.io/v1"

IncludeObject = Literal["None", "Metadata", "Object"]


class Encoder:
    """Encodes what one request asked for.

    Args:
        catalog: for the printer columns of custom resources.
        resource: what the objects are.
        form: in which form the client wants them.
        include_object: what a Table's rows carry: ``None``, ``Metadata`` (the default) or ``Object``.
    """

    def __init__(self, catalog: Catalog, resource: Resource, form: Format, include_object: str = "") -> None:
        self._resource = resource
        self._form = form
        self._include_object = _included(include_object)
        custom = catalog.custom(resource)
        self._columns = custom.columns if custom is not None else None

    def one(self, record: Record) -> bytes:
        """One object."""
        if self._form.shape == "table":
            metadata = {"resourceVersion": str(record.revision)}
            return orjson.dumps(self._table([record], metadata))
        if self._form.shape == "partial":
            return orjson.dumps(_partial(record))
        return record.raw(self._resource.api_version)

    def page(self, page: Page) -> bytes:
        """A list."""
        metadata: Obj = {"resourceVersion": str(page.revision)}
        if page.token:
            metadata["continue"] = page.token
            if page.remaining is not None:
                metadata["remainingItemCount"] = page.remaining
        return self.records(page.records, metadata)

    def records(self, records: Sequence[Record], metadata: Obj) -> bytes:
        """A list of these records under that list metadata."""
        if self._form.shape == "table":
            return orjson.dumps(self._table(records, metadata))
        if self._form.shape == "partial":
            kind, version = "PartialObjectMetadataList", _META
            items = b",".join(orjson.dumps(_partial(record)) for record in records)
        else:
            kind, version = self._resource.list_kind, self._resource.api_version
            items = b",".join(record.raw(version) for record in records)
        head = orjson.dumps({"kind": kind, "apiVersion": version, "metadata": metadata})
        return head[:-1] + b',"items":[' + items + b"]}"

    def event(self, type_: str, record: Record, *, first: bool) -> bytes:
        """One line of a watch; only the first Table of a watch carries its column definitions."""
        if self._form.shape == "table":
            table = self._table([record], {"resourceVersion": str(record.revision)})
            if not first:
                table["columnDefinitions"] = None
            body = orjson.dumps(table)
        else:
            body = self.one(record)
        return b'{"type":"' + type_.encode() + b'","object":' + body + b"}\n"

    def bookmark(self, revision: int, *, initial_events_end: bool = False) -> bytes:
        """A line that tells how far the watch has come."""
        metadata: Obj = {"resourceVersion": str(revision), "creationTimestamp": None}
        if initial_events_end:
            metadata["annotations"] = {"k8s.io/initial-events-end": "true"}
        if self._form.shape == "table":
            body: Obj = {
                "kind": "Table",
                "apiVersion": _META,
                "metadata": {"resourceVersion": str(revision)},
                "columnDefinitions": None,
                "rows": [{"cells": [], "object": self._bookmarked(metadata)}],
            }
        else:
            body = self._bookmarked(metadata)
        return orjson.dumps({"type": "BOOKMARK", "object": body}) + b"\n"

    def _bookmarked(self, metadata: Obj) -> Obj:
        kind, version = self._resource.kind, self._resource.api_version
        if self._form.shape == "partial":
            kind, version = "PartialObjectMetadata", _META
        return {"kind": kind, "apiVersion": version, "metadata": metadata}

    def _table(self, records: Sequence[Record], metadata: Obj) -> Obj:
        # Rarely asked for by programs, so the printers are loaded when somebody looks.
        from meshlab.minicluster.apiserver.printers import table

        printed: Obj = table(
            self._resource,
            [record.at(self._resource.api_version) for record in records],
            include_object=self._include_object,
            now=datetime.datetime.now(datetime.UTC),
            crd_columns=self._columns,
        )
        return {**printed, "metadata": metadata}


def _included(text: str) -> IncludeObject:
    match text:
        case "" | "Metadata":
            return "Metadata"
        case "None":
            return "None"
        case "Object":
            return "Object"
    raise statuses.bad_request(f'unrecognized includeObject value: "{text}"')


def _partial(record: Record) -> Obj:
    return {"kind": "PartialObjectMetadata", "apiVersion": _META, "metadata": record.obj["metadata"]}


def as_media_type(body: bytes, form: Format) -> bytes:
    """The body in the media type that was asked for."""
    if form.media_type != YAML:
        return body + b"\n"
    import yaml

    return yaml.safe_dump(orjson.loads(body), sort_keys=True).encode()
