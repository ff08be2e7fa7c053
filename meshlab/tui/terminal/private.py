"""A temporary directory that goes away with its process, even when that is killed.

Its owner holds a lock on a file in it. Whoever makes the next one removes those whose lock nobody holds any more: a
closed window ends a program without a chance to tidy up.
"""

from __future__ import annotations

import contextlib
import fcntl
import shutil
import tempfile
from pathlib import Path

PREFIX = "meshlab-shell-"


class PrivateDirectory:
    """A new directory that only its owner can look into."""

    def __init__(self) -> None:
        remove_abandoned()
        self.path = Path(tempfile.mkdtemp(prefix=PREFIX))
        draft = self.path / "lock.new"
        self._lock = draft.open("w")
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        # It gets its name locked: a lock that can be taken is one that was let go.
        draft.rename(self.path / "lock")

    def close(self) -> None:
        """Remove it; a second call does nothing."""
        shutil.rmtree(self.path, ignore_errors=True)
        self._lock.close()


def remove_abandoned() -> None:
    """Remove the directories of processes that are gone."""
    for lock in Path(tempfile.gettempdir()).glob(f"{PREFIX}*/lock"):
        # Another's directory cannot be opened, and one that is in use cannot be locked.
        with contextlib.suppress(OSError), lock.open("r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(lock.parent, ignore_errors=True)
