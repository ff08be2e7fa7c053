"""Which processes belong to whom, read from ``/proc``: for ending everything that a container left behind."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import NamedTuple


class Entry(NamedTuple):
    """One process, as ``/proc/PID/stat`` tells it."""

    pid: int
    parent: int
    session: int
    zombie: bool


def entries() -> Iterator[Entry]:
    """Every process that can be seen; those that end meanwhile are passed over."""
    for name in os.listdir("/proc"):  # noqa: PTH208 - names are all that is needed, for every process of the host
        if name.isdigit():
            with contextlib.suppress(OSError, ValueError, IndexError):
                # The command in parentheses may hold anything, also blanks and parentheses.
                fields = Path("/proc", name, "stat").read_text(errors="replace").rpartition(")")[2].split()
                yield Entry(int(name), int(fields[1]), int(fields[3]), fields[0] in "ZX")


def mount_namespace(pid: int) -> str:
    """The name of a process's mount namespace; empty if it is gone or another user's."""
    try:
        return str(Path(f"/proc/{pid}/ns/mnt").readlink())
    except OSError:
        return ""


def children_of(pid: int) -> list[int]:
    """Direct children that are not zombies."""
    return [entry.pid for entry in entries() if entry.parent == pid and not entry.zombie]


def lives_in(pid: int, directory: str) -> bool:
    """Whether a process was started with that container directory's programs on its PATH, or works below it."""
    try:
        environment = Path(f"/proc/{pid}/environ").read_bytes()
        return f"PATH={directory}/bin".encode() in environment.split(b"\0") or Path(
            f"/proc/{pid}/cwd"
        ).readlink().is_relative_to(directory)
    except OSError:
        return False


def members(sessions: Collection[int], namespace: str = "", directory: str = "") -> list[int]:
    """Processes of these sessions, of this mount namespace or container directory, or begotten by one of them.

    Without a mount namespace of its own, a process that left its session and lost its parent can only be told by
    the container directory.
    """
    table = [entry for entry in entries() if not entry.zombie]
    found = {
        entry.pid
        for entry in table
        if entry.session in sessions
        or (namespace and mount_namespace(entry.pid) == namespace)
        or (not namespace and directory and lives_in(entry.pid, directory))
    }
    while grown := {entry.pid for entry in table if entry.parent in found} - found:
        found |= grown
    return sorted(found)


def kill(pids: Collection[int], number: int = signal.SIGKILL) -> None:
    """Signal each; one that is gone, or not ours, is passed over."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)
