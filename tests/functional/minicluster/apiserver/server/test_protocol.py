"""The wire: the official Python client, watches, paging, restarts."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import kubernetes
import pytest

from meshlab.minicluster.apiserver import ApiServer
from meshlab.minicluster.client import RemoteApi
from meshlab.minicluster.kubeapi import Obj, StatusError

from .conftest import make_server


@pytest.fixture
async def remote(server: ApiServer, tmp_path: Path) -> AsyncIterator[RemoteApi]:
    async with RemoteApi.from_kubeconfig(tmp_path / "kubeconfig") as api:
        yield api


async def test_the_official_client(server: ApiServer, tmp_path: Path) -> None:
    def use() -> list[str]:
        client = kubernetes.config.new_client_from_config(str(tmp_path / "kubeconfig"))
        with client:
            core, apps = kubernetes.client.CoreV1Api(client), kubernetes.client.AppsV1Api(client)
            core.create_namespace({"metadata": {"name": "shop"}})
            core.create_namespaced_config_map("shop", {"metadata": {"name": "c"}, "data": {"a": "b"}})
            template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "nginx"}]}}
            body = {"metadata": {"name": "d"}, "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": template}}
            apps.create_namespaced_deployment("shop", body)
            apps.patch_namespaced_deployment("d", "shop", {"spec": {"replicas": 3}})
            scale = apps.read_namespaced_deployment_scale("d", "shop")
            core.create_namespaced_service("shop", {"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}]}})
            service = core.delete_namespaced_service("s", "shop")
            core.delete_namespaced_config_map("c", "shop")
            version = kubernetes.client.VersionApi(client).get_code()
            daemon_sets = apps.list_daemon_set_for_all_namespaces()
            return [scale.spec.replicas, service.metadata.name, version.git_version, len(daemon_sets.items)]

    assert await asyncio.to_thread(use) == [3, "s", "v1.37.1", 0]


async def test_a_watch_sees_what_enters_and_leaves_its_selector(remote: RemoteApi) -> None:
    version = (await remote.list("configmaps", "default")).resource_version

    async def change() -> None:
        await remote.create("configmaps", {"metadata": {"name": "c"}}, "default")
        for colour in ("red", "red", "blue"):
            await remote.patch("configmaps", "c", {"metadata": {"labels": {"colour": colour}}}, "default")
        await remote.patch("configmaps", "c", {"metadata": {"labels": {"colour": "red"}}}, "default")
        await remote.delete("configmaps", "c", "default")

    changing = asyncio.create_task(change())
    seen = []
    watch = remote.watch("configmaps", "default", resource_version=version, label_selector="colour=red")
    async for event in watch:
        seen.append((event.type, event.object["metadata"]["labels"]["colour"]))
        if len(seen) == 4:
            break
    await changing
    # The second "red" changed nothing, so nothing was written and nothing is seen.
    assert seen == [("ADDED", "red"), ("DELETED", "red"), ("ADDED", "red"), ("DELETED", "red")]


async def test_an_old_watch_is_expired(remote: RemoteApi) -> None:
    with pytest.raises(StatusError) as caught:
        async for _ in remote.watch("configmaps", resource_version="1"):
            pass
    assert (caught.value.code, caught.value.reason) == (410, "Expired")


async def test_watch_list_streams_what_there_is_and_marks_the_end(remote: RemoteApi) -> None:
    await remote.create("configmaps", {"metadata": {"name": "c"}}, "default")
    events = await _lines(remote)
    assert [event["type"] for event in events][:2] == ["ADDED", "BOOKMARK"]
    assert events[1]["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}


async def _lines(remote: RemoteApi) -> list[Obj]:
    query = "watch=1&sendInitialEvents=true&allowWatchBookmarks=true&timeoutSeconds=1&fieldSelector=metadata.name%3Dc"
    url = f"{remote.server}/api/v1/namespaces/default/configmaps?{query}"
    async with remote._http.get(url) as answer:
        return [json.loads(line) async for line in answer.content]


async def test_lists_come_in_pages(remote: RemoteApi) -> None:
    for index in range(5):
        await remote.create("configmaps", {"metadata": {"name": f"c{index}"}}, "default")
    path = "/api/v1/namespaces/default/configmaps"
    names: list[str] = []
    params: dict[str, str] = {"limit": "2"}
    while True:
        page: Any = await remote.raw("GET", path, params=params)
        names += [item["metadata"]["name"] for item in page["items"]]
        if not page["metadata"].get("continue"):
            break
        assert page["metadata"]["remainingItemCount"] == 5 - len(names)
        params["continue"] = page["metadata"]["continue"]
    assert names == ["c0", "c1", "c2", "c3", "c4"]


async def test_conflicts(remote: RemoteApi) -> None:
    first = await remote.create("configmaps", {"metadata": {"name": "c"}}, "default")
    await remote.patch("configmaps", "c", {"data": {"a": "1"}}, "default")
    with pytest.raises(StatusError) as caught:
        await remote.update("configmaps", {**first, "data": {"a": "2"}})
    assert caught.value.code == 409
    assert caught.value.message == (
        'Operation cannot be fulfilled on configmaps "c": the object has been modified; please apply your changes to '
        "the latest version and try again"
    )
    with pytest.raises(StatusError, match="Precondition failed: UID in precondition"):
        await remote.delete("configmaps", "c", "default", uid="another")
    updates = [remote.patch("configmaps", "c", {"data": {f"k{i}": "v"}}, "default") for i in range(20)]
    await asyncio.gather(*updates)
    assert len((await remote.get("configmaps", "c", "default"))["data"]) == 21


async def test_everything_comes_back_after_a_restart(tmp_path: Path) -> None:
    first = make_server(tmp_path)
    await first.start()
    api = first.local("test")
    service = await api.create("services", {"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}]}}, "default")
    definition: Obj = {
        "metadata": {"name": "things.example.com"},
        "spec": {
            "group": "example.com",
            "scope": "Cluster",
            "names": {"plural": "things", "kind": "Thing"},
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
    await api.create("customresourcedefinitions.apiextensions.k8s.io", definition)
    thing = await api.create("things.example.com", {"metadata": {"name": "t"}, "spec": {"any": "thing"}})
    await api.create("configmaps", {"metadata": {"name": "gone"}}, "default")
    await api.delete("configmaps", "gone", "default")
    await first.stop()

    second = make_server(tmp_path)
    await second.start()
    try:
        api = second.local("test")
        assert await api.get("services", "s", "default") == service
        assert await api.get("things.example.com", "t") == thing
        with pytest.raises(StatusError):
            await api.get("configmaps", "gone", "default")
        other = await api.create("services", {"metadata": {"name": "o"}, "spec": {"ports": [{"port": 80}]}}, "default")
        assert other["spec"]["clusterIP"] != service["spec"]["clusterIP"]
        assert int(other["metadata"]["resourceVersion"]) > int(thing["metadata"]["resourceVersion"])
        with pytest.raises(StatusError, match="too old resource version"):
            async for _ in api.watch("configmaps", resource_version=thing["metadata"]["resourceVersion"]):
                pass
    finally:
        await second.stop()


async def test_stopping_ends_watches_at_once(tmp_path: Path) -> None:
    server = make_server(tmp_path)
    await server.start()
    server.write_kubeconfig(tmp_path / "kubeconfig")
    async with RemoteApi.from_kubeconfig(tmp_path / "kubeconfig") as api:
        version = (await api.list("pods")).resource_version
        events = api.watch("pods", resource_version=version)
        waiting = asyncio.create_task(anext(events, None))
        await api.list("nodes")
        async with asyncio.timeout(3):
            await server.stop()
            assert await waiting is None
