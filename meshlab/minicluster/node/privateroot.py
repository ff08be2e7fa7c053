"""A container's private root: a mount namespace of its own, built without privileges where the kernel allows it.

`enter` turns the calling (single-threaded, just forked) process into one that sees only what its `RootStep` list says;
`join` enters the root of a process that did so; `probe` finds out once, in a child, whether this host permits it.

Two ways lead there. An ordinary user needs a user namespace, in which its own ids are mapped to themselves: programs
see the same uid as outside (so ``tar`` does not try to restore owners) and hold no capability. Root needs none; there
the process keeps the capabilities that container runtimes grant by default, and no others.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from meshlab.minicluster.node import linux
from meshlab.minicluster.node.protocol import RootStep

Mode = Literal["user", "root", ""]
"""How private roots are made here; empty if they cannot be."""

OLD_ROOT = "/.old"
ROOT_CAPABILITIES = (0, 1, 3, 4, 5, 6, 7, 8, 10, 31)
"""CHOWN, DAC_OVERRIDE, FOWNER, FSETID, KILL, SETGID, SETUID, SETPCAP, NET_BIND_SERVICE, SETFCAP."""


def enter(steps: Sequence[RootStep], mountpoint: str, mode: Mode) -> None:
    """Move into a new root made of ``steps``.

    Args:
        steps: what the root holds, parents before children.
        mountpoint: an existing directory of the host; nothing is left in it.
        mode: as found by `probe`.

    Raises:
        OSError: a step that is not optional failed.
    """
    _unshare(mode)
    linux.mount("none", "/", "", linux.MS_REC | linux.MS_PRIVATE)
    linux.mount("tmpfs", mountpoint, "tmpfs", linux.MS_NOSUID | linux.MS_NODEV, "mode=755")
    Path(mountpoint + OLD_ROOT).mkdir()
    linux.pivot_root(mountpoint, mountpoint + OLD_ROOT)
    os.chdir("/")
    for step in steps:
        try:
            _apply(step)
        except OSError:
            if not step.optional:
                raise
    linux.unmount(OLD_ROOT)
    Path(OLD_ROOT).rmdir()


def join(pid: int, mode: Mode) -> None:
    """Enter the root of a running process.

    Raises:
        OSError: the process is gone.
    """
    namespaces = [("user", linux.CLONE_NEWUSER)] if mode == "user" else []
    namespaces.append(("mnt", linux.CLONE_NEWNS))
    opened = [(os.open(f"/proc/{pid}/ns/{name}", os.O_RDONLY | os.O_CLOEXEC), kind) for name, kind in namespaces]
    for descriptor, kind in opened:
        linux.setns(descriptor, kind)
        os.close(descriptor)


def drop_privileges(mode: Mode) -> None:
    """Give up what building or joining the root needed."""
    linux.limit_capabilities(ROOT_CAPABILITIES if mode == "root" else ())


def probe(steps: Sequence[RootStep], mountpoint: str) -> tuple[Mode, str]:
    """Whether a private root can be built here: the way, or the reason why not."""
    modes: tuple[Mode, ...] = ("root", "user") if os.geteuid() == 0 else ("user",)
    reason = ""
    for mode in modes:
        reason = _try(steps, mountpoint, mode)
        if not reason:
            return mode, ""
    return "", reason


def _try(steps: Sequence[RootStep], mountpoint: str, mode: Mode) -> str:
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        message = b"ok"
        try:
            enter(steps, mountpoint, mode)
            drop_privileges(mode)
            Path("/tmp/probe").write_text("")
        except BaseException as error:
            message = str(error).encode()[:512]
        os.write(writer, message)
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        answer = pipe.read().decode()
    os.waitpid(pid, 0)
    return "" if answer == "ok" else answer or "the probe died"


def _unshare(mode: Mode) -> None:
    uid, gid = os.geteuid(), os.getegid()
    linux.unshare(linux.CLONE_NEWNS | (linux.CLONE_NEWUSER if mode == "user" else 0))
    if mode == "user":
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1")
        Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1")


def _apply(step: RootStep) -> None:
    target = Path(step.target)
    if step.kind == "dir":
        target.mkdir(parents=True, exist_ok=True)
        target.chmod(step.mode)
    elif step.kind == "symlink":
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(step.source)
    elif step.kind == "tmpfs":
        target.mkdir(parents=True, exist_ok=True)
        linux.mount("tmpfs", step.target, "tmpfs", linux.MS_NOSUID | linux.MS_NODEV, f"mode={step.mode:o}")
    else:
        source = OLD_ROOT + step.source
        if not target.exists():
            if stat.S_ISDIR(Path(source).stat().st_mode):
                target.mkdir(parents=True)
            else:
                target.parent.mkdir(parents=True, exist_ok=True)
                target.touch()
        # Recursive: the kernel refuses to show an unprivileged user what a mount of the host hides.
        linux.mount(source, step.target, "", linux.MS_BIND | linux.MS_REC)
        if step.read_only:
            linux.make_read_only(step.target)
