"""Which objects a list or a watch is about, and what a change means to somebody who sees only those."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from meshlab.minicluster.apiserver.resources import Resource
from meshlab.minicluster.apiserver.selectors import (
    FieldSelector,
    Selector,
    parse_field_selector,
    parse_label_selector,
)
from meshlab.minicluster.apiserver.store import Change, Record
from meshlab.minicluster.kubeapi import Obj

SeenType = Literal["ADDED", "MODIFIED", "DELETED"]


@dataclass(frozen=True, slots=True)
class Selection:
    """A namespace (empty for all), a name (empty for all), labels and fields."""

    resource: Resource
    namespace: str = ""
    name: str = ""
    labels: Selector = field(default_factory=Selector)
    fields: FieldSelector = field(default_factory=FieldSelector)

    @classmethod
    def parse(
        cls, resource: Resource, namespace: str, *, label_selector: str = "", field_selector: str = "", name: str = ""
    ) -> Selection:
        """Read the selectors of a request.

        Raises:
            StatusError: 400 if one is malformed or names a field that cannot be selected by.
        """
        fields = parse_field_selector(field_selector)
        fields.check(resource)
        return cls(resource, namespace, name, parse_label_selector(label_selector), fields)

    @property
    def is_everything(self) -> bool:
        """Whether the selection leaves nothing out of its namespace."""
        return not self.name and not self.labels and not self.fields

    def matches(self, obj: Obj) -> bool:
        """Whether the object is selected."""
        metadata = obj["metadata"]
        if self.namespace and metadata.get("namespace") != self.namespace:
            return False
        if self.name and metadata["name"] != self.name:
            return False
        return self.labels.matches(metadata.get("labels")) and self.fields.matches(obj, self.resource)

    def seen(self, change: Change) -> tuple[SeenType, Record] | None:
        """The change as a watcher of this selection sees it: what enters is added, what leaves is deleted."""
        record, previous = change.record, change.previous
        now = change.type != "DELETED" and self.matches(record.obj)
        before = previous is not None and self.matches(previous.obj)
        if now:
            return ("MODIFIED" if before else "ADDED"), record
        if not before or previous is None:
            return None
        if change.type == "DELETED":
            return "DELETED", record
        # It left the selection: its last selected state, under the version at which it left.
        metadata = {**previous.obj["metadata"], "resourceVersion": str(record.revision)}
        return "DELETED", Record({**previous.obj, "metadata": metadata}, record.revision)
