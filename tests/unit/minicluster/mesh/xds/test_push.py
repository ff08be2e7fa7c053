"""The order of a push, NACKs and their isolation, reconnects: a stream against a proxy made of a few lines."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from meshlab.minicluster.mesh import proto
from meshlab.minicluster.mesh.xds import Resource
from meshlab.minicluster.mesh.xds import push as push_module
from meshlab.minicluster.mesh.xds.push import Pusher
from meshlab.minicluster.mesh.xds.resources import CLUSTER, ENDPOINT, LISTENER, ROUTE
from meshlab.minicluster.mesh.xds.stream import MISSING, DeltaStream

Request = proto.message_class("envoy.service.discovery.v3.DeltaDiscoveryRequest")
SHORT = {CLUSTER: "CDS", ENDPOINT: "EDS", LISTENER: "LDS", ROUTE: "RDS"}


class Proxy:
    """Answers every response; NACKs those that hold a resource it does not like."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.bad: set[str] = set()
        self.answers = True
        self.pusher = Pusher(DeltaStream(self._receive), ack_timeout_s=0.05)
        self._held: list[Any] = []
        self._sent = asyncio.Event()

    async def until_sent(self, text: str) -> None:
        async with asyncio.timeout(2):
            while text not in self.log:
                self._sent.clear()
                await self._sent.wait()

    def subscribe(self, type_url: str, *names: str, known: dict[str, str] | None = None) -> None:
        request = Request(type_url=type_url, resource_names_subscribe=names)
        request.initial_resource_versions.update(known or {})
        self.pusher.receive(request)

    def _receive(self, response: Any) -> None:
        names = sorted(item.name for item in response.resources)
        removed = sorted(response.removed_resources)
        text = f"{SHORT[response.type_url]} {','.join(names)}" + (f" -{','.join(removed)}" if removed else "")
        self.log.append(text.replace("  ", " "))
        self._sent.set()
        if self.answers:
            asyncio.get_running_loop().call_soon(self._answer, response, names)
        else:
            self._held.append((response, names))

    def answer_held(self) -> None:
        self.answers = True
        for response, names in self._held:
            self._answer(response, names)

    def _answer(self, response: Any, names: list[str]) -> None:
        request = Request(type_url=response.type_url, response_nonce=response.nonce)
        wrong = self.bad & set(names)
        if wrong:
            request.error_detail.message = f"bad: {sorted(wrong)}"
        self.pusher.receive(request)


def snapshot(**types: str) -> dict[str, dict[str, Resource]]:
    """``snapshot(CDS="a:1 b:1")``: names with versions."""
    urls = {short: url for url, short in SHORT.items()}
    return {
        urls[short]: {
            name: Resource(urls[short], version, b"")
            for name, _, version in (item.partition(":") for item in items.split())
        }
        for short, items in types.items()
    }


@pytest.fixture
async def proxy() -> AsyncIterator[Proxy]:
    proxy = Proxy()
    task = asyncio.create_task(proxy.pusher.run())
    yield proxy
    task.cancel()
    proxy.pusher.close()
    proxy.pusher.stream.close()


async def settle(proxy: Proxy) -> list[str]:
    """Wait until nothing is left to send; what was sent since the last time."""
    async with asyncio.timeout(2):
        await proxy.pusher.idle.wait()
    sent, proxy.log = proxy.log, []
    return sent


def subscribe_all(proxy: Proxy) -> None:
    proxy.subscribe(CLUSTER)
    proxy.subscribe(ENDPOINT, "a")
    proxy.subscribe(LISTENER)
    proxy.subscribe(ROUTE, "r")


async def test_things_are_made_before_others_break(proxy: Proxy) -> None:
    subscribe_all(proxy)
    proxy.pusher.set_snapshot(snapshot(CDS="a:1", EDS="a:1", LDS="l:1", RDS="r:1"))
    # EDS goes with its cluster at once, as Envoy withholds the ACK of CDS until it has it.
    assert await settle(proxy) == ["CDS a", "EDS a", "LDS l", "RDS r"]
    proxy.subscribe(ENDPOINT, "b")
    proxy.log.clear()
    proxy.pusher.set_snapshot(snapshot(CDS="b:1", EDS="b:1", LDS="m:1", RDS="r:2"))
    assert await settle(proxy) == ["CDS b", "EDS b", "LDS m", "RDS r", "LDS -l", "CDS -a", "EDS -a"]


async def test_a_changed_cluster_gets_unchanged_endpoints_again(proxy: Proxy) -> None:
    subscribe_all(proxy)
    proxy.pusher.set_snapshot(snapshot(CDS="a:1", EDS="a:1", LDS="", RDS="r:1"))
    await settle(proxy)
    proxy.pusher.set_snapshot(snapshot(CDS="a:2", EDS="a:1", LDS="", RDS="r:1"))
    assert await settle(proxy) == ["CDS a", "EDS a"]


async def test_an_equal_snapshot_sends_nothing(proxy: Proxy) -> None:
    subscribe_all(proxy)
    proxy.pusher.set_snapshot(snapshot(CDS="a:1", EDS="a:1", LDS="l:1", RDS="r:1"))
    await settle(proxy)
    proxy.pusher.set_snapshot(snapshot(CDS="a:1", EDS="a:1", LDS="l:1", RDS="r:1"))
    assert await settle(proxy) == []


