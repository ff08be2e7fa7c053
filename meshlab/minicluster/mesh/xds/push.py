"""One proxy's pushes: make before break, one refused resource never in the way of the others.

A push takes the proxy from what it has to a snapshot in steps, each ACKed before the next begins:

1. clusters that are new or changed, and with them the endpoints of every changed cluster (Envoy warms a changed cluster
   again, does not ask for its endpoints again, and withholds the ACK until it has them), then changed endpoints;
2. listeners; 3. routes; 4. secrets and extension configurations;
5. only then removals: listeners first, then clusters, which no route uses any more.

When a response is refused, its halves are sent again, and so on, until the resource at fault stands alone. That one
is set aside until its content changes; the proxy keeps its last good version, and clusters stay while a refused
listener or route may still point at them.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Mapping
from typing import Any

from meshlab.minicluster.mesh.xds.resources import (
    CLUSTER,
    ENDPOINT,
    EXTENSION,
    LISTENER,
    ROUTE,
    SECRET,
    TYPES,
    Resource,
    Snapshot,
)
from meshlab.minicluster.mesh.xds.stream import MISSING, Asked, Delivery, DeltaStream

ACK_TIMEOUT_S = 3.0
"""How long a step waits for its ACK before the next one begins anyway (a cluster may never warm)."""

SETTLE_S = 0.3
"""How long after a proxy came back nothing is taken from it: its routes may not have been heard of yet."""


class Pusher:
    """Brings one stream to the latest snapshot, again and again; run `run` in a task."""

    def __init__(self, stream: DeltaStream, *, ack_timeout_s: float = ACK_TIMEOUT_S) -> None:
        self.stream = stream
        self.current: Snapshot | None = None
        """The snapshot that is being pushed, or was pushed last; requests are answered out of it."""
        self.idle = asyncio.Event()
        """Set while there is nothing left to send, and everything that was sent has been answered."""
        self._desired: Snapshot | None = None
        self._wake = asyncio.Event()
        self._ack_timeout_s = ack_timeout_s
        self._removals_held = False
        self._pushing = False
        self._settling: asyncio.TimerHandle | None = None

    def set_snapshot(self, snapshot: Snapshot) -> None:
        """Replace what the proxy should have; a push that is under way finishes first."""
        self._desired = snapshot
        self._poke()

    def receive(self, request: Any) -> None:
        """Take a request: an ACK, a NACK, a subscription, or several of them at once."""
        delivery, asked = self.stream.receive(request)
        if delivery is not None and delivery.answer.done() and not delivery.awaited:
            self._unawaited(delivery)
        if asked is not None:
            if asked.first and asked.type_url == CLUSTER and self.stream.types[CLUSTER].acked:
                self._let_settle()
            self._answer(asked)
        self._note_idle()

    async def run(self) -> None:
        """Push until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            self.current = self._desired
            if self.current is not None:
                self._pushing = True
                await self._push()
                self._pushing = False
            self._note_idle()

    def close(self) -> None:
        """The stream is over."""
        if self._settling is not None:
            self._settling.cancel()

    def _poke(self) -> None:
        self._wake.set()
        self._note_idle()

    def _note_idle(self) -> None:
        busy = self._wake.is_set() or self._pushing or self.stream.pending or self._settling or self.current is None
        if busy:
            self.idle.clear()
        else:
            self.idle.set()

    def _let_settle(self) -> None:
        """Hold removals back for a moment: a proxy that reconnects names its types one after another."""

        def settled() -> None:
            self._settling = None
            self._poke()

        self._settling = asyncio.get_running_loop().call_later(SETTLE_S, settled)

    def _unawaited(self, delivery: Delivery) -> None:
        """Nobody waits for this answer: a NACK is isolated by another push, a late ACK may release removals."""
        outcome = delivery.answer.result()
        if not outcome.accepted:
            if len(delivery.resources) == 1:
                ((name, resource),) = delivery.resources.items()
                self.stream.reject(delivery.type_url, name, resource.version, outcome.detail)
            elif delivery.resources:
                self._poke()
        elif self._removals_held:
            self._poke()

    def _answer(self, asked: Asked) -> None:
        """Answer newly subscribed names at once; wildcard types and the first snapshot are the push's business."""
        state = self.stream.types[asked.type_url]
        if self.current is None:
            return
        if state.wildcard:
            self._poke()
            return
        available = self.current.get(asked.type_url, {})
        # What a proxy that came back has already is updated in the order of a push, not out of turn.
        if any(name in state.sent for name in asked.names):
            self._poke()
        new = [name for name in asked.names if name not in state.sent]
        found = {name: available[name] for name in new if name in available}
        missing = [name for name in new if name not in available]
        if found or missing:
            self.stream.send(asked.type_url, found, missing)

    async def _push(self) -> None:
        for type_url in (CLUSTER, ENDPOINT, LISTENER, ROUTE, SECRET, EXTENSION):
            await self._step(type_url)
        await self._remove()

    async def _step(self, type_url: str) -> None:
        """Send what is new, changed or asked for in vain."""
        state = self.stream.types[type_url]
        if not self.stream.subscribed(type_url):
            return
        available = self._available(type_url)
        if available is state.settled and not state.owes_answer:
            return
        # What was refused is not wanted any more: the proxy has what it should have.
        for name, resource in available.items():
            if name in state.rejected and state.acked.get(name) == resource.version:
                del state.rejected[name]
        changed = {
            name: resource
            for name, resource in available.items()
            if state.wants(name)
            and state.sent.get(name) != resource.version
            and not (name in state.rejected and state.rejected[name].version == resource.version)
        }
        missing = [name for name in state.names if name not in available and name not in state.sent]
        if changed:
            await self._deliver(type_url, changed, missing)
        elif missing or state.owes_answer:
            await self._outcome(self.stream.send(type_url, {}, missing))
        else:
            state.settled = available

    async def _deliver(self, type_url: str, resources: Mapping[str, Resource], missing: Iterable[str] = ()) -> None:
        """Send resources and wait for the answer; on a NACK find the ones at fault by halving."""
        deliveries = [self.stream.send(type_url, resources, missing)]
        if type_url == CLUSTER:
            deliveries += self._resend_endpoints(resources)
        for delivery in deliveries:
            delivery.awaited = True
        detail = await self._outcome(deliveries[0])
        for delivery in deliveries[1:]:
            await self._outcome(delivery)
        if detail is None:
            return
        if len(resources) == 1:
            ((name, resource),) = resources.items()
            self.stream.reject(type_url, name, resource.version, detail)
            return
        items = list(resources.items())
        middle = len(items) // 2
        await self._deliver(type_url, dict(items[:middle]))
        await self._deliver(type_url, dict(items[middle:]))

    def _resend_endpoints(self, clusters: Iterable[str]) -> list[Delivery]:
        available = self._available(ENDPOINT)
        wanted = self.stream.types[ENDPOINT].names
        again = {name: available[name] for name in clusters if name in wanted and name in available}
        return [self.stream.send(ENDPOINT, again)] if again else []

    async def _outcome(self, delivery: Delivery) -> str | None:
        """Wait for the answer; the text of a NACK, or None for an ACK and for no answer in time."""
        delivery.awaited = True
        done, _ = await asyncio.wait([delivery.answer], timeout=self._ack_timeout_s)
        delivery.awaited = False
        if not done or delivery.answer.cancelled():
            return None
        outcome = delivery.answer.result()
        return None if outcome.accepted else outcome.detail

    async def _remove(self) -> None:
        await self._remove_type(LISTENER)
        self._removals_held = not self._may_break()
        if self._removals_held:
            return
        await self._remove_type(CLUSTER)
        for type_url in TYPES:
            if type_url not in (LISTENER, CLUSTER):
                await self._remove_type(type_url)

    def _may_break(self) -> bool:
        """Whether the proxy has taken over everything that could still point at what is to be removed."""
        refused = any(
            name in self._available(type_url)
            for type_url in (LISTENER, ROUTE)
            for name in self.stream.types[type_url].rejected
        )
        return not refused and not self.stream.pending and self._settling is None

    async def _remove_type(self, type_url: str) -> None:
        stale = self._stale(type_url)
        if stale:
            await self._outcome(self.stream.send(type_url, {}, stale))

    def _stale(self, type_url: str) -> list[str]:
        """Names that the proxy has and the snapshot has not."""
        available = self._available(type_url)
        state = self.stream.types[type_url]
        return [name for name, version in state.sent.items() if version != MISSING and name not in available]

    def _available(self, type_url: str) -> Mapping[str, Resource]:
        return self.current.get(type_url, {}) if self.current is not None else {}


async def wait_idle(pushers: Iterable[Pusher], timeout_s: float) -> bool:
    """Whether all of them have nothing left to send before the time is over."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(timeout_s):
            for pusher in pushers:
                await pusher.idle.wait()
            return True
    return False
