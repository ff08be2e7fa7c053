"""A small in-memory `KubeApi`: resourceVersions, watches, status, deletion with finalizers; no schema, no admission.

It does what controllers and clients rely on and nothing more; ``refuse`` lets a test make writes fail.
"""

from __future__ import annotations

import asyncio
import re
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

import orjson

from meshlab.minicluster.kubeapi import Obj, ObjectList, PatchType, StatusError, WatchEvent

CLUSTER_SCOPED = {
    "namespaces",
    "nodes",
    "persistentvolumes",
    "customresourcedefinitions.apiextensions.k8s.io",
    "clusterroles.rbac.authorization.k8s.io",
    "clusterrolebindings.rbac.authorization.k8s.io",
    "mutatingwebhookconfigurations.admissionregistration.k8s.io",
    "validatingwebhookconfigurations.admissionregistration.k8s.io",
}
PROPAGATION_FINALIZERS = {"Foreground": "foregroundDeletion", "Orphan": "orphan"}
HAS_STATUS = {"configmaps": False, "secrets": False, "events": False, "serviceaccounts": False, "endpoints": False}
Key = tuple[str, str]
Items = list[Obj]


def copy(obj: Any) -> Any:
    """A deep copy of JSON data."""
    return orjson.loads(orjson.dumps(obj))


def canonical(resource: str) -> str:
    """``plural`` or ``plural.group``, without a version."""
    plural, _, rest = resource.partition(".")
    first, _, group = rest.partition(".")
    return f"{plural}.{group}" if re.fullmatch(r"v\d+((alpha|beta)\d+)?", first) else resource


