"""Which patch types there are, and where each of them may be used."""

from __future__ import annotations

from typing import Any

from meshlab.minicluster.apiserver import statuses
from meshlab.minicluster.apiserver.patch import json_patch, merge_patch, strategic_merge_patch
from meshlab.minicluster.apiserver.schema import Schema
from meshlab.minicluster.kubeapi import Obj, PatchType

CONTENT_TYPES: dict[str, PatchType] = {
    "application/json-patch+json": "json",
    "application/merge-patch+json": "merge",
    "application/strategic-merge-patch+json": "strategic",
}


def patch_type_of(content_type: str, *, custom: bool) -> PatchType:
    """The patch type of a request.

    Raises:
        StatusError: 415; custom resources have no strategic merge, and nothing has server-side apply here.
    """
    found = CONTENT_TYPES.get(content_type.partition(";")[0].strip())
    if found is None or (custom and found == "strategic"):
        served = [name for name, type_ in CONTENT_TYPES.items() if not (custom and type_ == "strategic")]
        raise statuses.unsupported_media_type(served)
    return found


def apply_patch(patch_type: PatchType, obj: Obj, patch: Any, schema: Schema | None) -> Obj:
    """The patched object, sharing what the patch left alone with the given one.

    Raises:
        StatusError: the patch does not fit.
    """
    if patch_type == "json":
        return json_patch(obj, patch)
    if patch_type == "merge":
        if not isinstance(patch, dict):
            raise statuses.bad_request("json: cannot unmarshal array into Go value of type map[string]interface {}")
        return merge_patch(obj, patch)
    if patch_type == "strategic" and schema is not None:
        return strategic_merge_patch(obj, patch, schema)
    raise statuses.unsupported_media_type(list(CONTENT_TYPES))
