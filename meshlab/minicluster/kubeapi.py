"""The Kubernetes API as the parts of the mini-cluster see it: one protocol, two implementations.

Controllers and the node hold the in-process one (``apiserver.local.LocalApi``); istiod, the addons and the lab's
istioctl hold the remote one (``client.RemoteApi``). Both speak plain JSON objects and raise `StatusError`, so code
written against `KubeApi` runs in either place and is tested against a fake.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

Obj = dict[str, Any]
"""A Kubernetes object (or any JSON object) as parsed; never mutate one that came out of a store or a cache."""

PatchType = Literal["json", "merge", "strategic", "apply"]
EventType = Literal["ADDED", "MODIFIED", "DELETED", "BOOKMARK", "ERROR"]


class StatusError(Exception):
    """An API error, as the ``Status`` object that a client receives.

    Args:
        code: HTTP status code.
        reason: machine-readable reason as in ``metav1.StatusReason`` (``NotFound``, ``Conflict`` ...).
        message: text for people, exactly as upstream words it.
        details: ``metav1.StatusDetails`` (name, group, kind, causes, retryAfterSeconds).
    """

    def __init__(self, code: int, reason: str, message: str, details: Obj | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details

    def to_status(self) -> Obj:
        """The ``Status`` object, in the key order that upstream writes (its e2e suite compares bytes)."""
        status: Obj = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
        }
        if self.details:
            status["details"] = self.details
        status["code"] = self.code
        return status

    @classmethod
    def from_status(cls, status: Obj) -> StatusError:
        """Rebuild the error from a ``Status`` object that a server sent."""
        return cls(
            int(status.get("code") or 500),
            status.get("reason") or "Unknown",
            status.get("message") or "unknown error",
            status.get("details"),
        )


@dataclass(frozen=True, slots=True)
class WatchEvent:
    """One event of a watch; ``object`` is the object after the change (before it, for ``DELETED``)."""

    type: EventType
    object: Obj


@dataclass(frozen=True, slots=True)
class ObjectList:
    """The answer of a list: its items and the resourceVersion from which a watch may continue."""

    items: list[Obj]
    resource_version: str
    metadata: Obj = field(default_factory=dict)


class KubeApi(Protocol):
    """What every part of the mini-cluster may do with the Kubernetes API.

    ``resource`` is ``plural`` for the core group, ``plural.group`` (preferred version) or ``plural.version.group``,
    as kubectl accepts it: ``pods``, ``deployments.apps``, ``virtualservices.v1.networking.istio.io``. ``namespace``
    is None for cluster-scoped resources, and in ``list`` and ``watch`` for all namespaces. Every method raises
    `StatusError`.
    """

    async def get(self, resource: str, name: str, namespace: str | None = None) -> Obj: ...

    async def list(
        self,
        resource: str,
        namespace: str | None = None,
        *,
        label_selector: str = "",
        field_selector: str = "",
    ) -> ObjectList: ...

    def watch(
        self,
        resource: str,
        namespace: str | None = None,
        *,
        resource_version: str,
        label_selector: str = "",
        field_selector: str = "",
    ) -> AsyncIterator[WatchEvent]:
        """Events after ``resource_version``; ends when the server closes; raises 410 ``Expired`` if too old."""
        ...

    async def create(
        self, resource: str, obj: Obj, namespace: str | None = None, *, subresource: str = "", dry_run: bool = False
    ) -> Obj: ...

    async def update(self, resource: str, obj: Obj, *, subresource: str = "") -> Obj: ...

    async def patch(
        self,
        resource: str,
        name: str,
        patch: Obj | Sequence[Obj],
        namespace: str | None = None,
        *,
        patch_type: PatchType = "merge",
        subresource: str = "",
    ) -> Obj: ...

    async def delete(
        self,
        resource: str,
        name: str,
        namespace: str | None = None,
        *,
        propagation: Literal["Background", "Foreground", "Orphan"] | None = None,
        grace_period_s: int | None = None,
        uid: str | None = None,
    ) -> Obj: ...


def object_key(obj: Obj) -> tuple[str, str]:
    """``(namespace, name)``; the namespace is empty for a cluster-scoped object."""
    metadata = obj["metadata"]
    return metadata.get("namespace") or "", metadata["name"]


def matches_labels(selector: dict[str, str] | None, labels: dict[str, str] | None) -> bool:
    """Whether an equality-only selector (as a Service's) selects these labels; an empty one selects nothing."""
    if not selector:
        return False
    labels = labels or {}
    return all(labels.get(key) == value for key, value in selector.items())
