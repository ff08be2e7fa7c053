"""Which /16 of 127/8 a lab owns: the listener of its API server is the lock, so labs of different users never meet."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

LOCK_PORTS = (6443, 16443, 26443)
"""The API server's port: upstream's, or the next one that no host process holds on every address."""

PREFIXES = range(20, 250)
_PROBE_ADDRESS = "127.254.254.254"


class NoAddressesError(Exception):
    """No /16 of 127/8 can be had; the message says why and what to do."""


@dataclass(slots=True)
class Claim:
    """A /16 that this process owns as long as ``listener`` is open."""

    prefix: str
    port: int
    listener: socket.socket


def claim(lab: str, record: Path) -> Claim:
    """Claim the /16 that the lab had before (its objects carry its addresses), else a free one.

    Args:
        lab: the lab's name; with the user id it decides where the search begins.
        record: a small JSON file that remembers the prefix.

    Raises:
        NoAddressesError: loopback addresses cannot be bound, or the remembered /16 is somebody else's now.
    """
    port = _lock_port()
    remembered = _remembered(record)
    if remembered is not None:
        listener = _listen(remembered, port)
        if listener is None:
            raise NoAddressesError(
                f"the addresses {remembered}.0.0/16 of lab {lab} are in use by another lab on this machine; "
                "stop that one, or start afresh with down --delete"
            )
        return Claim(remembered, port, listener)
    for prefix in _candidates(lab):
        listener = _listen(prefix, port)
        if listener is not None:
            record.write_text(json.dumps({"prefix": prefix}))
            return Claim(prefix, port, listener)
    raise NoAddressesError("every /16 of 127/8 that a lab could use is taken by another lab")


def _candidates(lab: str) -> Iterator[str]:
    digest = hashlib.sha256(f"{os.getuid()}/{lab}".encode()).digest()
    start = int.from_bytes(digest[:4], "big")
    return (f"127.{PREFIXES[(start + step) % len(PREFIXES)]}" for step in range(len(PREFIXES)))


def _lock_port() -> int:
    problem = ""
    for port in LOCK_PORTS:
        with socket.socket() as probe:
            try:
                probe.bind((_PROBE_ADDRESS, port))
            except OSError as error:
                problem = f"{_PROBE_ADDRESS}:{port}: {os.strerror(error.errno or 0)}"
                if error.errno != errno.EADDRINUSE:
                    break
            else:
                return port
    raise NoAddressesError(f"cannot bind loopback addresses ({problem}); a lab needs addresses inside 127/8")


def _listen(prefix: str, port: int) -> socket.socket | None:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((f"{prefix}.0.1", port))
        listener.listen(128)
    except OSError:
        listener.close()
        return None
    return listener


def _remembered(record: Path) -> str | None:
    try:
        prefix = json.loads(record.read_text())["prefix"]
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None
    return prefix if isinstance(prefix, str) else None
