"""The graph of who owns whom, by uid, over every object of the cluster. Plain data, no input or output."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from meshlab.minicluster.informer import Key
from meshlab.minicluster.kubeapi import Obj, object_key

FOREGROUND = "foregroundDeletion"
ORPHAN = "orphan"


@dataclass(slots=True)
class Node:
    """One object, as far as ownership goes."""

    uid: str
    resource: str
    key: Key
    owners: dict[str, Obj] = field(default_factory=dict)
    """Owner references by the owner's uid."""
    deleting: bool = False
    finalizers: frozenset[str] = frozenset()

    @property
    def awaits_dependents(self) -> bool:
        """Whether it is being deleted in the foreground."""
        return self.deleting and FOREGROUND in self.finalizers

    @property
    def orphans_dependents(self) -> bool:
        """Whether it is being deleted and wants its dependents kept."""
        return self.deleting and ORPHAN in self.finalizers


class OwnerGraph:
    """Every object that was seen, and the dependents of every uid that is referred to."""

    def __init__(self) -> None:
        self._nodes: dict[str, Node] = {}
        self._dependents: dict[str, set[str]] = {}

    def __len__(self) -> int:
        return len(self._nodes)

    def get(self, uid: str) -> Node | None:
        """The object with that uid, if it exists."""
        return self._nodes.get(uid)

    def dependents(self, uid: str) -> list[Node]:
        """The objects that refer to that uid as an owner, whether the owner exists or not."""
        return [self._nodes[dependent] for dependent in self._dependents.get(uid, ())]

    def put(self, resource: str, obj: Obj) -> tuple[Node, Node | None]:
        """Take note of an object; returns what it is now and what it was."""
        metadata = obj["metadata"]
        uid = metadata["uid"]
        old = self._nodes.get(uid)
        node = Node(
            uid,
            resource,
            object_key(obj),
            {reference["uid"]: reference for reference in metadata.get("ownerReferences") or ()},
            bool(metadata.get("deletionTimestamp")),
            frozenset(metadata.get("finalizers") or ()),
        )
        self._nodes[uid] = node
        for owner in (old.owners if old is not None else {}).keys() - node.owners.keys():
            self._unlink(owner, uid)
        for owner in node.owners:
            self._dependents.setdefault(owner, set()).add(uid)
        return node, old

    def remove(self, uid: str) -> Node | None:
        """Forget an object that is gone; those that refer to it still do."""
        node = self._nodes.pop(uid, None)
        if node is not None:
            for owner in node.owners:
                self._unlink(owner, uid)
        return node

    def of_resource(self, resource: str) -> Iterable[Node]:
        """Every object of one resource."""
        return [node for node in self._nodes.values() if node.resource == resource]

    def _unlink(self, owner: str, uid: str) -> None:
        group = self._dependents.get(owner)
        if group is not None:
            group.discard(uid)
            if not group:
                del self._dependents[owner]
