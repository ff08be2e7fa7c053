"""What an admission plugin is asked to judge."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from meshlab.minicluster.apiserver.requests import Operation, Request
from meshlab.minicluster.apiserver.store import Store
from meshlab.minicluster.kubeapi import Obj


@dataclass(slots=True)
class Attributes:
    """One operation on its way to the store.

    ``obj`` is a private copy that mutating plugins change in place or replace; it is None for a deletion.
    """

    request: Request
    operation: Operation
    obj: Obj | None
    old: Obj | None
    options: Obj = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The object's name; empty while ``generateName`` has not been resolved."""
        if self.request.name:
            return self.request.name
        return (self.obj or {}).get("metadata", {}).get("name") or ""


class Plugin(Protocol):
    """A built-in admission plugin, in-process and synchronous."""

    def admit(self, attributes: Attributes, store: Store) -> None:
        """Change the object or raise `StatusError`."""
        ...
