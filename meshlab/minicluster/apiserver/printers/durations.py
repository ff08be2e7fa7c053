"""Ages and durations as ``k8s.io/apimachinery/pkg/util/duration`` writes them."""

from __future__ import annotations

from datetime import datetime

UNKNOWN = "<unknown>"
_MINUTE_S, _HOUR_S, _DAY_S, _YEAR_S = 60, 3600, 86400, 365 * 86400


def parse_time(text: str) -> datetime:
    """A ``metav1.Time`` or ``MicroTime``."""
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def age(timestamp: str | None, now: datetime) -> str:
    """How long ago a timestamp was; ``<unknown>`` if there is none."""
    if not timestamp:
        return UNKNOWN
    return human_duration((now - parse_time(timestamp)).total_seconds())


def human_duration(seconds: float) -> str:
    """Two significant units at most: ``5m30s``, ``47h``, ``3y15d``. Slightly negative ones (clock skew) are ``0s``."""
    whole = int(seconds)
    if whole < -1:
        return "<invalid>"
    if whole < 0:
        return "0s"
    if whole < 2 * _MINUTE_S:
        return f"{whole}s"
    if whole < 10 * _MINUTE_S:
        return _two(whole // _MINUTE_S, "m", whole % _MINUTE_S, "s")
    if whole < 3 * _HOUR_S:
        return f"{whole // _MINUTE_S}m"
    if whole < 8 * _HOUR_S:
        return _two(whole // _HOUR_S, "h", whole % _HOUR_S // _MINUTE_S, "m")
    if whole < 2 * _DAY_S:
        return f"{whole // _HOUR_S}h"
    if whole < 8 * _DAY_S:
        return _two(whole // _DAY_S, "d", whole % _DAY_S // _HOUR_S, "h")
    if whole < 2 * _YEAR_S:
        return f"{whole // _DAY_S}d"
    if whole < 8 * _YEAR_S:
        return _two(whole // _YEAR_S, "y", whole % _YEAR_S // _DAY_S, "d")
    return f"{whole // _YEAR_S}y"


def _two(first: int, unit: str, rest: int, smaller: str) -> str:
    return f"{first}{unit}{rest}{smaller}" if rest else f"{first}{unit}"
