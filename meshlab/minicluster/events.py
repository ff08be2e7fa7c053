"""Events: what happened to an object, told to people through the API.

Recording is fire and forget: `EventRecorder.event` notes the fact and returns; a task of the recorder writes it.
Facts are correlated as client-go's ``record.EventCorrelator`` does it (kubernetes/client-go, tools/record):

* a fact that was told before raises ``count`` and ``lastTimestamp`` of its event,
* more than ten facts of one object that differ only in the message are folded into one event,
* one component may tell 25 facts of one object at once, then one every five minutes.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Generic, TypeVar

from meshlab.minicluster.kubeapi import KubeApi, Obj, StatusError

logger = logging.getLogger(__name__)

TTL_S = 3600.0
PRUNE_INTERVAL_S = 60.0
REMEMBERED = 4096
FOLD_AFTER = 10
FOLD_INTERVAL_S = 600.0
BURST = 25
REFILL_S = 300.0
FOLDED_PREFIX = "(combined from similar events): "
RETRY_DELAY_S = 0.2
DRAIN_TIMEOUT_S = 2.0

V = TypeVar("V")


class _Recent(Generic[V]):
    """A mapping that forgets the least recently used entries."""

    def __init__(self, size: int = REMEMBERED) -> None:
        self._entries: OrderedDict[Hashable, V] = OrderedDict()
        self._size = size

    def get(self, key: Hashable) -> V | None:
        if key in self._entries:
            self._entries.move_to_end(key)
            return self._entries[key]
        return None

    def put(self, key: Hashable, value: V) -> None:
        self._entries[key] = value
        self._entries.move_to_end(key)
        if len(self._entries) > self._size:
            self._entries.popitem(last=False)


@dataclass(slots=True)
class _Similar:
    messages: set[str] = field(default_factory=set)
    last: float = 0.0


@dataclass(slots=True)
class _Bucket:
    tokens: float = BURST
    last: float = 0.0


@dataclass(slots=True)
class _Told:
    name: str
    namespace: str
    count: int
    first: str


class _Writer:
    """The queue, the correlation and the writing task that the recorders of one process share."""

    def __init__(self, api: KubeApi, now: Callable[[], float]) -> None:
        self._api = api
        self._now = now
        self._facts: asyncio.Queue[Obj] = asyncio.Queue(maxsize=1000)
        self._task: asyncio.Task[None] | None = None
        self._told: _Recent[_Told] = _Recent()
        self._similar: _Recent[_Similar] = _Recent()
        self._buckets: _Recent[_Bucket] = _Recent()
        self._serial = 0

    def put(self, fact: Obj) -> None:
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run(), name="event recorder")
        try:
            self._facts.put_nowait(fact)
        except asyncio.QueueFull:
            logger.warning("too many events, dropped: %s", fact["message"])

    async def stop(self) -> None:
        if self._task is None:
            return
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._facts.join(), DRAIN_TIMEOUT_S)
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._task = None

    async def _run(self) -> None:
        while True:
            fact = await self._facts.get()
            try:
                await self._tell(fact)
            except (StatusError, OSError, TimeoutError) as error:
                logger.debug("event not written: %s: %s", fact["message"], error)
            except Exception:
                logger.exception("event not written: %s", fact["message"])
            finally:
                self._facts.task_done()

    async def _tell(self, fact: Obj) -> None:
        now = self._now()
        about = fact["involvedObject"]
        who = (fact["source"].get("component"), fact["source"].get("host"))
        identity = (*who, about["kind"], about.get("namespace"), about["name"], about.get("uid"), about["apiVersion"])
        if not self._allowed(identity, now):
            return
        about_part = (*identity, about.get("fieldPath"), fact["type"], fact["reason"])
        key: Hashable = (*about_part, fact["message"])
        if self._folds(about_part, fact["message"], now):
            key = about_part
            fact = {**fact, "message": FOLDED_PREFIX + fact["message"]}
        told = self._told.get(key)
        if told is not None and await self._repeat(told, fact):
            return
        stamp = fact["firstTimestamp"]
        name = f"{about['name']}.{self._suffix(now)}"
        namespace = about.get("namespace") or "default"
        event = {**fact, "metadata": {"name": name, "namespace": namespace}, "count": 1}
        await self._create(event, namespace)
        self._told.put(key, _Told(name, namespace, 1, stamp))

    def _suffix(self, now: float) -> str:
        """Nanoseconds in hexadecimal, as upstream; two facts never share one."""
        self._serial = max(self._serial + 1, int(now * 1e9))
        return f"{self._serial:x}"

    async def _create(self, event: Obj, namespace: str) -> None:
        for _ in range(3):
            try:
                await self._api.create("events", event, namespace)
                return
            except StatusError as error:
                if error.code < 500 and error.code != 429:
                    raise
            except OSError:
                pass
            await asyncio.sleep(RETRY_DELAY_S)

    async def _repeat(self, told: _Told, fact: Obj) -> bool:
        patch = {"count": told.count + 1, "lastTimestamp": fact["lastTimestamp"], "message": fact["message"]}
        try:
            await self._api.patch("events", told.name, patch, told.namespace)
        except StatusError as error:
            if error.code == 404:  # pruned or deleted: told anew
                return False
            raise
        told.count += 1
        return True

    def _allowed(self, identity: Hashable, now: float) -> bool:
        bucket = self._buckets.get(identity)
        if bucket is None:
            bucket = _Bucket(last=now)
            self._buckets.put(identity, bucket)
        bucket.tokens = min(BURST, bucket.tokens + (now - bucket.last) / REFILL_S)
        bucket.last = now
        if bucket.tokens < 1:
            return False
        bucket.tokens -= 1
        return True

    def _folds(self, about_part: Hashable, message: str, now: float) -> bool:
        similar = self._similar.get(about_part)
        if similar is None or now - similar.last > FOLD_INTERVAL_S:
            similar = _Similar()
            self._similar.put(about_part, similar)
        similar.last = now
        similar.messages.add(message)
        if len(similar.messages) < FOLD_AFTER:
            return False
        similar.messages.pop()
        return True


class EventRecorder:
    """Tells people what happened to objects, as one component.

    Args:
        api: where the events are written.
        component: who speaks, such as ``kubelet`` or ``deployment-controller``.
        host: the node the component runs on; empty for a controller.
        now: the clock, in seconds since the epoch.
        sharing: a recorder whose queue, correlation and writing task this one uses.
    """

    def __init__(
        self,
        api: KubeApi,
        component: str,
        *,
        host: str = "",
        now: Callable[[], float] = time.time,
        sharing: EventRecorder | None = None,
    ) -> None:
        self.component = component
        self.host = host
        self._api = api
        self._now = now
        self._writer: _Writer = sharing._writer if sharing is not None else _Writer(api, now)

    def with_component(self, component: str, *, host: str = "") -> EventRecorder:
        """A recorder for another component that shares this one's queue and task."""
        return EventRecorder(self._api, component, host=host, now=self._now, sharing=self)

    def event(self, obj: Obj, type_: str, reason: str, message: str, *, field_path: str = "") -> None:
        """Note a fact about an object; returns at once and never fails.

        Args:
            obj: the object concerned, with apiVersion and kind.
            type_: ``Normal`` or ``Warning``.
            reason: one CamelCase word, such as ``SuccessfulCreate``.
            message: a sentence for people.
            field_path: the part concerned, such as ``spec.containers{web}``.
        """
        stamp = datetime.fromtimestamp(int(self._now()), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        source = {"component": self.component}
        if self.host:
            source["host"] = self.host
        self._writer.put(
            {
                "apiVersion": "v1",
                "kind": "Event",
                "involvedObject": object_reference(obj, field_path),
                "reason": reason,
                "message": message[:1024],
                "source": source,
                "firstTimestamp": stamp,
                "lastTimestamp": stamp,
                "type": type_,
                "eventTime": None,
                "reportingComponent": self.component,
                "reportingInstance": self.host,
            }
        )

    async def stop(self) -> None:
        """Write what is queued (for a moment at most), then end the writing task of all sharing recorders."""
        await self._writer.stop()


def object_reference(obj: Obj, field_path: str = "") -> Obj:
    """A ``core/v1 ObjectReference`` to an object."""
    metadata = obj["metadata"]
    reference = {
        "kind": obj.get("kind", ""),
        "namespace": metadata.get("namespace", ""),
        "name": metadata["name"],
        "uid": metadata.get("uid", ""),
        "apiVersion": obj.get("apiVersion", ""),
        "resourceVersion": metadata.get("resourceVersion", ""),
        "fieldPath": field_path,
    }
    return {key: value for key, value in reference.items() if value or key in ("kind", "apiVersion")}


class EventPruner:
    """Deletes events an hour after they were last told, as the API server's event TTL does upstream."""

    def __init__(self, api: KubeApi, *, ttl_s: float = TTL_S, now: Callable[[], float] = time.time) -> None:
        self._api = api
        self._ttl_s = ttl_s
        self._now = now
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Prune now and then, in a task."""
        self._task = asyncio.create_task(self._run(), name="event pruner")

    async def stop(self) -> None:
        """End the task."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def prune(self) -> int:
        """Delete the events that are too old; returns how many."""
        oldest = self._now() - self._ttl_s
        pruned = 0
        for event in (await self._api.list("events")).items:
            if _last_told(event) < oldest:
                metadata = event["metadata"]
                with contextlib.suppress(StatusError):
                    await self._api.delete("events", metadata["name"], metadata["namespace"])
                    pruned += 1
        return pruned

    async def _run(self) -> None:
        while True:
            try:
                await self.prune()
            except (StatusError, OSError) as error:
                logger.debug("events not pruned: %s", error)
            await asyncio.sleep(PRUNE_INTERVAL_S)


def _last_told(event: Obj) -> float:
    series = event.get("series") or {}
    for text in (
        event.get("lastTimestamp"),
        series.get("lastObservedTime"),
        event.get("eventTime"),
        event["metadata"].get("creationTimestamp"),
    ):
        if text:
            return datetime.fromisoformat(text).timestamp()
    return 0.0
