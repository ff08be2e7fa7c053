"""What is valid in ``metadata`` (apimachinery ``api/validation/objectmeta.go``)."""

from __future__ import annotations

from collections.abc import Iterator

from meshlab.minicluster.apiserver import names
from meshlab.minicluster.apiserver.statuses import Problem, forbidden_field, invalid_value, required
from meshlab.minicluster.apiserver.strategies.base import Strategy
from meshlab.minicluster.kubeapi import Obj

_PLAIN_FINALIZERS = ("orphan", "foregroundDeletion", "kubernetes")


def metadata_problems(strategy: Strategy, obj: Obj) -> Iterator[Problem]:
    """What is wrong with an object's metadata."""
    metadata = obj["metadata"]
    name = metadata.get("name") or ""
    if not name:
        yield required("metadata.name", "name or generateName is required")
    elif wrong := strategy.check_name(name):
        yield invalid_value("metadata.name", name, wrong)
    yield from names.label_problems(metadata.get("labels"), "metadata.labels")
    yield from names.annotation_problems(metadata.get("annotations"), "metadata.annotations")
    for finalizer in metadata.get("finalizers") or ():
        if "/" not in finalizer and finalizer not in _PLAIN_FINALIZERS and "." not in finalizer:
            yield invalid_value(
                "metadata.finalizers", finalizer, "name is neither a standard finalizer name nor is it fully qualified"
            )
    controllers = 0
    for index, owner in enumerate(metadata.get("ownerReferences") or ()):
        path = f"metadata.ownerReferences[{index}]"
        for field in ("apiVersion", "kind", "name", "uid"):
            if not owner.get(field):
                yield invalid_value(f"{path}.{field}", owner.get(field) or "", f"{_word(field)} must not be empty")
        controllers += bool(owner.get("controller"))
    if controllers > 1:
        yield invalid_value(
            "metadata.ownerReferences", controllers, "Only one reference can have Controller set to true"
        )


def _word(field: str) -> str:
    return "version" if field == "apiVersion" else field


def new_finalizer_problems(new: Obj, old: Obj) -> Iterator[Problem]:
    """A dying object takes no new finalizers."""
    if not old["metadata"].get("deletionTimestamp"):
        return
    before = set(old["metadata"].get("finalizers") or ())
    added = [finalizer for finalizer in new["metadata"].get("finalizers") or () if finalizer not in before]
    if added:
        shown = ", ".join(f'"{finalizer}"' for finalizer in added)
        yield forbidden_field(
            "metadata.finalizers",
            f"no new finalizers can be added if the object is being deleted, found new finalizers []string{{{shown}}}",
        )
