"""Identifiers and time stamps of records: sortable by time, unique without a server."""

from __future__ import annotations

import os
import secrets
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

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


@dataclass(frozen=True, slots=True)
class Moment:
    """One moment by two clocks: durations come from the steady one, the other only tells people the time."""

    at: str
    mono_ms: int
    boot: str
    """Which boot ``mono_ms`` counts from."""


def now() -> Moment:
    """This moment. The steady clock also counts while the machine sleeps, where the system has such a clock."""
    clock = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    return Moment(timestamp(), time.clock_gettime_ns(clock) // 1_000_000, _boot_id())


@cache
def _boot_id() -> str:
    """Random where the system does not tell; then no two processes share a boot."""
    try:
        return "b-" + Path("/proc/sys/kernel/random/boot_id").read_text()[:8]
    except OSError:
        return f"b-{os.getpid():x}-{secrets.token_hex(2)}"
