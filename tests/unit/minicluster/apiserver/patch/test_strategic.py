from __future__ import annotations

import copy
from typing import Any

import pytest

from meshlab.minicluster.apiserver.patch import strategic_merge_patch
from meshlab.minicluster.apiserver.schema import SchemaSet
from meshlab.minicluster.kubeapi import Obj, StatusError


def pod(*containers: Obj, **spec: Any) -> Obj:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "web", "finalizers": ["a.io/x", "b.io/x"]},
        "spec": {"containers": list(containers), **spec},
    }


def container(name: str, **fields: Any) -> Obj:
    return {"name": name, "image": "nginx", **fields}


def patched(obj: Obj, patch: Obj) -> Obj:
    schema = SchemaSet().definition(obj["apiVersion"], obj["kind"])
    assert schema is not None
    before = copy.deepcopy((obj, patch))
    result = strategic_merge_patch(obj, patch, schema)
    assert (obj, patch) == before
    return result


def names(obj: Obj) -> list[str]:
    return [item["name"] for item in obj["spec"]["containers"]]


def test_a_list_is_merged_by_its_key() -> None:
    result = patched(pod(container("a"), container("b")), {"spec": {"containers": [{"name": "b", "image": "httpd"}]}})
    assert result["spec"]["containers"] == [container("a"), container("b", image="httpd")]


def test_new_items_come_first() -> None:
    result = patched(pod(container("a")), {"spec": {"containers": [container("new")]}})
    assert names(result) == ["new", "a"]


def test_an_item_is_deleted() -> None:
    result = patched(pod(container("a"), container("b")), {"spec": {"containers": [{"name": "a", "$patch": "delete"}]}})
    assert names(result) == ["b"]


def test_a_list_is_replaced() -> None:
    result = patched(pod(container("a")), {"spec": {"containers": [container("new"), {"$patch": "replace"}]}})
    assert names(result) == ["new"]


def test_a_map_is_replaced_or_emptied() -> None:
    obj = pod(container("a"), securityContext={"runAsUser": 1})
    result = patched(obj, {"spec": {"securityContext": {"$patch": "replace", "runAsGroup": 2}}})
    assert result["spec"]["securityContext"] == {"runAsGroup": 2}
    result = patched(obj, {"spec": {"securityContext": {"$patch": "delete"}}})
    assert result["spec"]["securityContext"] == {}


def test_null_removes() -> None:
    result = patched(pod(container("a"), nodeName="n"), {"spec": {"nodeName": None, "hostname": None}})
    assert "nodeName" not in result["spec"]
    assert "hostname" not in result["spec"]


def test_order_is_set_and_items_of_the_server_keep_their_place() -> None:
    obj = pod(container("a"), container("sidecar"), container("b"))
    result = patched(
        obj,
        {
            "spec": {
                "$setElementOrder/containers": [{"name": "b"}, {"name": "a"}],
                "containers": [{"name": "a", "image": "httpd"}],
            }
        },
    )
    assert names(result) == ["sidecar", "b", "a"]


def test_order_alone_reorders() -> None:
    obj = pod(container("a"), container("b"))
    result = patched(obj, {"spec": {"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}]}})
    assert names(result) == ["b", "a"]


def test_primitive_lists_are_merged_and_deleted_from() -> None:
    result = patched(pod(), {"metadata": {"finalizers": ["c.io/x", "a.io/x"]}})
    assert result["metadata"]["finalizers"] == ["c.io/x", "a.io/x", "b.io/x"]
    result = patched(pod(), {"metadata": {"$deleteFromPrimitiveList/finalizers": ["a.io/x", "z.io/x"]}})
    assert result["metadata"]["finalizers"] == ["b.io/x"]


def test_a_list_without_strategy_is_replaced() -> None:
    obj = pod(container("a", command=["x", "y"]), tolerations=[{"key": "a"}])
    result = patched(obj, {"spec": {"tolerations": [{"key": "b"}], "containers": [{"name": "a", "command": ["z"]}]}})
    assert result["spec"]["tolerations"] == [{"key": "b"}]
    assert result["spec"]["containers"][0]["command"] == ["z"]


def test_retain_keys_drops_the_others() -> None:
    obj: Obj = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web"},
        "spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}},
    }
    result = patched(obj, {"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}})
    assert result["spec"]["strategy"] == {"type": "Recreate"}
    with pytest.raises(StatusError) as caught:
        patched(obj, {"spec": {"strategy": {"$retainKeys": ["rollingUpdate"], "type": "Recreate"}}})
    assert (caught.value.code, caught.value.message) == (400, "invalid patch format of retainKeys")


def test_ports_are_merged_by_number_and_text_alike() -> None:
    obj = pod(container("a", ports=[{"containerPort": 80, "name": "http"}]))
    result = patched(obj, {"spec": {"containers": [{"name": "a", "ports": [{"containerPort": 80, "name": "web"}]}]}})
    assert result["spec"]["containers"][0]["ports"] == [{"containerPort": 80, "name": "web"}]


def test_directives_and_nulls_in_new_content_vanish() -> None:
    result = patched(
        pod(),
        {"spec": {"volumes": [{"name": "v", "emptyDir": {}, "configMap": None, "$retainKeys": ["name", "emptyDir"]}]}},
    )
    assert result["spec"]["volumes"] == [{"name": "v", "emptyDir": {}}]


@pytest.mark.parametrize(
    ("containers", "message"),
    [
        ([{"image": "x"}], "map: map[image:x] does not contain declared merge key: name"),
        ([{"name": "a", "$patch": "merge"}], "merging lists cannot yet be specified in the patch"),
        ([{"name": "a", "$patch": "burn"}], "unknown patch type: burn in map: map[$patch:burn name:a]"),
    ],
)
def test_malformed_items(containers: list[Obj], message: str) -> None:
    with pytest.raises(StatusError) as caught:
        patched(pod(container("a")), {"spec": {"containers": containers}})
    assert caught.value.message == message


def test_an_order_that_contradicts_the_list() -> None:
    with pytest.raises(StatusError, match="The order in patch list"):
        patched(
            pod(container("a"), container("b")),
            {
                "spec": {
                    "$setElementOrder/containers": [{"name": "b"}],
                    "containers": [{"name": "a", "image": "x"}],
                }
            },
        )


def test_a_patch_must_be_an_object() -> None:
    with pytest.raises(StatusError):
        strategic_merge_patch(pod(), [], {})
