"""The verbs: create, get, list, update, patch, delete, for every resource alike.

A write is decoded, defaulted, admitted, validated and committed. Whatever awaits (webhooks do) happens on a private
copy; between the last look at the stored record and the commit nothing awaits, so a write that lost a race is
noticed and, unless it named a resourceVersion, done again on the new state.
"""

from __future__ import annotations

import base64
import datetime
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from meshlab.minicluster.apiserver import statuses
from meshlab.minicluster.apiserver.admission import Admission, Attributes
from meshlab.minicluster.apiserver.catalog import Catalog
from meshlab.minicluster.apiserver.decoding import Decoder
from meshlab.minicluster.apiserver.deletion import decide
from meshlab.minicluster.apiserver.metadata import metadata_problems, new_finalizer_problems
from meshlab.minicluster.apiserver.names import generate
from meshlab.minicluster.apiserver.requests import DeleteOptions, Request
from meshlab.minicluster.apiserver.resources import Resource
from meshlab.minicluster.apiserver.selection import Selection
from meshlab.minicluster.apiserver.statuses import Problem
from meshlab.minicluster.apiserver.store import Change, Key, Record, Store
from meshlab.minicluster.apiserver.strategies import Strategies
from meshlab.minicluster.apiserver.strategies.base import Strategy, copy_field, timestamp
from meshlab.minicluster.kubeapi import Obj, StatusError

RETRIES = 5
_SYSTEM_METADATA = (
    "uid",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generation",
    "generateName",
    "name",
    "namespace",
)