def merge(target: Any, patch: Any) -> Any:
    """A JSON merge patch (RFC 7386)."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge(result.get(key), value)
    return result


class FakeKubeApi:
    """An API server's storage without the API server.

    Args:
        graceful_pods: deleted pods stay with a deletionTimestamp until `finish_pod` (or grace 0) ends them.
    """

    def __init__(self, *, graceful_pods: bool = False) -> None:
        self.graceful_pods = graceful_pods
        self.objects: dict[str, dict[Key, Obj]] = {}
        self.refuse: Callable[[str, str, Obj], StatusError | None] = lambda verb, resource, obj: None
        self.calls: list[tuple[str, str, str]] = []
        """(verb, resource, name) of every write."""
        self._version = 0
        self._history: dict[str, list[tuple[int, WatchEvent]]] = {}
        self._changed: dict[str, asyncio.Event] = {}

    # --- reading ---

    async def get(self, resource: str, name: str, namespace: str | None = None) -> Obj:
        found: Obj = copy(self._find(canonical(resource), name, namespace))
        return found

    async def list(
        self,
        resource: str,
        namespace: str | None = None,
        *,
        label_selector: str = "",
        field_selector: str = "",
    ) -> ObjectList:
        items = [
            copy(obj)
            for (ns, _), obj in sorted(self._table(canonical(resource)).items())
            if (namespace is None or ns == namespace) and _selected(obj, label_selector, field_selector)
        ]
        return ObjectList(items, str(self._version))

    async def watch(
        self,
        resource: str,
        namespace: str | None = None,
        *,
        resource_version: str,
        label_selector: str = "",
        field_selector: str = "",
    ) -> AsyncIterator[WatchEvent]:
        resource = canonical(resource)
        position = 0
        history = self._history.setdefault(resource, [])
        changed = self._changed.setdefault(resource, asyncio.Event())
        while True:
            while position < len(history):
                version, event = history[position]
                position += 1
                if version <= int(resource_version):
                    continue
                ns = event.object["metadata"].get("namespace", "")
                if namespace not in (None, ns) or not _selected(event.object, label_selector, field_selector):
                    continue
                yield WatchEvent(event.type, copy(event.object))
            changed.clear()
            await changed.wait()

    # --- writing ---

    async def create(
        self, resource: str, obj: Obj, namespace: str | None = None, *, subresource: str = "", dry_run: bool = False
    ) -> Obj:
        resource = canonical(resource)
        self._check("create", resource, obj)
        if subresource == "binding":
            return self._bind(obj, namespace or "")
        fresh: Obj = copy(obj)
        metadata = fresh.setdefault("metadata", {})
        if "name" not in metadata:
            metadata["name"] = metadata["generateName"] + uuid.uuid4().hex[:5]
        if resource not in CLUSTER_SCOPED:
            metadata["namespace"] = namespace or metadata.get("namespace") or "default"
        key = (metadata.get("namespace", ""), metadata["name"])
        if key in self._table(resource):
            raise StatusError(409, "AlreadyExists", f'{resource} "{key[1]}" already exists')
        metadata["uid"] = str(uuid.uuid4())
        metadata["creationTimestamp"] = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        metadata["generation"] = 1
        if resource == "namespaces":
            fresh.setdefault("spec", {"finalizers": ["kubernetes"]})
            fresh.setdefault("status", {"phase": "Active"})
        if resource == "pods":
            fresh.setdefault("status", {"phase": "Pending"})
        if not dry_run:
            self.calls.append(("create", resource, key[1]))
            self._store(resource, key, fresh, "ADDED")
        return copy(fresh)  # type: ignore[no-any-return]

    async def update(self, resource: str, obj: Obj, *, subresource: str = "") -> Obj:
        resource = canonical(resource)
        self._check(f"update{'/' if subresource else ''}{subresource}", resource, obj)
        metadata = obj["metadata"]
        old = self._find(resource, metadata["name"], metadata.get("namespace"))
        version = metadata.get("resourceVersion")
        if version and version != old["metadata"]["resourceVersion"]:
            raise StatusError(409, "Conflict", f'Operation cannot be fulfilled on {resource} "{metadata["name"]}"')
        if metadata.get("uid") not in (None, old["metadata"]["uid"]):
            raise StatusError(409, "Conflict", f"Precondition failed: UID in precondition: {metadata['uid']}")
        self.calls.append(("update", resource, metadata["name"]))
        return self._replace(resource, old, copy(obj), subresource)

    async def patch(
        self,
        resource: str,
        name: str,
        patch: Obj | Sequence[Obj],
        namespace: str | None = None,
        *,
        patch_type: PatchType = "merge",
        subresource: str = "",
    ) -> Obj:
        resource = canonical(resource)
        old = self._find(resource, name, namespace)
        if not isinstance(patch, dict) or patch_type == "json":
            raise NotImplementedError("the fake knows merge patches only")
        self._check("patch", resource, old)
        wanted = patch.get("metadata", {})
        if wanted.get("uid", old["metadata"]["uid"]) != old["metadata"]["uid"]:
            raise StatusError(422, "Invalid", "metadata.uid: Invalid value: field is immutable")
        if wanted.get("resourceVersion", old["metadata"]["resourceVersion"]) != old["metadata"]["resourceVersion"]:
            raise StatusError(409, "Conflict", f'Operation cannot be fulfilled on {resource} "{name}"')
        self.calls.append(("patch", resource, name))
        return self._replace(resource, old, merge(copy(old), patch), subresource)

    async def delete(
        self,
        resource: str,
        name: str,
        namespace: str | None = None,
        *,
        propagation: Literal["Background", "Foreground", "Orphan"] | None = None,
        grace_period_s: int | None = None,
        uid: str | None = None,
    ) -> Obj:
        resource = canonical(resource)
        old = self._find(resource, name, namespace)
        self._check("delete", resource, old)
        if uid is not None and uid != old["metadata"]["uid"]:
            raise StatusError(409, "Conflict", f"Precondition failed: UID in precondition: {uid}")
        self.calls.append(("delete", resource, name))
        key = (old["metadata"].get("namespace", ""), name)
        fresh = copy(old)
        metadata = fresh["metadata"]
        finalizers = list(metadata.get("finalizers") or ())
        extra = PROPAGATION_FINALIZERS.get(propagation or "")
        if extra and extra not in finalizers:
            finalizers.append(extra)
        if finalizers:
            metadata["finalizers"] = finalizers
        waits = (
            finalizers
            or (resource == "namespaces" and fresh["spec"].get("finalizers"))
            or (resource == "pods" and self.graceful_pods and grace_period_s != 0)
        )
        if waits:
            metadata.setdefault("deletionTimestamp", datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"))
            self._store(resource, key, fresh, "MODIFIED")
            return copy(fresh)  # type: ignore[no-any-return]
        self._remove(resource, key)
        return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}

    # --- for tests ---

    def all(self, resource: str) -> Items:
        """The stored objects of a resource, by key."""
        return [copy(obj) for _, obj in sorted(self._table(canonical(resource)).items())]

    async def set_status(self, resource: str, name: str, namespace: str | None = None, **status: Any) -> Obj:
        """Merge fields into the status of an object, as a node would."""
        return await self.patch(resource, name, {"status": status}, namespace, subresource="status")

    async def run_pod(self, name: str, namespace: str = "default", *, ip: str = "", ready: bool = True) -> Obj:
        """Report a pod as running."""
        stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        conditions = [{"type": "Ready", "status": "True" if ready else "False", "lastTransitionTime": stamp}]
        status: Obj = {"phase": "Running", "conditions": conditions}
        if ip:
            status["podIP"] = ip
        return await self.set_status("pods", name, namespace, **status)

    def finish_pod(self, name: str, namespace: str = "default") -> None:
        """End a pod that is being deleted gracefully."""
        self._remove("pods", (namespace, name))

    # --- inside ---

    def _check(self, verb: str, resource: str, obj: Obj) -> None:
        error = self.refuse(verb, resource, obj)
        if error is not None:
            raise error

    def _table(self, resource: str) -> dict[Key, Obj]:
        return self.objects.setdefault(resource, {})

    def _find(self, resource: str, name: str, namespace: str | None) -> Obj:
        found = self._table(resource).get((namespace or "", name))
        if found is None:
            raise StatusError(404, "NotFound", f'{resource} "{name}" not found')
        return found

    def _replace(self, resource: str, old: Obj, new: Obj, subresource: str) -> Obj:
        if subresource == "status":
            metadata = {**old["metadata"]}
            if "annotations" in new["metadata"]:  # as upstream, an update of the status may change annotations
                metadata["annotations"] = new["metadata"]["annotations"]
            new = {**old, "metadata": metadata, "status": new.get("status")}
        elif subresource != "finalize" and HAS_STATUS.get(resource, True) and "status" in old:
            new = {**new, "status": old["status"]}
        new = copy(new)
        metadata = new["metadata"]
        for fixed in ("uid", "creationTimestamp", "namespace", "name", "deletionTimestamp", "generation"):
            if fixed in old["metadata"]:
                metadata[fixed] = old["metadata"][fixed]
        if new.get("spec") != old.get("spec"):
            metadata["generation"] = old["metadata"]["generation"] + 1
        metadata["resourceVersion"] = old["metadata"]["resourceVersion"]
        key = (metadata.get("namespace", ""), metadata["name"])
        done = not metadata.get("finalizers") and not (new.get("spec") or {}).get("finalizers")
        if "deletionTimestamp" in metadata and done and not (resource == "pods" and self.graceful_pods):
            self._remove(resource, key)
        elif new != old:
            self._store(resource, key, new, "MODIFIED")
        return copy(new)  # type: ignore[no-any-return]

    def _bind(self, binding: Obj, namespace: str) -> Obj:
        name = binding["metadata"]["name"]
        pod = copy(self._find("pods", name, namespace))
        pod["spec"]["nodeName"] = binding["target"]["name"]
        self._store("pods", (namespace, name), pod, "MODIFIED")
        return {"kind": "Status", "apiVersion": "v1", "status": "Success"}

    def _store(self, resource: str, key: Key, obj: Obj, type_: Literal["ADDED", "MODIFIED"]) -> None:
        self._version += 1
        obj["metadata"]["resourceVersion"] = str(self._version)
        self._table(resource)[key] = obj
        self._tell(resource, WatchEvent(type_, obj))

    def _remove(self, resource: str, key: Key) -> None:
        obj = copy(self._table(resource).pop(key))
        self._version += 1
        obj["metadata"]["resourceVersion"] = str(self._version)
        self._tell(resource, WatchEvent("DELETED", obj))

    def _tell(self, resource: str, event: WatchEvent) -> None:
        self._history.setdefault(resource, []).append((self._version, event))
        self._changed.setdefault(resource, asyncio.Event()).set()


def _selected(obj: Obj, label_selector: str, field_selector: str) -> bool:
    labels = obj["metadata"].get("labels") or {}
    for term in filter(None, label_selector.split(",")):
        key, _, value = term.partition("=")
        if labels.get(key) != value.lstrip("="):
            return False
    for term in filter(None, field_selector.split(",")):
        path, _, value = term.partition("=")
        current: Any = obj
        for step in path.split("."):
            current = current.get(step) if isinstance(current, dict) else None
        if (current or "") != value.lstrip("="):
            return False
    return True
