"""ReferenceGrants: who may point at objects of another namespace."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.istio.reading import mapping, objects, text

ANY_NAME = ""


@dataclass(slots=True)
class Grants:
    """All grants of the cluster: (from group, kind, namespace, to group, kind, namespace) -> names."""

    granted: dict[tuple[str, str, str, str, str, str], set[str]] = field(default_factory=dict)

    @classmethod
    def read(cls, grants: Iterable[Obj]) -> Grants:
        """Collect the ReferenceGrants."""
        found = cls()
        for obj in grants:
            owner = text(mapping(obj.get("metadata")).get("namespace"))
            spec = mapping(obj.get("spec"))
            for source in objects(spec.get("from")):
                origin = (text(source.get("group")), text(source.get("kind")), text(source.get("namespace")))
                for target in objects(spec.get("to")):
                    key = (*origin, text(target.get("group")), text(target.get("kind")), owner)
                    found.granted.setdefault(key, set()).add(text(target.get("name")) or ANY_NAME)
        return found

    def allows(
        self, from_group: str, from_kind: str, from_namespace: str, to_kind: str, to_namespace: str, name: str
    ) -> bool:
        """Whether an object of the core group may be pointed at; within one namespace that needs no grant."""
        if from_namespace == to_namespace:
            return True
        names = self.granted.get((from_group, from_kind, from_namespace, "", to_kind, to_namespace), set())
        return ANY_NAME in names or name in names
