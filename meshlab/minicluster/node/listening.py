"""Which TCP ports are listened on, read from ``/proc/net/tcp``: without connecting, so that no program notices."""

from __future__ import annotations

import itertools
import socket
import struct
from collections.abc import Collection, Iterable
from pathlib import Path

_LISTEN = "0A"


def all_listening(wanted: Collection[tuple[str, int]], table: str | None = None) -> bool:
    """Whether somebody listens on every ``(ip, port)``; True where the kernel does not tell.

    Args:
        wanted: IPv4 addresses and ports.
        table: the text of ``/proc/net/tcp``, for tests.
    """
    if table is not None:
        return _all_listening(wanted, table.splitlines())
    try:
        with Path("/proc/net/tcp").open() as lines:
            return _all_listening(wanted, lines)
    except OSError:
        return True


def _all_listening(wanted: Collection[tuple[str, int]], lines: Iterable[str]) -> bool:
    """Read no further than needed: sockets that listen come first, and of others there may be thousands."""
    found: set[str] = set()
    for line in itertools.islice(lines, 1, None):
        fields = line.split()
        if fields[3] != _LISTEN:
            break
        found.add(fields[1])
    return all({_hex(ip, port), _hex("0.0.0.0", port)} & found for ip, port in wanted)


def _hex(ip: str, port: int) -> str:
    (native,) = struct.unpack("=I", socket.inet_aton(ip))
    return f"{native:08X}:{port:04X}"
