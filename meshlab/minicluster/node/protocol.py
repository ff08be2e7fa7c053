"""What the node and its supervisor say to each other.

They share one ``SOCK_SEQPACKET`` pair: every packet is one small JSON message. A ``spawn`` carries its (possibly large)
`SpawnSpec` in a memfd and the three standard streams as descriptors, so the supervisor never reads files of the
node and never has to assemble a stream.

To the supervisor::

    {"op": "spawn", "id": ...}                                   + descriptors [spec, stdin, stdout, stderr]
    {"op": "signal", "id": ..., "signal": 15, "group": false}

From the supervisor::

    {"op": "ready", "private_root": "user" | "root" | "", "reason": "..."}
    {"op": "started", "id": ..., "pid": ..., "namespace": "mnt:[4026532...]"}
    {"op": "failed", "id": ..., "error": "...", "errno": 2}       the program never ran
    {"op": "exited", "id": ..., "code": 143, "signal": 15}
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

MAX_PACKET = 65536
"""No message is larger; a socket buffer always holds several."""


@dataclass(frozen=True, slots=True)
class RootStep:
    """One step in building a container's private root, in order; ``target`` is a path inside that root.

    ``source`` is a path of the host with all symbolic links resolved (bind), or the text of a link (symlink).
    """

    kind: Literal["bind", "tmpfs", "dir", "symlink"]
    target: str
    source: str = ""
    read_only: bool = False
    mode: int = 0o755
    optional: bool = False
    """Whether a failure is passed over: parts of the host that a program may do without."""


@dataclass(frozen=True, slots=True)
class SpawnSpec:
    """A process to start: exactly one of ``builtin`` and ``path`` is set."""

    argv: tuple[str, ...]
    env: Mapping[str, str]
    cwd: str = "/"
    builtin: str = ""
    """``module:function`` of a program that meshlab ships."""
    path: str = ""
    """The file to execute, as seen from inside the container's root."""
    context: str = ""
    """Where the `PodContext` of a built-in program is, as seen from inside the container's root."""
    root: tuple[RootStep, ...] = ()
    """The private root to build; empty for none."""
    join: str = ""
    """The id of a running process whose root this one enters."""
    directory: str = ""
    """The container's own directory on the host; with no private root it tells its processes from others."""
    tty: bool = False
    """Whether stdin is a terminal to become the controlling one."""
    rlimits: Mapping[str, int] = field(default_factory=dict)
    """Limits by name without ``RLIMIT_``, capped by the hard limit of the host."""

    def to_memfd(self) -> int:
        """The spec as an anonymous file, positioned at its start; the caller closes it."""
        descriptor = os.memfd_create("spawn", os.MFD_CLOEXEC)
        data = json.dumps(asdict(self)).encode()
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]
        os.lseek(descriptor, 0, os.SEEK_SET)
        return descriptor

    @classmethod
    def from_fd(cls, descriptor: int) -> SpawnSpec:
        """Read what `to_memfd` wrote; closes the descriptor."""
        with os.fdopen(descriptor, "rb") as file:
            fields: dict[str, Any] = json.load(file)
        return cls(
            **{
                **fields,
                "argv": tuple(fields["argv"]),
                "root": tuple(RootStep(**step) for step in fields["root"]),
            }
        )


def encode(message: Mapping[str, Any]) -> bytes:
    """One packet."""
    return json.dumps(message, separators=(",", ":")).encode()


def decode(packet: bytes) -> dict[str, Any]:
    """The message of one packet."""
    message: dict[str, Any] = json.loads(packet)
    return message


def exit_code(status: int) -> tuple[int, int]:
    """(exit code, signal) of a wait status; death by signal is 128 plus its number, as container runtimes report."""
    if os.WIFSIGNALED(status):
        return 128 + os.WTERMSIG(status), os.WTERMSIG(status)
    return os.WEXITSTATUS(status), 0
