"""What a check saw, as plain data that can be stored, hashed and judged again."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

from meshlab.course.ids import timestamp

MAX_SAMPLES = 20


@dataclass(slots=True)
class Evidence:
    """One body of evidence.

    Attributes:
        kind: ``objects``, ``proxy``, ``requests``, ``timeline``, ``series``, ``log`` or ``answer``: what it mainly is.
        data: JSON-able; reduced to what the judge reads, without secrets.
        vantage: whose eyes: ``{"namespace", "pod", "identity", "probe"}``.
        taken_from: when collection began.
        taken_to: when it ended.
        watched: ``{"from_rv", "to_rv"}`` of the objects that the learner may change, before and after.
    """

    kind: str
    data: dict[str, Any]
    vantage: dict[str, str] = field(default_factory=dict)
    taken_from: str = field(default_factory=timestamp)
    taken_to: str = field(default_factory=timestamp)
    watched: dict[str, str] = field(default_factory=dict)

    @property
    def is_void(self) -> bool:
        """Whether a watched object changed meanwhile, so that this evidence belongs to no moment."""
        return bool(self.watched) and self.watched["from_rv"] != self.watched["to_rv"]

    def to_json(self) -> dict[str, Any]:
        """The record without its id (which is the hash of this)."""
        return {
            "v": 1,
            "kind": self.kind,
            "taken": {"from": self.taken_from, "to": self.taken_to},
            "vantage": self.vantage,
            "data": self.data,
            "redacted": [],
            "truncated": False,
        }

    def content_id(self) -> str:
        """``sha256:`` and the digest of the canonical JSON."""
        canonical = json.dumps(self.to_json(), sort_keys=True, separators=(",", ":"))
        return "sha256:" + hashlib.sha256(canonical.encode()).hexdigest()

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> Evidence:
        """Rebuild evidence from a stored record, to judge it again."""
        return cls(record["kind"], record["data"], record["vantage"], record["taken"]["from"], record["taken"]["to"])
