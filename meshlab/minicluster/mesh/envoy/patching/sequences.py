"""Patches on an ordered list: filters of a chain, routes of a virtual host."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.patches import ConfigPatch


def changed(items: Sequence[Obj], patch: ConfigPatch, picks: Callable[[Obj], bool] | None) -> list[Obj]:
    """The list after one patch that adds, inserts, replaces or removes.

    Args:
        items: the list.
        patch: the patch; MERGE changes nothing here.
        picks: whether an item is the one that the patch names; None if it names none.
    """
    value = dict(patch.value)
    position = next((index for index, item in enumerate(items) if picks(item)), None) if picks is not None else None
    match patch.operation:
        case "ADD":
            return [*items, value]
        case "INSERT_FIRST":
            return [value, *items]
        case "INSERT_BEFORE" if picks is None:
            return [value, *items]
        case "INSERT_AFTER" if picks is None:
            return [*items, value]
        case "INSERT_BEFORE" if position is not None:
            return [*items[:position], value, *items[position:]]
        case "INSERT_AFTER" if position is not None:
            return [*items[: position + 1], value, *items[position + 1 :]]
        case "REPLACE" if position is not None:
            return [*items[:position], value, *items[position + 1 :]]
        case "REMOVE" if picks is not None:
            return [item for item in items if not picks(item)]
    return list(items)
