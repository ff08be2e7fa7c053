"""JSON merge patch (RFC 7396)."""

from __future__ import annotations

from typing import Any

from meshlab.minicluster.kubeapi import Obj, StatusError


def merge_patch(obj: Obj, patch: Any) -> Obj:
    """Apply a merge patch; a patch that is no object raises `StatusError` 400."""
    if not isinstance(patch, dict):
        raise StatusError(400, "BadRequest", "Invalid JSON Patch")
    merged: Obj = _merge(obj, patch)
    return merged


def _merge(target: Any, patch: Any) -> Any:
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = _merge(result.get(key), value)
    return result
