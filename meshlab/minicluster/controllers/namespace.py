"""Namespaces that go away: everything in them is deleted first, then the ``kubernetes`` finalizer.

Pods go before everything else (KEP-5080, ordered namespace deletion), so that a policy never outlives the pods that
it guards.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from meshlab.minicluster.controllers.cache import CachedApi
from meshlab.minicluster.controllers.ownership import is_being_deleted
from meshlab.minicluster.controllers.runtime import Controller
from meshlab.minicluster.controllers.served import Discovery, deletable_resources
from meshlab.minicluster.controllers.timestamps import format_time
from meshlab.minicluster.events import EventRecorder
from meshlab.minicluster.informer import Key
from meshlab.minicluster.kubeapi import Obj, StatusError, object_key

FINALIZER = "kubernetes"
RECHECK_S = 0.1
"""How soon a namespace whose content still ends is looked at again."""


@dataclass(slots=True)
class Remains:
    """What is left in a namespace."""

    resources: Counter[str] = field(default_factory=Counter)
    finalizers: Counter[str] = field(default_factory=Counter)
    errors: list[str] = field(default_factory=list)

    @property
    def empty(self) -> bool:
        """Whether the namespace can be finalized."""
        return not self.resources and not self.errors


def conditions(remains: Remains, old: list[Obj], now: float) -> list[Obj]:
    """The conditions of a terminating namespace, in upstream's words."""
    content = ", ".join(f"{name} has {count} resource instances" for name, count in sorted(remains.resources.items()))
    finalizers = ", ".join(
        f"{name} in {count} resource instances" for name, count in sorted(remains.finalizers.items())
    )
    facts = [
        ("NamespaceDeletionDiscoveryFailure", "ResourcesDiscovered", "", "All resources successfully discovered"),
        (
            "NamespaceDeletionGroupVersionParsingFailure",
            "ParsedGroupVersions",
            "",
            "All legacy kube types successfully parsed",
        ),
        (
            "NamespaceDeletionContentFailure",
            "ContentDeletionFailed" if remains.errors else "ContentDeleted",
            f"Failed to delete all resource types, {len(remains.errors)} remaining: {', '.join(remains.errors)}"
            if remains.errors
            else "",
            "All content successfully deleted, may be waiting on finalization",
        ),
        (
            "NamespaceContentRemaining",
            "SomeResourcesRemain" if content else "ContentRemoved",
            f"Some resources are remaining: {content}" if content else "",
            "All content successfully removed",
        ),
        (
            "NamespaceFinalizersRemaining",
            "SomeFinalizersRemain" if finalizers else "ContentHasNoFinalizers",
            f"Some content in the namespace has finalizers remaining: {finalizers}" if finalizers else "",
            "All content-preserving finalizers finished",
        ),
    ]
    known = {c["type"]: c for c in old}
    result = []
    for type_, reason, problem, fine in facts:
        status = "True" if problem else "False"
        before = known.get(type_)
        since = before["lastTransitionTime"] if before and before["status"] == status else format_time(now)
        result.append(
            {"type": type_, "status": status, "lastTransitionTime": since, "reason": reason, "message": problem or fine}
        )
    return result


class NamespaceController(Controller):
    """Empties and finalizes namespaces that are being deleted."""

    def __init__(self, api: CachedApi, recorder: EventRecorder, served: Discovery) -> None:
        super().__init__(api, recorder)
        self._served = served
        self._namespaces = api.cache("namespaces")
        self.watch("namespaces")
        api.cache("pods").subscribe(self._pod_changed)

    def _pod_changed(self, old: Obj | None, new: Obj | None) -> None:
        if new is None and old is not None:
            namespace = self._namespaces.get(old["metadata"]["namespace"])
            if namespace is not None and is_being_deleted(namespace):
                self.enqueue(namespace)

    async def reconcile(self, key: Key) -> None:
        _, name = key
        namespace = self._namespaces.get(name)
        if namespace is None or not is_being_deleted(namespace):
            return
        finalizers = (namespace.get("spec") or {}).get("finalizers") or []
        if FINALIZER not in finalizers:
            return
        status = namespace.get("status") or {}
        if status.get("phase") != "Terminating":
            namespace = await self.api.update_status("namespaces", namespace, {**status, "phase": "Terminating"})
        remains = await self._empty(name)
        if not remains.empty:
            status = namespace.get("status") or {}
            fresh = {**status, "conditions": conditions(remains, status.get("conditions") or [], self.api.now())}
            await self.api.update_status("namespaces", namespace, fresh)
            self.queue.add_after(key, RECHECK_S)
            return
        spec = {**(namespace.get("spec") or {}), "finalizers": [f for f in finalizers if f != FINALIZER]}
        try:
            await self.api.live.update("namespaces", {**namespace, "spec": spec}, subresource="finalize")
        except StatusError as error:
            if error.code != 404:
                raise

    async def _empty(self, namespace: str) -> Remains:
        remains = Remains()
        await self._empty_resource("pods", namespace, remains)
        if remains.resources:
            return remains
        for resource, served in deletable_resources(self._served()).items():
            if served.namespaced and resource != "pods":
                await self._empty_resource(resource, namespace, remains)
        return remains

    async def _empty_resource(self, resource: str, namespace: str, remains: Remains) -> None:
        try:
            objects = (await self.api.live.list(resource, namespace)).items
            for obj in objects:
                if not is_being_deleted(obj):
                    await self._delete(resource, obj)
            if objects:
                objects = (await self.api.live.list(resource, namespace)).items
        except StatusError as error:
            if error.code != 404:  # 404: the CRD went away meanwhile
                remains.errors.append(f"unexpected error deleting {resource}: {error.message}")
            return
        for obj in objects:
            remains.resources[_dotted(resource)] += 1
            remains.finalizers.update(obj["metadata"].get("finalizers") or ())

    async def _delete(self, resource: str, obj: Obj) -> None:
        namespace, name = object_key(obj)
        try:
            await self.api.live.delete(resource, name, namespace, propagation="Background")
        except StatusError as error:
            if error.code not in (404, 409):
                raise


def _dotted(resource: str) -> str:
    """Upstream writes a core resource with a trailing dot."""
    return resource if "." in resource else f"{resource}."
