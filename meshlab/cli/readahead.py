"""Has the kernel fetch the files of a package before they are imported, while the interpreter works on others.

Importing reads hundreds of files one after the other. When none of them is in memory (after a reboot, or the first
time) waiting for the disk is a good part of a start; a thread that only names the files takes that away.
"""

from __future__ import annotations

import importlib.util
import os
import threading
from collections.abc import Sequence
from pathlib import Path


def read_ahead(packages: Sequence[str]) -> None:
    """Begin to fetch the compiled modules of packages, in the background; a package that is not there is left out."""
    if hasattr(os, "posix_fadvise"):
        threading.Thread(target=_fetch, args=(packages,), name="read-ahead", daemon=True).start()


def _fetch(packages: Sequence[str]) -> None:
    for package in packages:
        spec = importlib.util.find_spec(package)
        if spec is None or spec.origin is None:
            continue
        for path in Path(spec.origin).parent.rglob("__pycache__/*.pyc"):
            try:
                descriptor = os.open(path, os.O_RDONLY)
            except OSError:
                continue
            try:
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_WILLNEED)
            finally:
                os.close(descriptor)
