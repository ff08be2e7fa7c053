"""Loopback addresses for tests: workers of one run never share a /16."""

from __future__ import annotations

import os
import random

OCTETS = range(130, 250)


def random_prefix() -> str:
    """The first two octets of a /16 of 127/8 that belongs to this worker."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    return f"127.{random.choice([octet for octet in OCTETS if octet % workers == worker])}"
