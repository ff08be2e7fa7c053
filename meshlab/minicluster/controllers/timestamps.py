"""``metav1.Time``: RFC 3339 in UTC, to the second."""

from __future__ import annotations

from datetime import UTC, datetime


def format_time(seconds: float) -> str:
    """Seconds since the epoch as the API writes a time."""
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_time(text: str | None) -> float:
    """Seconds since the epoch of a time that the API wrote; 0 if there is none."""
    if not text:
        return 0.0
    return datetime.fromisoformat(text).timestamp()
