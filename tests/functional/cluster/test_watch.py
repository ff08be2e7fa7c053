"""Watches of the real API server: what is told, what a new kind does, and how soon they end."""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from meshlab.cluster import watch as watching
from meshlab.cluster.facade import Cluster, Stop, WatchEvent
from meshlab.minicluster.apiserver import ApiServer
from tests.functional.minicluster.apiserver.server.conftest import make_server

WAIT_S = 10
WIDGETS = "widgets.example.com"
DEFINITION: dict[str, Any] = {
    "metadata": {"name": WIDGETS},
    "spec": {
        "group": "example.com",
        "scope": "Namespaced",
        "names": {"plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
            }
        ],
    },
}


class Reader:
    """Reads a watch in a thread."""

    def __init__(self, cluster: Cluster, resource: str, stop: Stop) -> None:
        self.events: queue.Queue[WatchEvent] = queue.Queue()
        self.thread = threading.Thread(target=self._read, args=[cluster, resource, stop])
        self.thread.start()

    def _read(self, cluster: Cluster, resource: str, stop: Stop) -> None:
        for event in cluster.watch(resource, "default", stop=stop):
            self.events.put(event)

    async def next(self) -> tuple[str, str]:
        event = await asyncio.to_thread(self.events.get, timeout=WAIT_S)
        return event.type, event.object.get("metadata", {}).get("name", "")


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[ApiServer]:
    running = make_server(tmp_path)
    await running.start()
    running.write_kubeconfig(tmp_path / "kubeconfig")
    yield running
    await running.stop()


async def test_a_watch_tells_everything_once_and_ends_at_once(server: ApiServer, tmp_path: Path) -> None:
    api = server.local("system:kube-controller-manager")
    await api.create("configmaps", {"metadata": {"name": "first"}}, "default")
    cluster, stop = Cluster(tmp_path / "kubeconfig"), Stop()
    reader = Reader(cluster, "configmaps", stop)
    try:
        told = [await reader.next()]
        while told[-1] != ("SYNCED", ""):
            told.append(await reader.next())
        assert ("ADDED", "first") in told
        await api.create("configmaps", {"metadata": {"name": "second"}}, "default")
        assert await reader.next() == ("ADDED", "second")
        await api.delete("configmaps", "second", "default")
        assert await reader.next() == ("DELETED", "second")
    finally:
        asked = time.monotonic()
        stop.set()
        await asyncio.to_thread(reader.thread.join, WAIT_S)
        took = time.monotonic() - asked
        cluster.close()
    assert not reader.thread.is_alive()
    assert took < 0.2


async def test_a_new_kind_is_noticed(server: ApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "UNKNOWN_KIND_POLL_S", 0.05)
    cluster, stop = Cluster(tmp_path / "kubeconfig"), Stop()
    reader = Reader(cluster, WIDGETS, stop)
    try:
        assert await reader.next() == ("SYNCED", "")
        await asyncio.to_thread(cluster.create, "customresourcedefinitions.apiextensions.k8s.io", DEFINITION)
        assert await reader.next() == ("SYNCED", "")
        widget = {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "a"}}
        await asyncio.to_thread(cluster.create, WIDGETS, widget, "default")
        assert await reader.next() == ("ADDED", "a")
    finally:
        stop.set()
        await asyncio.to_thread(reader.thread.join, WAIT_S)
        cluster.close()
