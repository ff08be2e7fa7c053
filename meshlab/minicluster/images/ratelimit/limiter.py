"""Decisions: descriptors against limits, counted in a store that all replicas share."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from meshlab.minicluster.images.ratelimit.config import Config, Entries, Limit

Add = Callable[[Sequence[tuple[str, int, int]]], Awaitable[list[int]]]
"""Takes (key, how many, seconds until it ends); the sums after adding."""


@dataclass(frozen=True, slots=True)
class Status:
    """What became of one descriptor."""

    limit: Limit | None
    over: bool = False
    remaining: int = 0
    reset_s: int = 0


class Limiter:
    """Counts requests.

    Args:
        add: adds to counters.
        clock: seconds since the epoch.
    """

    def __init__(self, add: Add, clock: Callable[[], float] = time.time) -> None:
        self._add = add
        self._clock = clock

    async def judge(self, config: Config, domain: str, descriptors: Sequence[Entries], hits: int) -> list[Status]:
        """One status for each descriptor; a descriptor that nothing is said of is never over its limit."""
        moment = int(self._clock())
        limits = [config.limit(domain, entries) for entries in descriptors]
        counted: list[tuple[str, int, int]] = []
        for limit, entries in zip(limits, descriptors, strict=True):
            if limit is not None and not limit.unlimited:
                counted.append((counter_key(domain, entries, limit, moment), max(hits, 1), limit.window_s))
        sums = iter(await self._add(counted) if counted else [])
        return [
            _status(limit, next(sums), moment) if limit is not None and not limit.unlimited else Status(limit)
            for limit in limits
        ]


def counter_key(domain: str, entries: Entries, limit: Limit, moment: int) -> str:
    """Upstream's name for a counter: the domain, the entries, and when its window began."""
    begin = moment // limit.window_s * limit.window_s
    return "_".join([domain, *(part for pair in entries for part in pair), str(begin)])


def _status(limit: Limit, total: int, moment: int) -> Status:
    over = total > limit.requests_per_unit and not limit.shadow
    remaining = max(limit.requests_per_unit - total, 0)
    return Status(limit, over, remaining, limit.window_s - moment % limit.window_s)
