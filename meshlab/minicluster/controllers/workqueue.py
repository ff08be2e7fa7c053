"""A queue of keys: each key is worked on by one worker at a time, and however often it is added, it waits once.

The semantics are those of client-go's ``workqueue``: a key that is added while it is being worked on is handed out
again afterwards; a key that failed comes back after a delay that doubles with each failure.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)

BASE_DELAY_S = 0.005
MAX_DELAY_S = 10.0
"""Upstream grows to 1000 s; in a lab somebody is waiting for the repair to show."""


class QueueClosed(Exception):
    """The queue was closed; its workers end."""


class WorkQueue(Generic[K]):
    """A de-duplicating queue with delayed and rate-limited additions; must be used inside one event loop."""

    def __init__(self, *, base_delay_s: float = BASE_DELAY_S, max_delay_s: float = MAX_DELAY_S) -> None:
        self._base_delay_s = base_delay_s
        self._max_delay_s = max_delay_s
        self._waiting: deque[K] = deque()
        self._dirty: set[K] = set()
        self._processing: set[K] = set()
        self._failures: dict[K, int] = {}
        self._timers: dict[K, asyncio.TimerHandle] = {}
        self._getters: deque[asyncio.Future[None]] = deque()
        self._closed = False

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def idle(self) -> bool:
        """Whether no key waits or is being worked on (delayed keys do not count)."""
        return not self._dirty and not self._processing

    def add(self, key: K) -> None:
        """Hand the key to a worker as soon as possible."""
        if self._closed or key in self._dirty:
            return
        self._dirty.add(key)
        if key not in self._processing:
            self._push(key)

    def add_after(self, key: K, delay_s: float) -> None:
        """Add the key after a delay; of several delays for one key the earliest counts."""
        if self._closed:
            return
        if delay_s <= 0:
            self.add(key)
            return
        loop = asyncio.get_running_loop()
        due = loop.time() + delay_s
        timer = self._timers.get(key)
        if timer is not None:
            if timer.when() <= due:
                return
            timer.cancel()
        self._timers[key] = loop.call_at(due, self._elapsed, key)

    def add_rate_limited(self, key: K) -> None:
        """Add the key after a delay that doubles with each call until `forget`."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        self.add_after(key, min(self._base_delay_s * 2 ** min(failures, 40), self._max_delay_s))

    def failures(self, key: K) -> int:
        """How often the key was rate limited since it was last forgotten."""
        return self._failures.get(key, 0)

    def forget(self, key: K) -> None:
        """The key succeeded: its next failure starts with the shortest delay again."""
        self._failures.pop(key, None)

    async def get(self) -> K:
        """The next key; the worker must call `done` when it has finished with it.

        Raises:
            QueueClosed: the queue was closed.
        """
        while not self._waiting:
            if self._closed:
                raise QueueClosed
            getter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._getters.append(getter)
            try:
                await getter
            except asyncio.CancelledError:
                if getter.done() and not getter.cancelled():
                    self._wake()
                raise
        key = self._waiting.popleft()
        self._processing.add(key)
        self._dirty.discard(key)
        return key

    def done(self, key: K) -> None:
        """A worker has finished with the key; if it was added meanwhile, it waits again."""
        self._processing.discard(key)
        if key in self._dirty and not self._closed:
            self._push(key)

    def close(self) -> None:
        """Forget every key and end the workers."""
        self._closed = True
        self._waiting.clear()
        self._dirty.clear()
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        while self._getters:
            self._wake()

    def _push(self, key: K) -> None:
        self._waiting.append(key)
        self._wake()

    def _wake(self) -> None:
        while self._getters:
            getter = self._getters.popleft()
            if not getter.done():
                getter.set_result(None)
                return

    def _elapsed(self, key: K) -> None:
        self._timers.pop(key, None)
        self.add(key)
