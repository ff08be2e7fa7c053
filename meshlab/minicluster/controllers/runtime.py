"""What every controller is: watches that put keys on a queue, and workers that reconcile one key at a time."""

from __future__ import annotations

import asyncio
import logging

from meshlab.minicluster.controllers.cache import CachedApi
from meshlab.minicluster.controllers.workqueue import QueueClosed, WorkQueue
from meshlab.minicluster.events import EventRecorder
from meshlab.minicluster.informer import Key
from meshlab.minicluster.kubeapi import Obj, StatusError, object_key

logger = logging.getLogger(__name__)


class Controller:
    """Base of the controllers whose keys are objects; a subclass subscribes in its constructor and reconciles.

    Args:
        api: the shared caches and the API behind them.
        recorder: where the controller's events go; they carry the controller's ``component``.
    """

    component = ""
    """Upstream's name of the controller, as events show it; empty for one that emits none."""
    workers = 4
    """How many keys are reconciled side by side."""

    def __init__(self, api: CachedApi, recorder: EventRecorder) -> None:
        self.api = api
        self.recorder = recorder.with_component(self.component) if self.component else recorder
        self.queue: WorkQueue[Key] = WorkQueue()
        self._tasks: list[asyncio.Task[None]] = []

    async def reconcile(self, key: Key) -> None:
        """Bring the world one step nearer to what the object of this key asks for."""
        raise NotImplementedError

    def enqueue(self, obj: Obj) -> None:
        """Have the object reconciled soon."""
        self.queue.add(object_key(obj))

    def watch(self, resource: str) -> None:
        """Reconcile every object of a resource whenever it changes."""

        def changed(old: Obj | None, new: Obj | None) -> None:
            self.enqueue(new if new is not None else old or {})

        self.api.cache(resource).subscribe(changed)

    def start(self) -> None:
        """Start the workers; the caches must be filled."""
        self._tasks = [
            asyncio.create_task(self._work(), name=f"{type(self).__name__} {number}") for number in range(self.workers)
        ]

    async def stop(self) -> None:
        """End the workers; a reconcile under way is cancelled."""
        self.queue.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []

    async def _work(self) -> None:
        while True:
            try:
                key = await self.queue.get()
            except QueueClosed:
                return
            try:
                await self.reconcile(key)
                self.queue.forget(key)
            except StatusError as error:
                # A conflict means that somebody else wrote first: the cache will show it in a moment.
                level = logging.DEBUG if error.code in (404, 409) else logging.INFO
                logger.log(level, "%s %s/%s: %s", type(self).__name__, *key, error)
                self.queue.add_rate_limited(key)
            except Exception:
                logger.exception("%s %s/%s failed", type(self).__name__, *key)
                self.queue.add_rate_limited(key)
            finally:
                self.queue.done(key)
