"""Custom resources go with their definition: when one is deleted, so are its objects, and only then the definition.

The finalizer that holds the definition meanwhile is upstream's, and so is the order.
"""

from __future__ import annotations

import asyncio
import logging

from meshlab.minicluster.apiserver.crd import CLEANUP_FINALIZER, CRD_STORAGE, accepted_names
from meshlab.minicluster.apiserver.registry import Registry, thaw
from meshlab.minicluster.apiserver.requests import DeleteOptions, Request
from meshlab.minicluster.apiserver.selection import Selection
from meshlab.minicluster.apiserver.store import Change
from meshlab.minicluster.apiserver.users import User
from meshlab.minicluster.kubeapi import Obj, StatusError

logger = logging.getLogger(__name__)


class DefinitionCleaner:
    """Deletes the objects of dying definitions, as a task per definition."""

    def __init__(self, registry: Registry, user: User) -> None:
        self._registry = registry
        self._user = user
        self._tasks: dict[str, asyncio.Task[None]] = {}
        registry.store.listen(self._noticed)

    def start(self) -> None:
        """Go on with definitions that were dying when the server stopped."""
        for record in self._registry.store.collection(CRD_STORAGE).records.values():
            self._consider(record.obj)

    async def stop(self) -> None:
        """Leave the rest to the next start."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _noticed(self, collection: str, change: Change) -> None:
        if collection == CRD_STORAGE and change.type != "DELETED":
            self._consider(change.record.obj)

    def _consider(self, definition: Obj) -> None:
        metadata = definition["metadata"]
        name = metadata["name"]
        dying = metadata.get("deletionTimestamp") and CLEANUP_FINALIZER in (metadata.get("finalizers") or ())
        if dying and name not in self._tasks:
            task = asyncio.create_task(self._clean(definition), name=f"clean up {name}")
            self._tasks[name] = task
            task.add_done_callback(lambda _: self._tasks.pop(name, None))

    async def _clean(self, definition: Obj) -> None:
        name = definition["metadata"]["name"]
        try:
            await self._delete_objects(definition)
            await self._release(name)
        except StatusError as error:
            if error.code != 404:
                logger.error("cleaning up after %s: %s", name, error)

    async def _delete_objects(self, definition: Obj) -> None:
        spec = definition["spec"]
        group, plural = spec["group"], accepted_names(spec)["plural"]
        try:
            resource = self._registry.catalog.resolve(f"{plural}.{group}")
        except StatusError:
            return
        request = Request(self._user, resource)
        subscription = self._registry.store.subscribe(resource.storage)
        try:
            await self._registry.delete_collection(request, Selection(resource), DeleteOptions())
            # Those with finalizers stay until somebody takes them off.
            while self._registry.store.collection(resource.storage).records:
                await subscription.wait(3600)
                subscription.take()
        finally:
            subscription.close()

    async def _release(self, name: str) -> None:
        resource = self._registry.catalog.resolve("customresourcedefinitions.apiextensions.k8s.io")

        def without_finalizer(definition: Obj) -> Obj:
            copy = thaw(definition)
            left = [f for f in copy["metadata"].get("finalizers") or () if f != CLEANUP_FINALIZER]
            copy["metadata"]["finalizers"] = left
            if not left:
                del copy["metadata"]["finalizers"]
            return copy

        await self._registry.modify(Request(self._user, resource, name=name), without_finalizer)
