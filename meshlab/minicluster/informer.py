"""A list kept fresh by a watch, for controllers, the node and the control planes.

An informer lists once, then follows the watch; when the watch ends it resumes, and when it expired it lists again and
derives the events that were missed. Handlers are plain functions called in the informer's own task: they must
only take note (put a key on a queue, set an event).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from meshlab.minicluster.kubeapi import KubeApi, Obj, StatusError, object_key

logger = logging.getLogger(__name__)

Key = tuple[str, str]
Handler = Callable[[Obj | None, Obj | None], None]
"""Called with (old, new): (None, new) for an addition, (old, new) for a change, (old, None) for a deletion."""

RETRY_DELAY_S = 0.2


class Informer:
    """The objects of one resource, keyed by (namespace, name), and who wants to hear of their changes."""

    def __init__(self, api: KubeApi, resource: str, namespace: str | None = None, *, label_selector: str = "") -> None:
        self.resource = resource
        self.objects: dict[Key, Obj] = {}
        self.synced = asyncio.Event()
        self._api = api
        self._namespace = namespace
        self._label_selector = label_selector
        self._handlers: list[Handler] = []
        self._task: asyncio.Task[None] | None = None

    def subscribe(self, handler: Handler) -> None:
        """Add a handler; objects that are known already are announced to it as additions."""
        self._handlers.append(handler)
        for obj in list(self.objects.values()):
            handler(None, obj)

    def start(self) -> None:
        """Begin to list and watch in a task of the running loop."""
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name=f"informer {self.resource}")

    async def stop(self) -> None:
        """Stop watching; the objects stay readable."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    def get(self, name: str, namespace: str = "") -> Obj | None:
        """The object as last seen, or None."""
        return self.objects.get((namespace, name))

    def in_namespace(self, namespace: str) -> list[Obj]:
        """All objects of one namespace, as last seen."""
        return [obj for (ns, _), obj in self.objects.items() if ns == namespace]

    async def _run(self) -> None:
        while True:
            try:
                version = await self._relist()
                while True:
                    version = await self._follow(version)
            except asyncio.CancelledError:
                raise
            except StatusError as error:
                if error.code != 410:
                    logger.debug("informer %s: %s", self.resource, error)
                    await asyncio.sleep(RETRY_DELAY_S)
            except (OSError, EOFError, TimeoutError) as error:
                logger.debug("informer %s: %r", self.resource, error)
                await asyncio.sleep(RETRY_DELAY_S)

    async def _relist(self) -> str:
        listed = await self._api.list(self.resource, self._namespace, label_selector=self._label_selector)
        fresh = {object_key(obj): obj for obj in listed.items}
        for key in [key for key in self.objects if key not in fresh]:
            self._announce(self.objects.pop(key), None)
        for key, obj in fresh.items():
            old = self.objects.get(key)
            if old is None or old["metadata"]["resourceVersion"] != obj["metadata"]["resourceVersion"]:
                self.objects[key] = obj
                self._announce(old, obj)
        self.synced.set()
        return listed.resource_version

    async def _follow(self, version: str) -> str:
        async for event in self._api.watch(
            self.resource, self._namespace, resource_version=version, label_selector=self._label_selector
        ):
            version = event.object["metadata"]["resourceVersion"]
            if event.type == "BOOKMARK":
                continue
            key = object_key(event.object)
            if event.type == "DELETED":
                self._announce(self.objects.pop(key, event.object), None)
            else:
                old = self.objects.get(key)
                self.objects[key] = event.object
                self._announce(old, event.object)
        return version

    def _announce(self, old: Obj | None, new: Obj | None) -> None:
        for handler in self._handlers:
            try:
                handler(old, new)
            except Exception:
                logger.exception("handler of informer %s failed", self.resource)
