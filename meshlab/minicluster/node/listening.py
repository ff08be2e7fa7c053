"""Which TCP ports are listened on, read from ``/proc/net/tcp``: without connecting, so that no program notices."""

from __future__ import annotations

import socket
import struct
from collections.abc import Collection
from pathlib import Path

_LISTEN = "0A"


def all_listening(wanted: Collection[tuple[str, int]], table: str | None = None) -> bool:
    """Whether somebody listens on every ``(ip, port)``; True where the kernel does not tell.

    Args:
        wanted: IPv4 addresses and ports.
        table: the text of ``/proc/net/tcp``, for tests.
    """
    if table is None:
        try:
            table = Path("/proc/net/tcp").read_text()
        except OSError:
            return True
    found = set()
    for line in table.splitlines()[1:]:
        fields = line.split()
        if len(fields) > 3 and fields[3] == _LISTEN:
            found.add(fields[1])
    return all({_hex(ip, port), _hex("0.0.0.0", port)} & found for ip, port in wanted)


def _hex(ip: str, port: int) -> str:
    (native,) = struct.unpack("=I", socket.inet_aton(ip))
    return f"{native:08X}:{port:04X}"
