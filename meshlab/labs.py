"""Where a lab's files lie, and whether it runs: the little that the daemon and its starters must agree on.

A lab is a name. Its state (store, certificates, kubeconfig, logs) lies under the user's state directory and survives
``down``; its sockets lie in a short 0700 runtime directory and do not. The daemon holds a POSIX lock on ``lock`` as
long as it lives, which is the only sign of life that is believed: a process id may be a zombie or somebody else's.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import stat
import struct
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

import platformdirs

from meshlab.errors import LabError, UsageError

LAB_LABEL = "meshlab.dev/lab"
"""The marker on the ``kube-system`` namespace of every embedded lab; its value is the lab's name."""

DEFAULT_LAB = "default"

_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?")
_FLOCK = "hhqqi4x"  # struct flock on 64-bit Linux: l_type, l_whence, l_start, l_len, l_pid
MAX_SOCKET_DIR = 60  # unix socket paths end at 107 bytes, and names are appended


@dataclass(frozen=True, slots=True)
class LabInfo:
    """What a running daemon tells of itself, in ``lab.json``."""

    lab: str
    pid: int
    server: str
    prefix: str
    kubeconfig: str
    version: str
    started_at: str
    bin_dir: str
    extra: dict[str, Any] = field(default_factory=dict)


class LabPaths:
    """The files of one lab.

    Args:
        name: a DNS-label-like name.

    Raises:
        UsageError: the name cannot be a lab's.
    """

    def __init__(self, name: str = DEFAULT_LAB) -> None:
        if not _NAME.fullmatch(name):
            raise UsageError(
                f'"{name}" cannot name a lab', hint="use lower-case letters, digits and dashes, at most 32 of them"
            )
        self.name = name
        self.state_dir = platformdirs.user_state_path("meshlab", appauthor=False) / "labs" / name
        self.kubeconfig = self.state_dir / "kubeconfig"
        self.log = self.state_dir / "daemon.log"
        self.lock = self.state_dir / "lock"
        self.info_file = self.state_dir / "lab.json"
        self.bin_dir = self.state_dir / "bin"
        # A process drops its POSIX locks when it closes any descriptor of the file: the holder never opens it again.
        self._held: IO[bytes] | None = None

    @property
    def runtime_dir(self) -> Path:
        """The directory for sockets: 0700, owned by this user, with a path short enough for unix sockets.

        Raises:
            LabError: somebody else owns it, or every candidate's path is too long.
        """
        digest = hashlib.sha256(str(self.state_dir).encode()).hexdigest()[:10]
        xdg = os.environ.get("XDG_RUNTIME_DIR")
        bases = [Path(xdg) / "meshlab"] if xdg else []
        bases += [Path(parent) / f"meshlab-{os.getuid()}" for parent in (tempfile.gettempdir(), "/tmp")]
        for base in bases:
            usable = base.parent.is_dir() and os.access(base.parent, os.W_OK)
            if usable and len(str(base / digest)) <= MAX_SOCKET_DIR:
                return _private_directory(base / digest)
        raise LabError("no directory for sockets has a short enough path", hint="set XDG_RUNTIME_DIR or TMPDIR")

    def create(self) -> None:
        """Make the state directory, readable by this user only."""
        self.state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.state_dir.chmod(0o700)

    def holder(self) -> int | None:
        """The process id of the running daemon, or None if no daemon holds the lock."""
        if self._held is not None:
            return os.getpid()
        try:
            with self.lock.open("rb+") as file:
                query = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
                answer = struct.unpack(_FLOCK, fcntl.fcntl(file, fcntl.F_GETLK, query))
        except FileNotFoundError:
            return None
        return None if answer[0] == fcntl.F_UNLCK else int(answer[4])

    def acquire(self) -> bool:
        """Take the lock for this process's life; False if another daemon holds it."""
        self.create()
        file = self.lock.open("ab+")
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.close()
            return False
        self._held = file
        return True

    def release(self) -> None:
        """Let the lock go before this process ends."""
        if self._held is not None:
            self._held.close()
            self._held = None

    def info(self) -> LabInfo | None:
        """What the running daemon wrote of itself; None while no daemon holds the lock or is still starting."""
        if self.holder() is None:
            return None
        try:
            return LabInfo(**json.loads(self.info_file.read_text()))
        except (FileNotFoundError, ValueError, TypeError):
            return None

    def write_info(self, info: LabInfo) -> None:
        """Publish what this daemon is, in one rename."""
        temporary = self.info_file.with_suffix(".tmp")
        temporary.write_text(json.dumps(asdict(info), indent=1))
        temporary.replace(self.info_file)


def all_labs() -> list[LabPaths]:
    """Every lab of this user that has state, by name."""
    base = platformdirs.user_state_path("meshlab", appauthor=False) / "labs"
    if not base.is_dir():
        return []
    return [LabPaths(entry.name) for entry in sorted(base.iterdir()) if _NAME.fullmatch(entry.name)]


def _private_directory(path: Path) -> Path:
    for part in (path.parent, path):
        part.mkdir(parents=True, exist_ok=True, mode=0o700)
        status = part.lstat()
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid():
            raise LabError(f"{part} belongs to somebody else", hint="remove it, or set XDG_RUNTIME_DIR or TMPDIR")
        part.chmod(0o700)
    return path