async def test_one_bad_resource_is_found_and_set_aside(proxy: Proxy) -> None:
    proxy.subscribe(CLUSTER)
    proxy.bad = {"c"}
    proxy.pusher.set_snapshot(snapshot(CDS="a:1 b:1 c:1 d:1 e:1"))
    await settle(proxy)
    state = proxy.pusher.stream.types[CLUSTER]
    assert set(state.acked) == {"a", "b", "d", "e"}
    assert {name: r.detail for name, r in state.rejected.items()} == {"c": "bad: ['c']"}
    proxy.pusher.set_snapshot(snapshot(CDS="a:2 b:1 c:1 d:1 e:1"))
    assert await settle(proxy) == ["CDS a"]
    proxy.bad = set()
    proxy.pusher.set_snapshot(snapshot(CDS="a:2 b:1 c:2 d:1 e:1"))
    assert await settle(proxy) == ["CDS c"]
    assert state.rejected == {}


async def test_a_refusal_is_forgotten_when_the_proxy_has_what_is_wanted_again(proxy: Proxy) -> None:
    proxy.subscribe(LISTENER)
    proxy.pusher.set_snapshot(snapshot(LDS="l:1"))
    await settle(proxy)
    proxy.bad = {"l"}
    proxy.pusher.set_snapshot(snapshot(LDS="l:2"))
    await settle(proxy)
    state = proxy.pusher.stream.types[LISTENER]
    assert state.rejected
    proxy.pusher.set_snapshot(snapshot(LDS="l:1"))
    assert await settle(proxy) == []
    assert state.rejected == {}


async def test_clusters_stay_while_a_refused_route_may_need_them(proxy: Proxy) -> None:
    subscribe_all(proxy)
    proxy.pusher.set_snapshot(snapshot(CDS="a:1", EDS="a:1", LDS="l:1", RDS="r:1"))
    await settle(proxy)
    proxy.bad = {"r"}
    proxy.pusher.set_snapshot(snapshot(CDS="b:1", EDS="", LDS="l:1", RDS="r:2"))
    assert await settle(proxy) == ["CDS b", "RDS r"]
    assert proxy.pusher.stream.types[ROUTE].acked == {"r": "1"}
    proxy.bad = set()
    proxy.pusher.set_snapshot(snapshot(CDS="b:1", EDS="", LDS="l:1", RDS="r:3"))
    assert await settle(proxy) == ["RDS r", "CDS -a", "EDS -a"]


async def test_nothing_is_removed_before_the_routes_are_acked(proxy: Proxy) -> None:
    subscribe_all(proxy)
    proxy.pusher.set_snapshot(snapshot(CDS="a:1", EDS="a:1", LDS="l:1", RDS="r:1"))
    await settle(proxy)
    proxy.answers = False
    proxy.pusher.set_snapshot(snapshot(CDS="b:1", EDS="", LDS="l:1", RDS="r:2"))
    await proxy.until_sent("RDS r")
    assert proxy.log == ["CDS b", "RDS r"]
    proxy.answer_held()
    assert "CDS -a" in await settle(proxy)


async def test_a_name_that_does_not_exist_is_answered_and_later_sent(proxy: Proxy) -> None:
    proxy.pusher.set_snapshot(snapshot(EDS="a:1"))
    await asyncio.sleep(0)
    proxy.subscribe(ENDPOINT, "a", "ghost")
    assert await settle(proxy) == ["EDS a -ghost"]
    assert proxy.pusher.stream.types[ENDPOINT].sent["ghost"] == MISSING
    proxy.pusher.set_snapshot(snapshot(EDS="a:1 ghost:1"))
    assert await settle(proxy) == ["EDS ghost"]


async def test_an_empty_wildcard_is_answered_once(proxy: Proxy) -> None:
    proxy.subscribe(LISTENER)
    proxy.pusher.set_snapshot(snapshot(LDS=""))
    assert await settle(proxy) == ["LDS "]
    proxy.pusher.set_snapshot(snapshot(LDS=""))
    assert await settle(proxy) == []


async def test_who_comes_back_is_sent_only_what_differs(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(push_module, "SETTLE_S", 0.05)
    proxy.pusher.set_snapshot(snapshot(CDS="b:1", EDS="b:1", LDS="l:1", RDS="r:2"))
    await asyncio.sleep(0)
    proxy.subscribe(CLUSTER, known={"a": "1"})
    proxy.subscribe(ENDPOINT, "a", known={"a": "1"})
    proxy.subscribe(LISTENER, known={"l": "1"})
    proxy.subscribe(ROUTE, "r", known={"r": "1"})
    sent = await settle(proxy)
    # The old cluster outlives the route that used it, although its type was heard of first.
    assert sent == ["CDS b", "RDS r", "CDS -a", "EDS -a"]


async def test_a_subscription_that_is_renewed_is_sent_again(proxy: Proxy) -> None:
    proxy.pusher.set_snapshot(snapshot(RDS="r:1"))
    await asyncio.sleep(0)
    proxy.subscribe(ROUTE, "r")
    await settle(proxy)
    proxy.pusher.receive(Request(type_url=ROUTE, resource_names_unsubscribe=["r"]))
    proxy.subscribe(ROUTE, "r")
    assert await settle(proxy) == ["RDS r"]


@pytest.mark.parametrize("answer", [lambda proxy: proxy.answer_held(), lambda proxy: None])
async def test_a_closed_stream_leaves_nothing_behind(proxy: Proxy, answer: Callable[[Proxy], None]) -> None:
    proxy.answers = False
    proxy.subscribe(CLUSTER)
    proxy.pusher.set_snapshot(snapshot(CDS="a:1"))
    await proxy.until_sent("CDS a")
    delivery = next(iter(proxy.pusher.stream.pending.values()))
    proxy.pusher.stream.close()
    answer(proxy)
    assert delivery.answer.cancelled()
    assert not proxy.pusher.stream.pending
