"""Watches: from changes of the store to the lines that one client sees."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass

import orjson

from meshlab.minicluster.apiserver.encoding import Encoder
from meshlab.minicluster.apiserver.selection import Selection
from meshlab.minicluster.apiserver.store import Record, Store
from meshlab.minicluster.kubeapi import StatusError

BOOKMARK_INTERVAL_S = 60.0


@dataclass(frozen=True, slots=True)
class WatchOptions:
    """What a client asked of a watch."""

    resource_version: str
    bookmarks: bool
    initial_events: bool
    """Begin with what there is and mark where that ends (``sendInitialEvents``)."""
    timeout_s: float


async def watch_lines(
    store: Store, selection: Selection, options: WatchOptions, encoder: Encoder
) -> AsyncGenerator[bytes]:
    """Chunks of a watch's body; a chunk is one or more whole lines. The first may be empty: it says the watch is on."""
    lines = _Lines(encoder)
    synthetic = options.initial_events or options.resource_version in ("", "0")
    try:
        since = None if synthetic else int(options.resource_version)
        subscription = store.subscribe(selection.resource.storage, since)
    except StatusError as error:
        yield orjson.dumps({"type": "ERROR", "object": error.to_status()}) + b"\n"
        return
    try:
        first = b""
        if synthetic:
            namespace = selection.namespace if selection.resource.namespaced else ""
            for _, record in store.collection(selection.resource.storage).scan(namespace):
                if selection.matches(record.obj):
                    first += lines.event("ADDED", record)
            if options.initial_events and options.bookmarks:
                first += encoder.bookmark(store.revision, initial_events_end=True)
        yield first
        deadline = time.monotonic() + options.timeout_s
        while not subscription.closed:
            left = deadline - time.monotonic()
            if left <= 0:
                return
            if not await subscription.wait(min(left, BOOKMARK_INTERVAL_S)):
                if options.bookmarks:
                    yield encoder.bookmark(store.revision)
                continue
            chunk = b""
            for change in subscription.take():
                seen = selection.seen(change)
                if seen is not None:
                    chunk += lines.event(*seen)
            if chunk:
                yield chunk
    finally:
        subscription.close()


class _Lines:
    """Encodes events and remembers whether one was sent."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._first = True

    def event(self, type_: str, record: Record) -> bytes:
        line = self._encoder.event(type_, record, first=self._first)
        self._first = False
        return line
