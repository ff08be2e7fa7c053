"""Volume contents that change all at once (upstream's ``AtomicWriter``).

The files live in a directory named by time; ``..data`` is a link to it, and a program opens links through ``..data``.
Renaming a new ``..data`` over the old one switches every file in one step.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

Payload = Mapping[str, tuple[bytes, int]]
"""Content and mode by path relative to the volume."""

DATA = "..data"


def write(volume: Path, payload: Payload) -> bool:
    """Make the volume hold exactly ``payload``; returns whether anything changed."""
    volume.mkdir(parents=True, exist_ok=True)
    if _current(volume) == dict(payload):
        return False
    stamp = time.strftime("..%Y_%m_%d_%H_%M_%S.", time.gmtime())
    fresh = Path(tempfile.mkdtemp(prefix=stamp, dir=volume))
    fresh.chmod(0o755)
    for name, (content, mode) in payload.items():
        file = fresh / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        file.chmod(mode)
    previous = volume / DATA
    outdated = str(previous.readlink()) if previous.is_symlink() else ""
    _link(fresh.name, previous)
    tops = {Path(name).parts[0] for name in payload}
    for top in tops:
        if not (volume / top).is_symlink():
            _link(f"{DATA}/{top}", volume / top)
    for entry in list(volume.iterdir()):
        if entry.is_symlink() and entry.name != DATA and entry.name not in tops:
            entry.unlink()
    if outdated:
        shutil.rmtree(volume / outdated, ignore_errors=True)
    return True


def _current(volume: Path) -> dict[str, tuple[bytes, int]] | None:
    data = volume / DATA
    if not data.is_symlink():
        return None
    root = data.resolve()
    found = {}
    with contextlib.suppress(OSError):
        for file in sorted(root.rglob("*")):
            if file.is_file():
                found[str(file.relative_to(root))] = (file.read_bytes(), file.stat().st_mode & 0o7777)
        return found
    return None


def _link(text: str, at: Path) -> None:
    temporary = at.with_name(at.name + "_tmp")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(text)
    temporary.replace(at)
