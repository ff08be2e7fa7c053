"""Identifiers and time stamps of records: sortable by time, unique without a server."""

from __future__ import annotations

import secrets
import time
from datetime import UTC, datetime

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def new_ulid() -> str:
    """A ULID: 48 bits of milliseconds, 80 bits of chance, 26 characters (source: the ULID specification)."""
    number = (time.time_ns() // 1_000_000) << 80 | secrets.randbits(80)
    return "".join(_CROCKFORD[(number >> shift) & 31] for shift in range(125, -5, -5))


def short_id(prefix: str) -> str:
    """A short random id, such as ``a-3f9c01``."""
    return f"{prefix}-{secrets.token_hex(4)}"


def timestamp() -> str:
    """Now, in UTC with milliseconds: the form of every time stamp in records."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
