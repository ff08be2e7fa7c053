"""What a verb of the registry is asked to do, stripped of HTTP."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from meshlab.minicluster.apiserver.resources import Resource
from meshlab.minicluster.apiserver.store import Key
from meshlab.minicluster.apiserver.users import User
from meshlab.minicluster.kubeapi import Obj

FieldValidation = Literal["Strict", "Warn", "Ignore"]
Operation = Literal["CREATE", "UPDATE", "DELETE", "CONNECT"]
Propagation = Literal["Background", "Foreground", "Orphan"]


@dataclass(slots=True)
class Request:
    """One call of the API.

    ``warnings`` is where everything on the way leaves what the client should be told besides the answer.
    """

    user: User
    resource: Resource
    namespace: str = ""
    name: str = ""
    subresource: str = ""
    dry_run: bool = False
    field_validation: FieldValidation = "Ignore"
    field_manager: str = ""
    duplicates: list[str] = field(default_factory=list)
    """Paths of fields that occur twice in the body."""
    warnings: list[str] = field(default_factory=list)

    @property
    def key(self) -> Key:
        """Where the object is stored."""
        return (self.namespace if self.resource.namespaced else "", self.name)


@dataclass(frozen=True, slots=True)
class DeleteOptions:
    """``metav1.DeleteOptions`` as far as it matters here."""

    grace_period_s: int | None = None
    propagation: Propagation | None = None
    uid: str | None = None
    resource_version: str | None = None

    @classmethod
    def from_object(cls, options: Obj) -> DeleteOptions:
        """Read the body of a DELETE."""
        preconditions = options.get("preconditions") or {}
        propagation = options.get("propagationPolicy")
        if propagation is None and options.get("orphanDependents") is not None:
            propagation = "Orphan" if options["orphanDependents"] else "Background"
        return cls(
            options.get("gracePeriodSeconds"),
            propagation,
            preconditions.get("uid"),
            preconditions.get("resourceVersion"),
        )

    def to_object(self) -> Obj:
        """The options as an admission webhook sees them."""
        options: Obj = {"kind": "DeleteOptions", "apiVersion": "meta.k8s.io/v1"}
        if self.grace_period_s is not None:
            options["gracePeriodSeconds"] = self.grace_period_s
        if self.uid is not None:
            options["preconditions"] = {"uid": self.uid}
        if self.propagation is not None:
            options["propagationPolicy"] = self.propagation
        return options
