"""The Kubernetes API as a controller uses it: it reads shared caches, and its writes wait until the caches show them.

The second half is what keeps the controllers simple. A reconcile that has created 100 pods returns only when the pod
cache has seen them, so the next reconcile of the same key never acts on a picture older than its own deeds. Upstream
reaches the same with *expectations* kept per key.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

import orjson

from meshlab.minicluster.informer import Handler, Informer, Key
from meshlab.minicluster.kubeapi import KubeApi, Obj, PatchType, StatusError, object_key

logger = logging.getLogger(__name__)

SHOW_TIMEOUT_S = 2.0
"""How long a write waits for the cache; later the reconcile goes on, and a conflict would put it right."""

Propagation = Literal["Background", "Foreground", "Orphan"]


def thaw(obj: Obj) -> Obj:
    """A deep copy that may be changed."""
    copy: Obj = orjson.loads(orjson.dumps(obj))
    return copy


def version_of(obj: Obj) -> int:
    """The resourceVersion as a number; 0 if there is none. They are comparable since Kubernetes 1.35."""
    text = obj.get("metadata", {}).get("resourceVersion", "")
    return int(text) if text.isdigit() else 0


class Index:
    """The objects of a cache grouped by something each of them says, kept up to date by the informer."""

    def __init__(self, informer: Informer, values: Callable[[Obj], Iterable[str]]) -> None:
        self._values = values
        self._groups: dict[str, dict[Key, Obj]] = {}
        informer.subscribe(self._changed)

    def get(self, value: str) -> list[Obj]:
        """The objects of one group; unordered."""
        group = self._groups.get(value)
        return list(group.values()) if group else []

    def __contains__(self, value: str) -> bool:
        return value in self._groups

    def _changed(self, old: Obj | None, new: Obj | None) -> None:
        before = set(self._values(old)) if old is not None else set()
        after = set(self._values(new)) if new is not None else set()
        if old is not None:
            key = object_key(old)
            for value in before - after:
                group = self._groups.get(value)
                if group is not None:
                    group.pop(key, None)
                    if not group:
                        del self._groups[value]
        if new is not None:
            key = object_key(new)
            for value in after:
                self._groups.setdefault(value, {})[key] = new


class Cache:
    """The shared informer of one resource, its indexes, and who waits for it to show a write."""

    def __init__(self, api: KubeApi, resource: str) -> None:
        self.resource = resource
        self.informer = Informer(api, resource)
        self._indexes: dict[str, Index] = {}
        self._newest = 0
        self._waiters: list[tuple[Callable[[], bool], asyncio.Future[None]]] = []
        self.informer.subscribe(self._progress)

    def get(self, name: str, namespace: str = "") -> Obj | None:
        """The object as last seen."""
        return self.informer.objects.get((namespace, name))

    def all(self) -> list[Obj]:
        """Every object, as last seen."""
        return list(self.informer.objects.values())

    def in_namespace(self, namespace: str) -> list[Obj]:
        """The objects of one namespace, by index."""
        return self.index("namespace", lambda obj: (obj["metadata"].get("namespace", ""),)).get(namespace)

    def controlled_by(self, uid: str) -> list[Obj]:
        """The objects whose controlling owner has this uid, by index."""
        return self.index("controller", _controller_uids).get(uid)

    def uncontrolled_in(self, namespace: str) -> list[Obj]:
        """The objects of a namespace that no controller owns, by index."""
        return self.index("uncontrolled", _uncontrolled_namespaces).get(namespace)

    def index(self, name: str, values: Callable[[Obj], Iterable[str]]) -> Index:
        """The index of that name, made at first use."""
        index = self._indexes.get(name)
        if index is None:
            index = self._indexes[name] = Index(self.informer, values)
        return index

    def subscribe(self, handler: Handler) -> None:
        """Hear of every change; see `Informer.subscribe`."""
        self.informer.subscribe(handler)

    async def shows(self, obj: Obj) -> None:
        """Wait until the cache is as new as this object that a write returned."""
        version = version_of(obj)
        await self._until(lambda: self._newest >= version)

    async def shows_deletion(self, obj: Obj) -> None:
        """Wait until the cache has lost this object or knows that it is being deleted."""
        key, uid = object_key(obj), obj["metadata"].get("uid")

        def gone() -> bool:
            current = self.informer.objects.get(key)
            if current is None:
                return True
            metadata = current["metadata"]
            return metadata.get("uid") != uid or "deletionTimestamp" in metadata

        await self._until(gone)

    async def _until(self, condition: Callable[[], bool]) -> None:
        if condition() or not self.informer.synced.is_set():
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiter = (condition, future)
        self._waiters.append(waiter)
        try:
            async with asyncio.timeout(SHOW_TIMEOUT_S):
                await future
        except TimeoutError:
            logger.debug("the cache of %s is late", self.resource)
        finally:
            if waiter in self._waiters:
                self._waiters.remove(waiter)

    def _progress(self, old: Obj | None, new: Obj | None) -> None:
        seen = new if new is not None else old
        if seen is not None:
            self._newest = max(self._newest, version_of(seen))
        if self._waiters:
            still = []
            for waiter in self._waiters:
                condition, future = waiter
                if condition():
                    if not future.done():
                        future.set_result(None)
                else:
                    still.append(waiter)
            self._waiters = still


def _controller_uids(obj: Obj) -> Iterable[str]:
    return (ref["uid"] for ref in obj["metadata"].get("ownerReferences", ()) if ref.get("controller"))


def _uncontrolled_namespaces(obj: Obj) -> Iterable[str]:
    metadata = obj["metadata"]
    if not any(ref.get("controller") for ref in metadata.get("ownerReferences", ())):
        yield metadata.get("namespace", "")


class CachedApi:
    """Shared caches, one per resource, in front of a `KubeApi`.

    Args:
        api: what is behind the caches; free for reads that must be live.
        now: the clock, in seconds since the epoch.
    """

    def __init__(self, api: KubeApi, *, now: Callable[[], float] = time.time) -> None:
        self.live = api
        self.now = now
        self._caches: dict[str, Cache] = {}
        self._started = False

    def cache(self, resource: str) -> Cache:
        """The cache of a resource; the first call makes it, and starts it if the others run already."""
        cache = self._caches.get(resource)
        if cache is None:
            cache = self._caches[resource] = Cache(self.live, resource)
            if self._started:
                cache.informer.start()
        return cache

    def informer(self, resource: str) -> Informer:
        """The shared informer of a resource, for parts that need no more (the forwarder, the name table)."""
        return self.cache(resource).informer

    async def start(self) -> None:
        """Start every cache that was asked for, and wait until each has listed once."""
        self._started = True
        caches = list(self._caches.values())
        for cache in caches:
            cache.informer.start()
        await asyncio.gather(*(cache.informer.synced.wait() for cache in caches))

    async def stop(self) -> None:
        """Stop every cache."""
        self._started = False
        await asyncio.gather(*(cache.informer.stop() for cache in self._caches.values()))

    async def forget(self, resource: str) -> None:
        """Stop and drop the cache of a resource that is no longer served."""
        cache = self._caches.pop(resource, None)
        if cache is not None:
            await cache.informer.stop()

    async def create(self, resource: str, obj: Obj, namespace: str | None = None) -> Obj:
        """Create an object and wait until its cache shows it."""
        return await self._shown(resource, await self.live.create(resource, obj, namespace))

    async def update(self, resource: str, obj: Obj, *, subresource: str = "") -> Obj:
        """Replace an object (409 if it changed meanwhile) and wait until its cache shows it."""
        return await self._shown(resource, await self.live.update(resource, obj, subresource=subresource))

    async def update_status(self, resource: str, obj: Obj, status: Obj) -> Obj:
        """Replace the status of an object as it was read; nothing is sent if it says the same already."""
        if obj.get("status") == status:
            return obj
        return await self.update(resource, {**obj, "status": status}, subresource="status")

    async def patch(
        self,
        resource: str,
        obj: Obj,
        patch: Obj | Sequence[Obj],
        *,
        patch_type: PatchType = "merge",
        subresource: str = "",
    ) -> Obj:
        """Patch the object of this name and wait until its cache shows it."""
        namespace, name = object_key(obj)
        patched = await self.live.patch(
            resource, name, patch, namespace or None, patch_type=patch_type, subresource=subresource
        )
        return await self._shown(resource, patched)

    async def delete(self, resource: str, obj: Obj, *, propagation: Propagation | None = None) -> None:
        """Delete exactly this object (by uid); one that is gone already counts as deleted."""
        namespace, name = object_key(obj)
        try:
            await self.live.delete(
                resource, name, namespace or None, propagation=propagation, uid=obj["metadata"].get("uid")
            )
        except StatusError as error:
            if error.code not in (404, 409):
                raise
        cache = self._caches.get(resource)
        if cache is not None:
            await cache.shows_deletion(obj)

    async def _shown(self, resource: str, obj: Obj) -> Obj:
        cache = self._caches.get(resource)
        if cache is not None:
            await cache.shows(obj)
        return obj


def get_path(obj: Obj | None, *path: str, default: Any = None) -> Any:
    """``obj[path[0]][path[1]]...``, or the default if any step is missing or null."""
    current: Any = obj
    for step in path:
        if not isinstance(current, dict):
            return default
        current = current.get(step)
    return default if current is None else current
