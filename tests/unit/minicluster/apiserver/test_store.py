"""The store and its journal."""

from __future__ import annotations

from pathlib import Path

import pytest

from meshlab.minicluster.apiserver.persistence import SqliteJournal
from meshlab.minicluster.apiserver.store import RING_SIZE, Store
from meshlab.minicluster.kubeapi import Obj, StatusError


def config(name: str, **more: object) -> Obj:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "a"}, **more}


async def test_every_commit_has_a_version_of_its_own() -> None:
    store = Store()
    first = store.put("configmaps", ("a", "x"), config("x"))
    second = store.put("configmaps", ("a", "x"), config("x", data={"k": "v"}))
    removed = store.delete("configmaps", ("a", "x"))
    assert removed is not None
    assert first.revision < second.revision < removed.revision
    assert removed.obj["data"] == {"k": "v"}
    assert removed.obj["metadata"]["resourceVersion"] == str(removed.revision)
    assert second.obj["metadata"]["resourceVersion"] == str(second.revision)
    assert store.get("configmaps", ("a", "x")) is None and store.delete("configmaps", ("a", "x")) is None


async def test_scan_is_sorted_and_confined_to_its_namespace() -> None:
    store = Store()
    for key in [("b", "1"), ("a", "z"), ("ab", "y"), ("a", "c"), ("", "q")]:
        store.put("things", key, config(key[1]))
    collection = store.collection("things")
    assert [key for key, _ in collection.scan()] == [("", "q"), ("a", "c"), ("a", "z"), ("ab", "y"), ("b", "1")]
    assert [key for key, _ in collection.scan("a")] == [("a", "c"), ("a", "z")]
    assert [key for key, _ in collection.scan("a", after=("a", "c"))] == [("a", "z")]


async def test_a_subscription_begins_where_it_is_told_to() -> None:
    store = Store()
    first = store.put("configmaps", ("a", "x"), config("x"))
    store.put("configmaps", ("a", "y"), config("y"))
    store.put("secrets", ("a", "s"), config("s"))
    subscription = store.subscribe("configmaps", first.revision)
    store.delete("configmaps", ("a", "x"))
    changes = subscription.take()
    assert [(change.type, change.record.obj["metadata"]["name"]) for change in changes] == [
        ("ADDED", "y"),
        ("DELETED", "x"),
    ]
    assert not await subscription.wait(0.001)
    subscription.close()
    assert await subscription.wait(10) and subscription.closed


async def test_a_watch_older_than_the_ring_is_expired() -> None:
    store = Store()
    first = store.put("configmaps", ("a", "x"), config("x"))
    for _ in range(RING_SIZE + 1):
        last = store.put("configmaps", ("a", "x"), config("x"))
    with pytest.raises(StatusError) as caught:
        store.subscribe("configmaps", first.revision)
    assert caught.value.code == 410
    assert store.subscribe("configmaps", last.revision).take() == []
    # Another collection is not affected by how busy this one is.
    assert store.subscribe("secrets", first.revision).take() == []


async def test_a_watcher_that_never_reads_is_cut_off() -> None:
    store = Store()
    lazy = store.subscribe("configmaps")
    for _ in range(RING_SIZE + 1):
        store.put("configmaps", ("a", "x"), config("x"))
    assert lazy.closed and not store.collection("configmaps").subscriptions


async def test_the_journal_brings_objects_and_versions_back(tmp_path: Path) -> None:
    journal = SqliteJournal(tmp_path / "objects.db")
    store = journal.open_store()
    kept = store.put("configmaps", ("a", "kept"), config("kept", data={"k": "v"}))
    store.put("configmaps", ("a", "gone"), config("gone"))
    removed = store.delete("configmaps", ("a", "gone"))
    assert removed is not None
    journal.close()
    again = SqliteJournal(tmp_path / "objects.db").open_store()
    found = again.get("configmaps", ("a", "kept"))
    assert found is not None and found.obj == kept.obj and found.revision == kept.revision
    assert again.get("configmaps", ("a", "gone")) is None
    assert again.revision > removed.revision
    with pytest.raises(StatusError):
        again.subscribe("configmaps", removed.revision)
