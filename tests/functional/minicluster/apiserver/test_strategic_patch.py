"""The judge: ``kubectl patch --local --type=strategic`` runs the Go code that strategic merge patches come from."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from meshlab.minicluster.apiserver.patch import strategic_merge_patch
from meshlab.minicluster.apiserver.schema import SchemaSet
from meshlab.minicluster.kubeapi import Obj, StatusError

KUBECTL = Path(sys.executable).parent / "kubectl"
SCHEMAS = SchemaSet()


def by_kubectl(obj: Obj, patch: Obj, folder: Path) -> Obj | str:
    """The patched object, or what kubectl says against it."""
    manifest = folder / "object.json"
    manifest.write_text(json.dumps(obj))
    command = [str(KUBECTL), "patch", "--local", "--type=strategic", "-o", "json", "-f", str(manifest), "-p"]
    done = subprocess.run(
        [*command, json.dumps(patch)],
        env={"HOME": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        return done.stderr.removeprefix("error: ").strip()
    result: Obj = decoded(json.loads(done.stdout))
    return result


def by_meshlab(obj: Obj, patch: Obj) -> Obj | str:
    schema = SCHEMAS.definition(obj["apiVersion"], obj["kind"])
    assert schema is not None
    try:
        result = strategic_merge_patch(obj, patch, schema)
    except StatusError as error:
        return error.message.strip()
    plain: Obj = decoded(result)
    return plain


def decoded(value: Any) -> Any:
    """Without what a server loses when it decodes the result: nulls and directives left over in new content.

    An element ``$patch: delete`` in a list that is itself new counts as such; to the Go code it becomes an item.
    """
    if isinstance(value, dict):
        return {
            key: decoded(item)
            for key, item in value.items()
            if item is not None and not key.startswith("$") and not (isinstance(item, dict) and "$patch" in item)
        }
    if isinstance(value, list):
        return [decoded(item) for item in value if not (isinstance(item, dict) and "$patch" in item)]
    return value


def pod(*containers: Obj, **spec: Any) -> Obj:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "web"},
        "spec": {"containers": list(containers), **spec},
    }


def container(name: str, **fields: Any) -> Obj:
    return {"name": name, "image": "nginx", **fields}


TWO = pod(container("a"), container("b"))
THREE = pod(container("a"), container("side"), container("b"))
DEPLOYMENT: Obj = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "web", "annotations": {"a": "1"}},
    "spec": {
        "replicas": 1,
        "selector": {"matchLabels": {"app": "web"}},
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}},
        "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [container("a")]}},
    },
}
SERVICE: Obj = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "web"},
    "spec": {"ports": [{"port": 80, "name": "http"}, {"port": 443, "name": "https"}]},
}

FIXED: dict[str, tuple[Obj, Obj]] = {
    "set image": (
        DEPLOYMENT,
        {
            "spec": {
                "template": {
                    "spec": {
                        "$setElementOrder/containers": [{"name": "a"}],
                        "containers": [{"name": "a", "image": "httpd"}],
                    }
                }
            }
        },
    ),
    "rollout restart": (
        DEPLOYMENT,
        {"spec": {"template": {"metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": "now"}}}}},
    ),
    "retain keys": (
        DEPLOYMENT,
        {"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}},
    ),
    "retain keys, missing": (DEPLOYMENT, {"spec": {"strategy": {"$retainKeys": ["x"], "type": "Recreate"}}}),
    "ports by number": (SERVICE, {"spec": {"ports": [{"port": 443, "targetPort": 8443}, {"port": 8080}]}}),
    "ports in order": (
        SERVICE,
        {
            "spec": {
                "$setElementOrder/ports": [{"port": 443}, {"port": 8080}, {"port": 80}],
                "ports": [{"port": 8080, "name": "alt"}],
            }
        },
    ),
    "new item first": (TWO, {"spec": {"containers": [container("new")]}}),
    "delete item": (TWO, {"spec": {"containers": [{"name": "a", "$patch": "delete"}]}}),
    "delete missing item": (TWO, {"spec": {"containers": [{"name": "x", "$patch": "delete"}]}}),
    "replace list": (TWO, {"spec": {"containers": [{"$patch": "replace"}, container("new", command=None)]}}),
    "merge list": (TWO, {"spec": {"containers": [{"$patch": "merge", "name": "a"}]}}),
    "merge map": (TWO, {"spec": {"$patch": "merge", "hostNetwork": True}}),
    "replace map": (TWO, {"spec": {"$patch": "replace", "containers": [container("only")]}}),
    "delete new map": (TWO, {"spec": {"dnsConfig": {"$patch": "delete"}}}),
    "no merge key": (TWO, {"spec": {"containers": [{"image": "x"}]}}),
    "sidecar keeps its place": (
        THREE,
        {
            "spec": {
                "$setElementOrder/containers": [{"name": "b"}, {"name": "a"}],
                "containers": [{"name": "a", "image": "x"}],
            }
        },
    ),
    "order and new item": (
        THREE,
        {
            "spec": {
                "$setElementOrder/containers": [{"name": "a"}, {"name": "new"}, {"name": "b"}],
                "containers": [container("new")],
            }
        },
    ),
    "order contradicts list": (
        TWO,
        {"spec": {"$setElementOrder/containers": [{"name": "b"}], "containers": [{"name": "a", "image": "x"}]}},
    ),
    "volume changes its kind": (
        pod(container("a"), volumes=[{"name": "v", "hostPath": {"path": "/"}}]),
        {"spec": {"volumes": [{"name": "v", "emptyDir": {}, "$retainKeys": ["name", "emptyDir"]}]}},
    ),
    "label removed": (DEPLOYMENT, {"metadata": {"annotations": {"a": None, "b": "2"}}}),
    "int list keys": (
        pod(container("a", ports=[{"containerPort": 80}, {"containerPort": 81}])),
        {"spec": {"containers": [{"name": "a", "ports": [{"containerPort": 81, "name": "x"}]}]}},
    ),
}


@pytest.mark.parametrize(("obj", "patch"), FIXED.values(), ids=FIXED.keys())
def test_fixed_cases(obj: Obj, patch: Obj, tmp_path: Path) -> None:
    assert by_meshlab(obj, patch) == by_kubectl(obj, patch, tmp_path)


class Pods:
    """Random pods, and random patches of them such as a client could send."""

    NAMES = ("a", "b", "c", "d")

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def maybe(self, chance: float) -> bool:
        return self.random.random() < chance

    def some(self, items: Sequence[Any]) -> list[Any]:
        return self.random.sample(items, self.random.randint(0, len(items)))

    def items(self, key: str, values: Sequence[Any], make: Callable[[Any], Obj], *, deletes: bool) -> list[Obj]:
        return [
            {"$patch": "delete", key: value} if deletes and self.maybe(0.25) else make(value)
            for value in self.some(values)
        ]

    def container(self, name: str, *, patch: bool) -> Obj:
        result: Obj = {"name": name}
        if self.maybe(0.6):
            result["image"] = self.random.choice("xyz")
        if self.maybe(0.4):
            result["ports"] = self.items(
                "containerPort", (80, 81, 82), lambda port: {"containerPort": port, "name": "p"}, deletes=patch
            )
        if self.maybe(0.4):
            result["env"] = self.items(
                "name", "ABC", lambda key: {"name": key, "value": self.random.choice("12")}, deletes=patch
            )
        if self.maybe(0.3):
            result["command"] = self.some("stu")
        if patch and self.maybe(0.2):
            result[self.random.choice(["image", "env", "command"])] = None
        return result

    def pod(self, *, patch: bool = False) -> Obj:
        spec: Obj = {
            "containers": self.items("name", self.NAMES, lambda name: self.container(name, patch=patch), deletes=patch)
        }
        if self.maybe(0.4):
            spec["volumes"] = self.items("name", "vw", lambda name: {"name": name, "emptyDir": {}}, deletes=patch)
        if self.maybe(0.4):
            spec["tolerations"] = [{"key": key} for key in self.some("abc")]
        if self.maybe(0.3):
            spec["nodeSelector"] = dict.fromkeys(self.some("abc"), "1")
        metadata: Obj = {"name": "web"}
        if self.maybe(0.5):
            metadata["finalizers"] = self.some(["a/x", "b/x", "c/x"])
        if self.maybe(0.5):
            metadata["labels"] = dict.fromkeys(self.some("abc"), "1")
        return {"metadata": metadata, "spec": spec}

    def patch(self) -> Obj:
        result = self.pod(patch=True)
        metadata, spec = result["metadata"], result["spec"]
        if self.maybe(0.3):
            spec["nodeSelector"] = None
        if self.maybe(0.3):
            metadata.pop("finalizers", None)
            metadata["$deleteFromPrimitiveList/finalizers"] = self.some(["a/x", "b/x", "c/x"])
        if self.maybe(0.3):
            metadata["labels"] = {"a": None, "z": "1"}
        if spec["containers"] and self.maybe(0.5):
            deleted = [item["name"] for item in spec["containers"] if "$patch" in item]
            order = [item["name"] for item in spec["containers"] if "$patch" not in item]
            for name in self.NAMES:
                if name not in order and name not in deleted and self.maybe(0.4):
                    order.insert(self.random.randint(0, len(order)), name)
            spec["$setElementOrder/containers"] = [{"name": name} for name in order]
        elif self.maybe(0.1):
            spec["containers"].append({"$patch": "replace"})
        return result


@pytest.mark.parametrize("seed", range(40))
def test_random_pods(seed: int, tmp_path: Path) -> None:
    pods = Pods(seed)
    obj, patch = {"apiVersion": "v1", "kind": "Pod", **pods.pod()}, pods.patch()
    before = json.dumps([obj, patch])
    assert by_meshlab(obj, patch) == by_kubectl(obj, patch, tmp_path), (obj, patch)
    assert json.dumps([obj, patch]) == before
