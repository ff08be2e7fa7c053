"""Values of a resource as Go prints a protobuf message: ``fixed_delay:{seconds:7}``."""

from __future__ import annotations

import json
import re

_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ns|us|ms|s|m|h))+")
_PART = re.compile(r"(\d+(?:\.\d+)?)(ns|us|ms|s|m|h)")
_NANOSECONDS = {"ns": 1, "us": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
DURATIONS = frozenset({"fixedDelay"})


def prototext(value: object, name: str = "") -> str:
    """The members of a mapping, or one value; ``name`` is the field's, which tells a duration from a string."""
    if isinstance(value, dict):
        return "  ".join(_member(str(key), item) for key, item in value.items())
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        if name in DURATIONS and _DURATION.fullmatch(value):
            return _duration(value)
        return json.dumps(value, ensure_ascii=False)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _member(name: str, value: object) -> str:
    if isinstance(value, list):
        return "  ".join(_member(name, item) for item in value)
    field = re.sub(r"[A-Z]", lambda found: "_" + found[0].lower(), name)
    text = prototext(value, name)
    return f"{field}:{{{text}}}" if isinstance(value, dict) or name in DURATIONS else f"{field}:{text}"


def _duration(text: str) -> str:
    total = round(sum(float(amount) * _NANOSECONDS[unit] for amount, unit in _PART.findall(text)))
    seconds, nanoseconds = divmod(total, 10**9)
    return "  ".join(f"{unit}:{value}" for unit, value in (("seconds", seconds), ("nanos", nanoseconds)) if value)
