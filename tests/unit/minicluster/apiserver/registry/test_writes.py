"""Create, update, patch and delete as every resource has them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from meshlab.minicluster.apiserver.local import LocalApi
from meshlab.minicluster.apiserver.registry import Registry
from meshlab.minicluster.kubeapi import Obj, StatusError


def deployment(**spec: Any) -> Obj:
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "nginx"}]}}
    return {
        "metadata": {"name": "d"},
        "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": template, **spec},
    }


async def test_the_server_alone_decides_of_identity(api: LocalApi) -> None:
    given = {"name": "c", "uid": "mine", "creationTimestamp": "2000-01-01T00:00:00Z", "generation": 9}
    created = await api.create("configmaps", {"metadata": given}, "default")
    metadata = created["metadata"]
    assert metadata["uid"] != "mine" and not metadata["creationTimestamp"].startswith("2000")
    assert "generation" not in metadata and metadata["namespace"] == "default"
    updated = await api.update(
        "configmaps", {**created, "metadata": {**metadata, "creationTimestamp": "2001-01-01T00:00:00Z"}}
    )
    assert updated == created


async def test_generated_names(api: LocalApi) -> None:
    made = [await api.create("configmaps", {"metadata": {"generateName": "x-"}}, "default") for _ in range(3)]
    names = {obj["metadata"]["name"] for obj in made}
    assert len(names) == 3 and all(name.startswith("x-") and len(name) == 7 for name in names)


@pytest.mark.parametrize(
    ("obj", "code", "words"),
    [
        ({"metadata": {}}, 422, "metadata.name: Required value: name or generateName is required"),
        ({"metadata": {"name": "A"}}, 422, "a lowercase RFC 1123 subdomain must consist of"),
        ({"metadata": {"name": "a", "labels": {"k": "not ok"}}}, 422, "metadata.labels: Invalid value"),
        ({"metadata": {"name": "a", "namespace": "b"}}, 400, "does not match the namespace sent on the request"),
        ({"metadata": {"name": "a", "resourceVersion": "4"}}, 400, "resourceVersion should not be set"),
        ({"metadata": {"name": "a"}, "kind": "Secret"}, 400, "cannot be handled as a ConfigMap"),
        ({"metadata": {"name": "a"}, "data": {"x/y": "1"}}, 422, "a valid config key must consist of"),
    ],
)
async def test_what_is_refused(api: LocalApi, obj: Obj, code: int, words: str) -> None:
    with pytest.raises(StatusError) as caught:
        await api.create("configmaps", obj, "default")
    assert caught.value.code == code and words in caught.value.message


async def test_nothing_is_created_where_there_is_no_namespace(api: LocalApi) -> None:
    with pytest.raises(StatusError) as caught:
        await api.create("configmaps", {"metadata": {"name": "a"}}, "nowhere")
    assert (caught.value.code, caught.value.message) == (404, 'namespaces "nowhere" not found')


async def test_a_write_that_changes_nothing_is_none(api: LocalApi, registry: Registry) -> None:
    created = await api.create("deployments.apps", deployment(), "default")
    before = registry.store.revision
    assert await api.update("deployments.apps", created) == created
    assert await api.patch("deployments.apps", "d", {"spec": {"replicas": 1}}, "default") == created
    assert registry.store.revision == before


async def test_generation_counts_changes_of_the_spec(api: LocalApi) -> None:
    await api.create("deployments.apps", deployment(), "default")
    labelled = await api.patch("deployments.apps", "d", {"metadata": {"labels": {"x": "y"}}}, "default")
    assert labelled["metadata"]["generation"] == 1
    scaled = await api.patch("deployments.apps", "d", {"spec": {"replicas": 2}}, "default")
    assert scaled["metadata"]["generation"] == 2
    status = {"status": {"replicas": 2}, "spec": {"replicas": 9}}
    reported = await api.patch("deployments.apps", "d", status, "default", subresource="status")
    assert reported["metadata"]["generation"] == 2
    assert (reported["spec"]["replicas"], reported["status"]) == (2, {"replicas": 2})
    ignored = await api.patch("deployments.apps", "d", {"status": {"replicas": 7}}, "default")
    assert ignored["status"] == {"replicas": 2}


async def test_defaults_are_upstreams(api: LocalApi) -> None:
    created = await api.create("deployments.apps", deployment(), "default")
    spec = created["spec"]
    assert spec["strategy"] == {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}}
    assert (spec["replicas"], spec["revisionHistoryLimit"], spec["progressDeadlineSeconds"]) == (1, 10, 600)
    container = spec["template"]["spec"]["containers"][0]
    assert container["imagePullPolicy"] == "Always" and container["terminationMessagePolicy"] == "File"
    assert spec["template"]["spec"]["dnsPolicy"] == "ClusterFirst"


async def test_scale(api: LocalApi) -> None:
    await api.create("deployments.apps", deployment(), "default")
    scale = await api.patch("deployments.apps", "d", {"spec": {"replicas": 4}}, "default", subresource="scale")
    assert scale["kind"] == "Scale" and scale["spec"] == {"replicas": 4} and scale["status"]["selector"] == "a=b"
    assert (await api.get("deployments.apps", "d", "default"))["spec"]["replicas"] == 4
    with pytest.raises(StatusError, match="must be greater than or equal to 0"):
        await api.patch("deployments.apps", "d", {"spec": {"replicas": -1}}, "default", subresource="scale")


async def test_immutable_fields(api: LocalApi) -> None:
    await api.create("deployments.apps", deployment(), "default")
    template = {"metadata": {"labels": {"a": "c"}}}
    with pytest.raises(StatusError, match="field is immutable"):
        change = {"spec": {"selector": {"matchLabels": {"a": "c"}}, "template": template}}
        await api.patch("deployments.apps", "d", change, "default")
    await api.create("configmaps", {"metadata": {"name": "c"}, "immutable": True, "data": {"a": "b"}}, "default")
    with pytest.raises(StatusError, match="field is immutable when `immutable` is set"):
        await api.patch("configmaps", "c", {"data": {"a": "c"}}, "default")


async def test_patches_at_the_same_time_all_count(api: LocalApi) -> None:
    await api.create("configmaps", {"metadata": {"name": "c"}}, "default")
    await asyncio.gather(*(api.patch("configmaps", "c", {"data": {str(i): "x"}}, "default") for i in range(10)))
    assert len((await api.get("configmaps", "c", "default"))["data"]) == 10


async def test_dry_run_leaves_no_trace(api: LocalApi, registry: Registry) -> None:
    service = {"metadata": {"name": "s"}, "spec": {"type": "NodePort", "ports": [{"port": 80}]}}
    before = registry.store.revision
    tried = await api.create("services", service, "default", dry_run=True)
    assert tried["spec"]["clusterIP"] and registry.store.revision == before
    with pytest.raises(StatusError):
        await api.get("services", "s", "default")
    made = await api.create("services", service, "default")
    assert made["spec"]["ports"][0]["nodePort"] == tried["spec"]["ports"][0]["nodePort"]


async def test_events_are_one_kind_in_two_groups(api: LocalApi) -> None:
    regarding = {"kind": "Pod", "name": "p", "namespace": "default"}
    event = {"metadata": {"name": "e"}, "regarding": regarding, "note": "hello", "reason": "Because"}
    await api.create("events.events.k8s.io", event, "default")
    old = await api.get("events", "e", "default")
    assert old["involvedObject"] == regarding and old["message"] == "hello" and old["apiVersion"] == "v1"
    new = await api.get("events.events.k8s.io", "e", "default")
    assert new["regarding"] == regarding and new["note"] == "hello"


async def test_secrets_keep_text_as_data(api: LocalApi) -> None:
    made = await api.create("secrets", {"metadata": {"name": "s"}, "stringData": {"a": "b"}}, "default")
    assert made["data"] == {"a": "Yg=="} and "stringData" not in made
    with pytest.raises(StatusError, match="illegal base64 data"):
        await api.create("secrets", {"metadata": {"name": "t"}, "data": {"a": "?"}}, "default")


async def test_owner_references_need_a_uid(api: LocalApi) -> None:
    owner = {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": ""}
    with pytest.raises(StatusError, match="uid must not be empty"):
        await api.create("configmaps", {"metadata": {"name": "c", "ownerReferences": [owner]}}, "default")