class _LostRace(Exception):
    """The record was replaced while the write was being admitted."""


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list."""

    records: list[Record]
    revision: int
    token: str = ""
    remaining: int | None = None


@dataclass(frozen=True, slots=True)
class Deletion:
    """What a delete did: the object, and whether it is gone or only announced."""

    record: Record
    gone: bool


def thaw(obj: Obj) -> Obj:
    """A private deep copy."""
    copy: Obj = orjson.loads(orjson.dumps(obj))
    return copy


class Registry:
    """All resources of one server.

    Args:
        store: the truth.
        catalog: what is served.
        strategies: what is particular about each resource.
        admission: what must agree to a write.
        decoder: how a body becomes an object of its kind.
    """

    def __init__(
        self, store: Store, catalog: Catalog, strategies: Strategies, admission: Admission, decoder: Decoder
    ) -> None:
        self.store = store
        self.catalog = catalog
        self.strategies = strategies
        self.admission = admission
        self.decoder = decoder

    def get(self, request: Request) -> Record:
        """One object; raises 404."""
        record = self.store.get(request.resource.storage, request.key)
        if record is None:
            raise statuses.not_found(request.resource, request.name)
        return record

    def list(self, selection: Selection, *, limit: int = 0, token: str = "") -> Page:
        """The selected objects in key order, ``limit`` at a time."""
        collection = self.store.collection(selection.resource.storage)
        after, revision = self._continue(token, collection.compacted) if token else (None, self.store.revision)
        namespace = selection.namespace if selection.resource.namespaced else ""
        records: list[Record] = []
        last: Key | None = None
        for key, record in collection.scan(namespace, after):
            if not selection.matches(record.obj):
                continue
            if limit and len(records) == limit and last is not None:
                remaining = sum(1 for _ in collection.scan(namespace, last)) if selection.is_everything else None
                next_token = base64.urlsafe_b64encode(orjson.dumps({"v": revision, "k": last})).decode()
                return Page(records, revision, next_token, remaining)
            records.append(record)
            last = key
        return Page(records, revision)

    @staticmethod
    def _continue(token: str, compacted: int) -> tuple[Key, int]:
        try:
            content = orjson.loads(base64.urlsafe_b64decode(token))
            namespace, name = content["k"]
            revision = int(content["v"])
        except (ValueError, KeyError, TypeError) as error:
            raise statuses.bad_request(f"continue key is not valid: {error}") from error
        if revision < compacted:
            message = (
                "The provided continue parameter is too old to display a consistent list result. You can start a new "
                "list without the continue parameter."
            )
            raise StatusError(410, "Expired", message)
        return (namespace, name), revision

    async def create(self, request: Request, obj: Obj) -> Record:
        """Create an object; ``request.name`` may be empty, the object's own name counts."""
        resource = request.resource
        strategy = self.strategies.of(resource)
        obj = self.decoder.decode(request, thaw(obj))
        metadata = obj["metadata"]
        _check_namespace(request, metadata)
        if metadata.get("resourceVersion"):
            raise statuses.bad_request("resourceVersion should not be set on objects to be created")
        generated = not metadata.get("name") and bool(metadata.get("generateName"))
        strategy.default(obj)
        attributes = Attributes(request, "CREATE", obj, None)
        await self.admission.mutate(attributes, strategy.default)
        obj = self._admitted(attributes)
        for attempt in range(RETRIES):
            self._begin(request, strategy, obj, regenerate=generated)
            request.name = obj["metadata"].get("name") or ""
            broken = self.decoder.broken_rules(resource, obj, None)
            self._judge(request, strategy, obj, [*metadata_problems(strategy, obj), *broken])
            await self.admission.validate(attributes)
            taken = self.store.get(resource.storage, request.key) is not None
            if not taken:
                break
            if not generated or attempt == RETRIES - 1:
                raise statuses.already_exists(resource, request.name)
        request.warnings += strategy.warnings(obj)
        return self._commit(request, strategy, obj, None)

    def _begin(self, request: Request, strategy: Strategy, obj: Obj, *, regenerate: bool) -> None:
        """Write what the server alone decides of a new object's metadata."""
        metadata = obj["metadata"]
        if regenerate:
            metadata["name"] = generate(metadata["generateName"])
        for field in (
            "deletionTimestamp",
            "deletionGracePeriodSeconds",
            "selfLink",
            "managedFields",
            "resourceVersion",
        ):
            metadata.pop(field, None)
        metadata["uid"] = str(uuid.uuid4())
        metadata["creationTimestamp"] = timestamp()
        if strategy.counts_generations:
            metadata["generation"] = 1
        else:
            metadata.pop("generation", None)
        strategy.prepare_create(obj)

    async def update(self, request: Request, obj: Obj) -> Record:
        """Replace an object, or with ``request.subresource`` the part of it that the subresource governs."""
        return await self.modify(request, lambda _: thaw(obj))

    async def modify(self, request: Request, change: Callable[[Obj], Obj]) -> Record:
        """Replace an object by what ``change`` makes of it.

        Args:
            request: which object.
            change: given the current object in the request's version, returns the whole new one as a private copy. It
                is called again if another write came between.
        """
        for _ in range(RETRIES):
            record = self.get(request)
            try:
                return await self._update(request, record, change(record.at(request.resource.api_version)))
            except _LostRace:
                continue
        raise statuses.conflict(request.resource, request.name)

    async def _update(self, request: Request, record: Record, new: Obj) -> Record:
        resource, old = request.resource, record.obj
        strategy = self.strategies.of(resource)
        new = self.decoder.decode(request, new)
        metadata = new["metadata"]
        _check_namespace(request, metadata)
        self._check_identity(request, strategy, metadata, old)
        for field in _SYSTEM_METADATA:
            copy_field(old["metadata"], metadata, field)
        strategy.default(new)
        attributes = Attributes(request, "UPDATE", new, old)
        await self.admission.mutate(attributes, strategy.default)
        new = self._admitted(attributes)
        metadata = new["metadata"]
        for field in _SYSTEM_METADATA:
            copy_field(old["metadata"], metadata, field)
        for field in ("selfLink", "managedFields"):
            metadata.pop(field, None)
        metadata["resourceVersion"] = old["metadata"]["resourceVersion"]
        if request.subresource:
            strategy.prepare_subresource_update(request.subresource, new, old)
        else:
            strategy.prepare_update(new, old)
        metadata = new["metadata"]
        # A status update may carry annotations (a Deployment's revision), which is no change of what is wanted.
        if request.subresource != "status" and "generation" in metadata and strategy.generation_changed(new, old):
            metadata["generation"] += 1
        problems = [*metadata_problems(strategy, new), *new_finalizer_problems(new, old)]
        if not request.subresource:
            problems += strategy.validate_update(new, old)
        problems += self.decoder.broken_rules(resource, new, old)
        self._judge(request, strategy, new, problems)
        await self.admission.validate(attributes)
        if new == old:
            return record
        if self.store.get(resource.storage, request.key) is not record:
            raise _LostRace
        return self._commit(request, strategy, new, record)

    def _judge(self, request: Request, strategy: Strategy, obj: Obj, found: Iterable[Problem]) -> None:
        """Raise 422 with everything that is wrong with the object, each finding once."""
        missing = self.decoder.missing(request.resource, obj) if request.subresource != "status" else []
        # What validates deeper relies on the required fields.
        problems = [*found, *(missing or strategy.validate(obj))]
        if problems:
            raise statuses.invalid(request.resource, request.name, list(dict.fromkeys(problems)))

    @staticmethod
    def _admitted(attributes: Attributes) -> Obj:
        if attributes.obj is None:
            raise statuses.internal("admission lost the object")
        return attributes.obj

    @staticmethod
    def _check_identity(request: Request, strategy: Strategy, metadata: Obj, old: Obj) -> None:
        resource, current = request.resource, old["metadata"]
        if metadata.get("name") and metadata["name"] != request.name:
            raise statuses.bad_request(
                f"the name of the object ({metadata['name']}) does not match the name on the URL ({request.name})"
            )
        version = metadata.get("resourceVersion")
        if not version and not strategy.unconditional_update and not request.subresource:
            problem = statuses.Problem(
                "FieldValueInvalid", "metadata.resourceVersion", "Invalid value: 0: must be specified for an update"
            )
            raise statuses.invalid(resource, request.name, [problem])
        if version and str(version) != current["resourceVersion"]:
            raise statuses.conflict(resource, request.name)
        if metadata.get("uid") and metadata["uid"] != current["uid"]:
            why = f"Precondition failed: UID in precondition: {metadata['uid']}, UID in object meta: {current['uid']}"
            raise statuses.conflict(resource, request.name, why)

    def _commit(self, request: Request, strategy: Strategy, obj: Obj, old: Record | None) -> Record:
        """Store the object; from here on nothing awaits."""
        resource = request.resource
        undo = strategy.allocate(obj, old.obj if old is not None else None, dry_run=request.dry_run)
        if request.dry_run:
            if undo is not None:
                undo()
            return Record(obj, old.revision if old is not None else self.store.revision)
        finished = obj["metadata"].get("deletionTimestamp") is not None and not strategy.is_held(obj)
        if finished and old is not None:
            self._remove(resource, strategy, request.key)
            return Record(obj, self.store.revision)
        record = self.store.put(resource.storage, request.key, obj)
        strategy.committed(Change("ADDED" if old is None else "MODIFIED", record, old))
        return record

    def _remove(self, resource: Resource, strategy: Strategy, key: Key) -> Record:
        previous = self.store.get(resource.storage, key)
        removed = self.store.delete(resource.storage, key)
        if removed is None or previous is None:
            raise statuses.not_found(resource, key[1])
        strategy.committed(Change("DELETED", removed, previous))
        return removed

    async def delete(self, request: Request, options: DeleteOptions) -> Deletion:
        """Delete an object, or announce its deletion where a grace period or finalizers ask for it."""
        resource = request.resource
        strategy = self.strategies.of(resource)
        for _ in range(RETRIES):
            record = self.get(request)
            _check_preconditions(options, record.obj["metadata"])
            attributes = Attributes(request, "DELETE", None, record.obj, options.to_object())
            await self.admission.mutate(attributes, lambda _: None)
            await self.admission.validate(attributes)
            if self.store.get(resource.storage, request.key) is not record:
                continue
            announced = decide(strategy, record.obj, options, datetime.datetime.now(datetime.UTC))
            if request.dry_run:
                return Deletion(record, announced is None)
            if announced is None:
                return Deletion(self._remove(resource, strategy, request.key), True)
            if announced == record.obj:
                return Deletion(record, False)
            stored = self.store.put(resource.storage, request.key, announced)
            strategy.committed(Change("MODIFIED", stored, record))
            return Deletion(stored, False)
        raise statuses.conflict(resource, request.name)

    async def delete_collection(
        self, request: Request, selection: Selection, options: DeleteOptions
    ) -> Sequence[Record]:
        """Delete everything selected; returns the objects."""
        deleted = []
        for record in self.list(selection).records:
            metadata = record.obj["metadata"]
            single = Request(
                request.user,
                request.resource,
                metadata.get("namespace") or "",
                metadata["name"],
                dry_run=request.dry_run,
                warnings=request.warnings,
            )
            try:
                deletion = await self.delete(single, options)
            except StatusError as error:
                if error.code != 404:
                    raise
                continue
            deleted.append(deletion.record)
        return deleted


def _check_namespace(request: Request, metadata: Obj) -> None:
    if not request.resource.namespaced:
        metadata.pop("namespace", None)
        return
    given = metadata.get("namespace")
    if given and given != request.namespace:
        raise statuses.bad_request(
            "the namespace of the provided object does not match the namespace sent on the request"
        )
    metadata["namespace"] = request.namespace


def _check_preconditions(options: DeleteOptions, metadata: Obj) -> None:
    found: dict[str, Any] = {"UID": options.uid, "ResourceVersion": options.resource_version}
    actual = {"UID": metadata["uid"], "ResourceVersion": metadata["resourceVersion"]}
    for what, wanted in found.items():
        if wanted and wanted != actual[what]:
            raise statuses.precondition_failed(what, wanted, actual[what])
