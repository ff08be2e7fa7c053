"""Messages as ``istioctl analyze`` prints them."""

from __future__ import annotations

import json
from collections.abc import Sequence

import yaml

from meshlab.minicluster.mesh.istio.analysis.messages import LEVELS, Level
from meshlab.minicluster.mesh.istio.analysis.model import Message

DOCUMENTATION = "https://istio.io/v1.31/docs/reference/config/analysis"
FORMATS = ("log", "json", "yaml")


def at_least(messages: Sequence[Message], level: Level) -> list[Message]:
    """The messages at or above a level."""
    return [item for item in messages if LEVELS.index(item.level) <= LEVELS.index(level)]


def render(messages: Sequence[Message], form: str, *, color: bool = False) -> str:
    """The text of one of `FORMATS`, without a trailing newline."""
    if form == "json":
        return json.dumps([to_json(item) for item in messages], indent="\t", ensure_ascii=False)
    if form == "yaml":
        text: str = yaml.safe_dump([to_json(item) for item in messages], allow_unicode=True)
        return text.rstrip("\n")
    return "\n".join(line(item, color=color) for item in messages)


def line(item: Message, *, color: bool = False) -> str:
    """``Error [IST0101] (VirtualService default/reviews file.yaml:12) Referenced ...``."""
    colors = {"Error": "\x1b[1;31m", "Warning": "\x1b[33m", "Info": ""}
    start = colors[item.level] if color else ""
    end = "\x1b[0m" if start else ""
    reference = f" {item.reference}" if item.reference else ""
    return f"{start}{item.level}{end} [{item.code}] ({item.origin}{reference}) {item.text}"


def to_json(item: Message) -> dict[str, str]:
    """The fields of the machine-readable forms."""
    entry = {
        "code": item.code,
        "documentationUrl": f"{DOCUMENTATION}/{item.code.lower()}/?ref=istioctl-analyze",
        "level": item.level,
        "message": item.text,
        "origin": item.origin,
    }
    if item.reference:
        entry["reference"] = item.reference
    return entry
