"""A cluster that is a dictionary of objects: what checks and the workbench do with one, without a lab."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, cast

from meshlab.cluster.facade import Cluster, ExecResult, NotFoundError, RefusedError

Obj = dict[str, Any]
Key = tuple[str, str, str]

KINDS = {"deployments.apps": "Deployment", "services": "Service", "configmaps": "ConfigMap", "pods": "Pod"}


class ObjectCluster:
    """Objects by (resource, namespace, name); whoever writes is noted in ``calls``.

    Args:
        objects: what is there, by resource.
        on_exec: what a command in a container prints.
        on_request: what a raw request gets.
    """

    def __init__(
        self,
        objects: dict[str, list[Obj]] | None = None,
        *,
        on_exec: Callable[[str, str, list[str]], str] = lambda namespace, pod, command: "",
        on_request: Callable[[str, dict[str, str]], Any] = lambda path, params: {},
    ) -> None:
        self.objects: dict[Key, Obj] = {}
        self.calls: list[str] = []
        self.refuses: dict[str, str] = {}
        """Messages of refusal by resource."""
        self.on_exec = on_exec
        self._on_request = on_request
        for resource, listed in (objects or {}).items():
            for obj in listed:
                self.put(resource, obj)

    @property
    def facade(self) -> Cluster:
        """This, as checks know it."""
        return cast(Cluster, self)

    def put(self, resource: str, obj: Obj) -> None:
        metadata = obj["metadata"]
        self.objects[resource, metadata.get("namespace", ""), metadata["name"]] = obj

    def find(self, resource: str, name: str, namespace: str | None = None) -> Obj | None:
        return copy.deepcopy(self.objects.get((resource, namespace or "", name)))

    def get(self, resource: str, name: str, namespace: str | None = None) -> Obj:
        found = self.find(resource, name, namespace)
        if found is None:
            raise NotFoundError(f"{resource} {name} not found")
        return found

    def list_objects(self, resource: str, namespace: str | None = None, *, label_selector: str = "") -> list[Obj]:
        wanted = [pair.partition("=") for pair in label_selector.split(",") if pair]
        found = []
        for (kind, own, _), obj in sorted(self.objects.items()):
            labels = obj["metadata"].get("labels") or {}
            fits = all(labels.get(key) == value if equals else key in labels for key, equals, value in wanted)
            if kind == resource and namespace in (None, own) and fits:
                found.append({"kind": KINDS.get(resource, resource), **copy.deepcopy(obj)})
        return found

    def create(self, resource: str, obj: Obj, namespace: str | None = None) -> Obj:
        self.calls.append(f"create {resource} {obj['metadata']['name']}")
        if resource in self.refuses:
            raise RefusedError(self.refuses[resource], 500, "InternalError")
        stored = copy.deepcopy(obj)
        if namespace:
            stored["metadata"]["namespace"] = namespace
        self.put(resource, stored)
        return copy.deepcopy(stored)

    def patch(self, resource: str, name: str, patch: Obj, namespace: str | None = None) -> Obj:
        self.calls.append(f"patch {resource} {name}")
        obj = self.objects[resource, namespace or "", name]
        _merge(obj, patch)
        return copy.deepcopy(obj)

    def replace(self, resource: str, obj: Obj) -> Obj:
        self.calls.append(f"replace {resource} {obj['metadata']['name']}")
        self.put(resource, copy.deepcopy(obj))
        return obj

    def delete(self, resource: str, name: str, namespace: str | None = None, *, grace_s: int | None = None) -> bool:
        self.calls.append(f"delete {resource} {name}")
        if resource == "namespaces":
            self.objects = {key: obj for key, obj in self.objects.items() if key[1] != name}
        return self.objects.pop((resource, namespace or "", name), None) is not None

    def resource_of(self, obj: Obj) -> str:
        return next(resource for resource, kind in KINDS.items() if kind == obj["kind"])

    def namespaced_resources(self) -> list[str]:
        return ["configmaps", "deployments.apps", "pods", "services"]

    def cluster_resources(self) -> list[str]:
        return ["namespaces"]

    def exec(
        self, namespace: str, pod: str, container: str, command: list[str], *, timeout_s: float = 60
    ) -> ExecResult:
        return ExecResult(self.on_exec(namespace, pod, command), "", 0)

    def request(self, method: str, path: str, *, params: dict[str, str] | None = None, timeout_s: float = 0) -> Any:
        return self._on_request(path, params or {})


def _merge(into: Obj, patch: Obj) -> None:
    for key, value in patch.items():
        if isinstance(value, dict):
            _merge(into.setdefault(key, {}), value)
        elif value is None:
            into.pop(key, None)
        else:
            into[key] = value


def named(name: str, namespace: str = "", *, labels: dict[str, str] | None = None, **fields: Any) -> Obj:
    """An object with that name."""
    metadata: Obj = {"name": name, "labels": labels or {}, "generation": 1, "resourceVersion": "1"}
    if namespace:
        metadata["namespace"] = namespace
    return {"metadata": metadata, **fields}


def deployment(name: str, namespace: str, *, wanted: int = 1, available: int = 1, **labels: str) -> Obj:
    """A Deployment with the pods' label ``app``."""
    return named(
        name,
        namespace,
        labels=labels,
        spec={"replicas": wanted, "selector": {"matchLabels": {"app": name}}},
        status={"observedGeneration": 1, "availableReplicas": available},
    )


