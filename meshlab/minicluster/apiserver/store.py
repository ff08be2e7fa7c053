"""The truth: every object, in memory, under one resourceVersion, and the events that tell of each change.

An object is an immutable snapshot (`Record`) that nobody ever changes in place; a write puts a new one in its stead.
The bytes that clients receive are made once per record and joined in lists and watches. Keys are kept sorted, so that
a page of a long list costs what the page holds. Each collection keeps its last events; a watch that comes back later
than that is told 410 and lists again, as with etcd's compaction.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left, bisect_right, insort
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

import orjson

from meshlab.minicluster.apiserver import statuses
from meshlab.minicluster.apiserver.conversion import convert
from meshlab.minicluster.kubeapi import Obj

Key = tuple[str, str]
"""(namespace, name); the namespace is empty for a cluster-scoped object."""

RING_SIZE = 4096
"""Events kept per collection."""

FIRST_REVISION = 1000
AFTER_LAST = "\U0010ffff"


class Record:
    """One stored object at one resourceVersion."""

    __slots__ = ("_raw", "obj", "revision")

    def __init__(self, obj: Obj, revision: int) -> None:
        self.obj = obj
        self.revision = revision
        self._raw: dict[str, bytes] = {}

    def at(self, api_version: str) -> Obj:
        """The object as one of its served versions shows it."""
        return convert(self.obj, api_version)

    def raw(self, api_version: str) -> bytes:
        """The object's JSON as that version, encoded once."""
        raw = self._raw.get(api_version)
        if raw is None:
            raw = self._raw[api_version] = orjson.dumps(self.at(api_version))
        return raw


@dataclass(frozen=True, slots=True)
class Change:
    """One committed write; ``previous`` is None for an addition."""

    type: Literal["ADDED", "MODIFIED", "DELETED"]
    record: Record
    previous: Record | None


class Journal(Protocol):
    """Where commits are made durable."""

    def put(self, collection: str, key: Key, record: Record) -> None: ...

    def delete(self, collection: str, key: Key, revision: int) -> None: ...


Listener = Callable[[str, Change], None]


class Collection:
    """All objects of one resource, sorted by key, and its recent events."""

    def __init__(self, revision: int) -> None:
        self.records: dict[Key, Record] = {}
        self.keys: list[Key] = []
        self.ring: deque[Change] = deque(maxlen=RING_SIZE)
        self.compacted = revision
        """A watch may resume from this revision or a later one."""
        self.subscriptions: set[Subscription] = set()

    def scan(self, namespace: str = "", after: Key | None = None) -> Iterator[tuple[Key, Record]]:
        """Records in key order, of one namespace or of all, behind ``after``; tolerates no write while it runs."""
        first = bisect_left(self.keys, (namespace, ""))
        last = bisect_right(self.keys, (namespace, AFTER_LAST)) if namespace else len(self.keys)
        if after is not None:
            first = max(first, bisect_right(self.keys, after))
        for key in self.keys[first:last]:
            yield key, self.records[key]

    def publish(self, change: Change) -> None:
        """Keep the event and hand it to every watch."""
        if len(self.ring) == RING_SIZE:
            self.compacted = self.ring[0].record.revision
        self.ring.append(change)
        for subscription in tuple(self.subscriptions):
            subscription.push(change)


class Subscription:
    """A watch's queue of changes; leave it with `close`, or it fills for ever."""

    def __init__(self, collection: Collection) -> None:
        self._collection = collection
        self._queue: deque[Change] = deque()
        self._ready = asyncio.Event()
        self.closed = False
        collection.subscriptions.add(self)

    def push(self, change: Change) -> None:
        """Queue a change; who falls behind by a whole ring is cut off and has to resume or to list again."""
        if len(self._queue) >= RING_SIZE:
            self.close()
            return
        self._queue.append(change)
        self._ready.set()

    def take(self) -> list[Change]:
        """All queued changes, at once."""
        taken = list(self._queue)
        self._queue.clear()
        self._ready.clear()
        return taken

    async def wait(self, timeout_s: float) -> bool:
        """Wait until something is queued or the subscription was closed; False when the time is over."""
        if not self._queue and not self.closed:
            try:
                await asyncio.wait_for(self._ready.wait(), timeout_s)
            except TimeoutError:
                return False
        return True

    def close(self) -> None:
        """Stop receiving, and wake who waits."""
        self.closed = True
        self._collection.subscriptions.discard(self)
        self._ready.set()


class Store:
    """All collections, by the resource's ``storage`` name.

    Args:
        journal: told of every commit; None keeps everything in memory only.
        revision: the resourceVersion to go on from.
    """

    def __init__(self, journal: Journal | None = None, revision: int = FIRST_REVISION) -> None:
        self.revision = revision
        self._first_revision = revision
        self._journal = journal
        self._collections: dict[str, Collection] = {}
        self._listeners: list[Listener] = []

    def listen(self, listener: Listener) -> None:
        """Call a function with every change, in the middle of the commit; it must only take note."""
        self._listeners.append(listener)

    def collection(self, name: str) -> Collection:
        """The collection of that storage name, made when first asked for."""
        found = self._collections.get(name)
        if found is None:
            found = self._collections[name] = Collection(self._first_revision)
        return found

    def get(self, collection: str, key: Key) -> Record | None:
        """The current record under a key."""
        return self.collection(collection).records.get(key)

    def load(self, collection: str, key: Key, obj: Obj) -> None:
        """Put back what the journal kept, before anybody watches."""
        target = self.collection(collection)
        target.records[key] = Record(obj, int(obj["metadata"]["resourceVersion"]))
        insort(target.keys, key)

    def put(self, collection: str, key: Key, obj: Obj) -> Record:
        """Commit an object under a new resourceVersion; the object passed in belongs to the store from here on."""
        target = self.collection(collection)
        previous = target.records.get(key)
        self.revision += 1
        obj["metadata"]["resourceVersion"] = str(self.revision)
        record = Record(obj, self.revision)
        target.records[key] = record
        if previous is None:
            insort(target.keys, key)
        if self._journal is not None:
            self._journal.put(collection, key, record)
        self._announce(collection, target, Change("MODIFIED" if previous else "ADDED", record, previous))
        return record

    def delete(self, collection: str, key: Key) -> Record | None:
        """Commit a removal; returns the last state under the removal's own resourceVersion, as watches see it."""
        target = self.collection(collection)
        previous = target.records.pop(key, None)
        if previous is None:
            return None
        del target.keys[bisect_left(target.keys, key)]
        self.revision += 1
        metadata = {**previous.obj["metadata"], "resourceVersion": str(self.revision)}
        record = Record({**previous.obj, "metadata": metadata}, self.revision)
        if self._journal is not None:
            self._journal.delete(collection, key, self.revision)
        self._announce(collection, target, Change("DELETED", record, previous))
        return record

    def subscribe(self, collection: str, since: int | None = None) -> Subscription:
        """A queue of the changes to come, begun with those after ``since``.

        Raises:
            StatusError: 410 ``Expired`` if events after ``since`` are no longer kept.
        """
        target = self.collection(collection)
        if since is not None and since < target.compacted:
            raise statuses.expired(since, target.compacted)
        subscription = Subscription(target)
        if since is not None:
            for change in target.ring:
                if change.record.revision > since:
                    subscription.push(change)
        return subscription

    def close(self) -> None:
        """End every watch."""
        for collection in self._collections.values():
            for subscription in list(collection.subscriptions):
                subscription.close()

    def _announce(self, name: str, collection: Collection, change: Change) -> None:
        for listener in self._listeners:
            listener(name, change)
        collection.publish(change)
