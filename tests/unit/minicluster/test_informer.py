from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, cast

import pytest

from meshlab.minicluster import informer as module
from meshlab.minicluster.informer import Informer
from meshlab.minicluster.kubeapi import KubeApi, Obj, ObjectList, StatusError, WatchEvent
from tests.fakes.kube_api import FakeKubeApi

Change = tuple[str | None, str | None]
EXPIRED = StatusError(410, "Expired", "too old resource version")


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RETRY_DELAY_S", 0)


def pod(name: str, version: str = "1", namespace: str = "default") -> Obj:
    return {"metadata": {"name": name, "namespace": namespace, "resourceVersion": version}}


def noting(into: list[Change]) -> Callable[[Obj | None, Obj | None], None]:
    def label(obj: Obj | None) -> str | None:
        return None if obj is None else f"{obj['metadata']['name']}@{obj['metadata']['resourceVersion']}"

    return lambda old, new: into.append((label(old), label(new)))


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0)


class Scripted:
    """An API whose lists and watches are written down; the last watch stays open."""

    def __init__(self, lists: list[ObjectList | Exception], watches: list[list[WatchEvent | Exception]]) -> None:
        self.lists = lists
        self.watches = watches
        self.watched_from: list[str] = []
        self.selectors: set[str] = set()

    async def list(self, resource: str, namespace: str | None, *, label_selector: str) -> ObjectList:
        self.selectors.add(label_selector)
        answer = self.lists.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def watch(
        self, resource: str, namespace: str | None, *, resource_version: str, label_selector: str
    ) -> AsyncIterator[WatchEvent]:
        self.watched_from.append(resource_version)
        if not self.watches:
            await asyncio.Event().wait()
        for event in self.watches.pop(0):
            if isinstance(event, Exception):
                raise event
            yield event


Follow = Callable[..., Awaitable[tuple[Informer, list[Change]]]]


@pytest.fixture
async def follow() -> AsyncIterator[Follow]:
    started: list[Informer] = []

    async def start(api: Scripted, **options: Any) -> tuple[Informer, list[Change]]:
        changes: list[Change] = []
        informer = Informer(cast(KubeApi, api), "pods", **options)
        informer.subscribe(noting(changes))
        informer.start()
        started.append(informer)
        await until(lambda: not api.watches and not api.lists)
        return informer, changes

    yield start
    for informer in started:
        await informer.stop()


async def test_a_list_then_what_changes(follow: Follow) -> None:
    api = Scripted(
        [ObjectList([pod("a"), pod("b")], "2")],
        [[
            WatchEvent("ADDED", pod("c", "3")),
            WatchEvent("MODIFIED", pod("a", "4")),
            WatchEvent("DELETED", pod("b", "5")),
            WatchEvent("BOOKMARK", {"metadata": {"resourceVersion": "9"}}),
        ]],
    )  # fmt: skip
    informer, changes = await follow(api, label_selector="app=x")
    await until(lambda: len(api.watched_from) == 2)
    assert changes == [(None, "a@1"), (None, "b@1"), (None, "c@3"), ("a@1", "a@4"), ("b@1", None)]
    assert sorted(informer.objects) == [("default", "a"), ("default", "c")]
    # A bookmark moves the point at which the next watch resumes.
    assert api.watched_from == ["2", "9"]
    assert api.selectors == {"app=x"}
    assert informer.synced.is_set()


async def test_an_expired_watch_lists_again_and_derives_what_was_missed(follow: Follow) -> None:
    api = Scripted(
        [ObjectList([pod("a"), pod("b"), pod("c")], "2"), ObjectList([pod("a"), pod("b", "7"), pod("d", "8")], "9")],
        [[EXPIRED]],
    )
    informer, changes = await follow(api)
    await until(lambda: len(api.watched_from) == 2)
    assert changes[3:] == [("c@1", None), ("b@1", "b@7"), (None, "d@8")]
    assert api.watched_from == ["2", "9"]
    assert informer.get("c", "default") is None


@pytest.mark.parametrize(
    "error", [StatusError(500, "InternalError", "x"), ConnectionResetError(), EOFError(), TimeoutError()]
)
async def test_a_server_that_fails_is_asked_again(follow: Follow, error: Exception) -> None:
    api = Scripted([error, error, ObjectList([pod("a")], "2"), ObjectList([pod("a")], "2")], [[error]])
    informer, changes = await follow(api)
    await until(lambda: len(api.watched_from) == 2)
    # The object was there all the time: it is announced once.
    assert changes == [(None, "a@1")]
    assert informer.synced.is_set()


async def test_a_handler_that_fails_does_not_stop_the_others(follow: Follow, caplog: pytest.LogCaptureFixture) -> None:
    api = Scripted([ObjectList([pod("a")], "2")], [])
    informer, changes = await follow(api)

    def broken(old: Obj | None, new: Obj | None) -> None:
        raise ValueError("broken")

    informer._handlers.insert(0, broken)
    informer._announce(None, pod("b"))
    assert changes[-1] == (None, "b@1")
    assert "handler of informer pods failed" in caplog.text


async def test_who_comes_late_hears_of_everything(follow: Follow) -> None:
    informer, _ = await follow(Scripted([ObjectList([pod("a"), pod("b")], "2")], []))
    late: list[Change] = []
    informer.subscribe(noting(late))
    assert late == [(None, "a@1"), (None, "b@1")]


async def test_objects_are_found_by_namespace(follow: Follow) -> None:
    node = {"metadata": {"name": "meshlab", "resourceVersion": "1"}}
    listed = [pod("a"), pod("a", namespace="other"), node]
    informer, _ = await follow(Scripted([ObjectList(listed, "2")], []))
    assert informer.get("a", "other") == listed[1]
    assert informer.get("meshlab") == node
    assert informer.in_namespace("default") == [listed[0]]


async def test_it_stops_and_stays_readable(follow: Follow) -> None:
    informer, _ = await follow(Scripted([ObjectList([pod("a")], "2")], []))
    await informer.stop()
    await informer.stop()
    assert informer.get("a", "default") is not None
    assert not [task for task in asyncio.all_tasks() if task.get_name() == "informer pods"]


async def test_against_a_store() -> None:
    api = FakeKubeApi()
    await api.create("configmaps", {"metadata": {"name": "one"}}, "default")
    informer = Informer(api, "configmaps", "default")
    informer.start()
    informer.start()
    await until(informer.synced.is_set)
    await api.create("configmaps", {"metadata": {"name": "two"}}, "default")
    await api.create("configmaps", {"metadata": {"name": "elsewhere"}}, "other")
    await api.delete("configmaps", "one", "default")
    await until(lambda: set(informer.objects) == {("default", "two")})
    await informer.stop()
