"""The ``pod-template-hash`` and its kin: short, stable names for what a template says."""

from __future__ import annotations

import hashlib
from typing import Any

import orjson

SAFE_LETTERS = "bcdfghjklmnpqrstvwxz2456789"
"""No vowels and no lookalikes, so that a hash never spells a word (``k8s.io/apimachinery/pkg/util/rand``)."""
HASH_LENGTH = 10


def safe_encode(text: str) -> str:
    """Map each character to one of `SAFE_LETTERS`, as upstream's ``SafeEncodeString``."""
    return "".join(SAFE_LETTERS[ord(character) % len(SAFE_LETTERS)] for character in text)


def template_hash(template: Any, collisions: int = 0) -> str:
    """Ten characters that stand for a template.

    Upstream hashes Go's in-memory form, which nobody outside can reproduce; the shape and the alphabet are the same.
    Absent and empty fields count alike, as they do in Go.

    Args:
        template: a PodTemplateSpec or any JSON value.
        collisions: the owner's ``status.collisionCount``.
    """
    text = orjson.dumps(_without_empty(template), option=orjson.OPT_SORT_KEYS) + str(collisions or "").encode()
    number = int.from_bytes(hashlib.sha256(text).digest()[:8], "big")
    return safe_encode(f"{number:020d}"[-HASH_LENGTH:])


def _without_empty(value: Any) -> Any:
    if isinstance(value, dict):
        cleaned = {key: _without_empty(item) for key, item in value.items()}
        return {key: item for key, item in cleaned.items() if item is not None and item not in ("", [], {})}
    if isinstance(value, list):
        return [_without_empty(item) for item in value]
    return value
