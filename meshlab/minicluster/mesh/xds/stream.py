"""One proxy's delta stream: what it subscribed to, what it was sent, what it ACKed or refused.

The protocol's bookkeeping and nothing else: no sockets (responses go to a callable) and no decision what to send when
(`push.Pusher`). The rules are those of Envoy's "xDS REST and gRPC protocol", section "Incremental xDS".
"""

from __future__ import annotations

import asyncio
import datetime as dt
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from meshlab.minicluster.mesh import proto
from meshlab.minicluster.mesh.xds.resources import WILDCARD_TYPES, Resource

MISSING = ""
"""The version of a name that the proxy asked for and was told not to exist."""

RESTORED = "0"
"""Stands for the nonce of what a proxy had when it connected; real nonces begin at 1."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a proxy answered one response."""

    accepted: bool
    detail: str = ""
    """The text of a NACK, as Envoy words it."""


@dataclass(slots=True)
class Delivery:
    """One response on its way: the resources in it, and its answer once there is one."""

    nonce: str
    type_url: str
    resources: Mapping[str, Resource]
    removed: tuple[str, ...]
    answer: asyncio.Future[Outcome]
    awaited: bool = False
    """Whether somebody waits for the answer and will act on a NACK."""


@dataclass(frozen=True, slots=True)
class Rejection:
    """A resource that the proxy refused; it is not sent again until its content changes."""

    version: str
    detail: str
    at: dt.datetime


@dataclass(slots=True)
class TypeState:
    """What is known of one type on one stream."""

    wildcard: bool = False
    names: set[str] = field(default_factory=set)
    """Names the proxy subscribed to one by one."""
    sent: dict[str, str] = field(default_factory=dict)
    """Name -> version on its way to the proxy or there already; `MISSING` if it was told that there is none."""
    acked: dict[str, str] = field(default_factory=dict)
    rejected: dict[str, Rejection] = field(default_factory=dict)
    owes_answer: bool = False
    """A wildcard subscription waits for its first response, even if that is empty."""
    sent_nonce: str = ""
    acked_nonce: str = ""
    settled: Mapping[str, Resource] | None = None
    """Resources of which the proxy was sent all that it wants; a subscription or a refusal since then unsettles."""
    updated: dt.datetime | None = None

    def wants(self, name: str) -> bool:
        """Whether the proxy subscribed to this resource."""
        return self.wildcard or name in self.names


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request newly asks for."""

    type_url: str
    names: frozenset[str]
    first: bool
    """The first request of this type on the stream."""


class DeltaStream:
    """The state of one stream.

    Args:
        write: takes a ``DeltaDiscoveryResponse``; must not block.
    """

    def __init__(self, write: Callable[[Any], None]) -> None:
        self.types: defaultdict[str, TypeState] = defaultdict(TypeState)
        self.pending: dict[str, Delivery] = {}
        self.nacks = 0
        self._subscribed: set[str] = set()
        self._write = write
        self._nonce = 0
        self._response = proto.message_class("envoy.service.discovery.v3.DeltaDiscoveryResponse")

    def subscribed(self, type_url: str) -> bool:
        """Whether the proxy has asked for this type at all."""
        return type_url in self._subscribed

    def send(self, type_url: str, resources: Mapping[str, Resource], removed: Iterable[str] = ()) -> Delivery:
        """Send a response and note what is in it.

        ``removed`` are names that the proxy has and should drop, or asked for and that do not exist.
        """
        self._nonce += 1
        nonce = str(self._nonce)
        response = self._response(type_url=type_url, nonce=nonce, system_version_info=nonce)
        response.removed_resources.extend(removed)
        state = self.types[type_url]
        for name, resource in resources.items():
            item = response.resources.add(name=name, version=resource.version)
            item.resource.type_url = type_url
            item.resource.value = resource.payload
            state.sent[name] = resource.version
        for name in response.removed_resources:
            state.sent.pop(name, None)
            state.acked.pop(name, None)
            state.rejected.pop(name, None)
            if name in state.names:
                state.sent[name] = MISSING
        state.owes_answer = False
        state.sent_nonce = nonce
        state.updated = dt.datetime.now(dt.UTC)
        answer: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        delivery = Delivery(nonce, type_url, resources, tuple(response.removed_resources), answer)
        self.pending[nonce] = delivery
        self._write(response)
        return delivery

    def receive(self, request: Any) -> tuple[Delivery | None, Asked | None]:
        """Take note of a ``DeltaDiscoveryRequest``.

        Returns:
            The delivery that it answers (its `Delivery.answer` is done then), and what it newly asks for.
        """
        delivery = self._settle(request) if request.response_nonce else None
        return delivery, self._subscribe(request)

    def reject(self, type_url: str, name: str, version: str, detail: str) -> None:
        """Remember that this content of a resource is not accepted; the proxy keeps what it had."""
        state = self.types[type_url]
        state.rejected[name] = Rejection(version, detail, dt.datetime.now(dt.UTC))
        state.settled = None

    def close(self) -> None:
        """The stream ended: nobody will answer any more."""
        for delivery in self.pending.values():
            if not delivery.answer.done():
                delivery.answer.cancel()
        self.pending.clear()

    def _settle(self, request: Any) -> Delivery | None:
        delivery = self.pending.pop(request.response_nonce, None)
        if delivery is None:
            return None
        state = self.types[delivery.type_url]
        state.updated = dt.datetime.now(dt.UTC)
        if request.HasField("error_detail"):
            self.nacks += 1
            for name, resource in delivery.resources.items():
                if state.sent.get(name) == resource.version:
                    self._restore(state, name)
            outcome = Outcome(accepted=False, detail=request.error_detail.message)
        else:
            state.acked_nonce = delivery.nonce
            for name, resource in delivery.resources.items():
                if name in state.sent:
                    state.acked[name] = resource.version
                state.rejected.pop(name, None)
            outcome = Outcome(accepted=True)
        if not delivery.answer.done():
            delivery.answer.set_result(outcome)
        return delivery

    @staticmethod
    def _restore(state: TypeState, name: str) -> None:
        """After a NACK the proxy still has what it ACKed last, if anything."""
        state.settled = None
        if name in state.acked:
            state.sent[name] = state.acked[name]
        else:
            del state.sent[name]

    def _subscribe(self, request: Any) -> Asked | None:
        type_url = request.type_url
        state = self.types[type_url]
        first = type_url not in self._subscribed
        if first or request.resource_names_subscribe or request.resource_names_unsubscribe:
            state.settled = None
        subscribe = set(request.resource_names_subscribe)
        known = dict(request.initial_resource_versions) if first else {}
        if first:
            self._subscribed.add(type_url)
            state.sent.update(known)
            state.acked.update(known)
            if known:
                state.sent_nonce = state.acked_nonce = RESTORED
            if type_url in WILDCARD_TYPES and not subscribe:
                state.wildcard = True
        if "*" in subscribe:
            state.wildcard = True
        if first and state.wildcard:
            state.owes_answer = not known
        names = subscribe - {"*"}
        if not state.wildcard:
            names |= known.keys()
        for name in request.resource_names_unsubscribe:
            if name == "*":
                state.wildcard = False
            state.names.discard(name)
            for versions in (state.sent, state.acked, state.rejected):
                versions.pop(name, None)
        for name in names - known.keys():
            # Who subscribes again has forgotten what it had.
            state.sent.pop(name, None)
            state.acked.pop(name, None)
            state.rejected.pop(name, None)
        state.names |= names
        if not first and not names:
            return None
        return Asked(type_url, frozenset(names), first)
