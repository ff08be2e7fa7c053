"""What a change means to somebody who sees only a part."""

from __future__ import annotations

import pytest

from meshlab.minicluster.apiserver.resources import builtin_resources
from meshlab.minicluster.apiserver.selection import Selection
from meshlab.minicluster.apiserver.store import Change, Record
from meshlab.minicluster.kubeapi import Obj, StatusError

PODS = next(resource for resource in builtin_resources() if resource.storage == "pods")


def pod(colour: str, revision: int) -> Record:
    metadata = {"name": "p", "namespace": "a", "labels": {"colour": colour}, "resourceVersion": str(revision)}
    obj: Obj = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata}
    return Record(obj, revision)


@pytest.mark.parametrize(
    ("before", "after", "seen", "colour"),
    [
        (None, "red", "ADDED", "red"),
        ("blue", "red", "ADDED", "red"),
        ("red", "red", "MODIFIED", "red"),
        ("red", "blue", "DELETED", "red"),
        ("blue", "blue", None, ""),
        (None, "blue", None, ""),
    ],
)
def test_what_enters_is_added_and_what_leaves_is_deleted(
    before: str | None, after: str, seen: str | None, colour: str
) -> None:
    selection = Selection.parse(PODS, "a", label_selector="colour=red")
    previous = pod(before, 1) if before else None
    result = selection.seen(Change("MODIFIED" if previous else "ADDED", pod(after, 2), previous))
    if seen is None:
        assert result is None
    else:
        assert result is not None
        assert (result[0], result[1].obj["metadata"]["labels"]["colour"]) == (seen, colour)
        assert result[1].obj["metadata"]["resourceVersion"] == "2"


def test_other_namespaces_are_not_seen() -> None:
    assert Selection.parse(PODS, "b").seen(Change("ADDED", pod("red", 1), None)) is None


def test_a_field_that_cannot_be_selected_by_is_refused() -> None:
    with pytest.raises(StatusError, match=r"field label not supported: spec\.colour"):
        Selection.parse(PODS, "a", field_selector="spec.colour=red")