def pod(
    name: str, namespace: str, app: str, *, sidecar: bool = False, ready: bool = True, leaving: bool = False
) -> Obj:
    """A pod of a Deployment named as its label ``app``."""
    obj = named(
        name,
        namespace,
        labels={"app": app},
        spec={"containers": [{"name": "curl"}], "initContainers": []},
        status={"phase": "Running", "conditions": [{"type": "Ready", "status": str(ready)}]},
    )
    obj["metadata"]["ownerReferences"] = [{"kind": "ReplicaSet", "name": f"{app}-5f"}]
    if sidecar:
        obj["spec"]["initContainers"] = [{"name": "istio-proxy", "restartPolicy": "Always"}]
        obj["metadata"]["annotations"] = {"sidecar.istio.io/status": '{"initContainers": ["istio-proxy"]}'}
    if leaving:
        obj["metadata"]["deletionTimestamp"] = "2026-11-25T10:00:00Z"
    return obj


def injectors(revision: str = "default", *, ca_bundle: str = "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0t") -> Obj:
    """Istio's injection webhooks, with the selectors of its default revision."""
    inject = {"key": "sidecar.istio.io/inject", "operator": "NotIn", "values": ["false"]}
    opted_in = {"key": "sidecar.istio.io/inject", "operator": "In", "values": ["true"]}
    absent = [{"key": key, "operator": "DoesNotExist"} for key in ("istio-injection", "istio.io/rev")]
    by_rev = {"key": "istio.io/rev", "operator": "In", "values": [revision]}
    enabled = {"key": "istio-injection", "operator": "In", "values": ["enabled"]}
    selectors: dict[str, tuple[list[Obj], list[Obj]]] = {
        "rev.namespace": ([by_rev, absent[0]], [inject]),
        "rev.object": (absent, [inject, by_rev]),
        "namespace": ([enabled], [inject]),
        "object": (absent, [opted_in, absent[1]]),
    }
    return named(
        "istio-sidecar-injector",
        webhooks=[
            {
                "name": f"{name}.sidecar-injector.istio.io",
                "namespaceSelector": {"matchExpressions": namespaces},
                "objectSelector": {"matchExpressions": objects},
                "clientConfig": {"caBundle": ca_bundle},
            }
            for name, (namespaces, objects) in selectors.items()
        ],
    )
