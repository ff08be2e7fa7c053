"""What a container's private root holds, as a list of steps: data in, data out, no mount happens here.

The host's programs and libraries are there read-only, so that dynamically linked host binaries and Python itself run;
the rest of the host (homes, other users' files, the lab's keys) is not. Directories are real and writable, in a
tmpfs that lives as long as the container.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from meshlab.minicluster.node.protocol import RootStep

IMAGE_DIR = "/image"
"""Where a container finds its image: ``/image/bin`` is its PATH."""

SYSTEM_TREES = ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix", "/gnu")
"""Top-level trees of programs and libraries, where the host has them; ``/usr`` is taken apart below."""

USR_SHARE = ("zoneinfo", "ca-certificates", "terminfo", "tabset", "misc", "mime", "locale", "i18n", "file", "pki")
"""The parts of ``/usr/share`` that programs read; the rest stays writable, as images put their data there."""

ETC = (
    "alternatives",
    "ca-certificates",
    "ca-certificates.conf",
    "crypto-policies",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "localtime",
    "mime.types",
    "pki",
    "protocols",
    "services",
    "ssl",
    "terminfo",
)

DEVICES = ("null", "zero", "full", "random", "urandom", "tty")

WRITABLE = (
    "/etc",
    "/home",
    "/mnt",
    "/opt",
    "/root",
    "/srv",
    "/var/cache",
    "/var/lib",
    "/var/log",
    "/var/run",
    "/var/www",
)

LINKS = (
    ("/run", "var/run"),
    ("/dev/fd", "/proc/self/fd"),
    ("/dev/stdin", "/proc/self/fd/0"),
    ("/dev/stdout", "/proc/self/fd/1"),
    ("/dev/stderr", "/proc/self/fd/2"),
    ("/dev/ptmx", "pts/ptmx"),
)


def host_steps() -> list[RootStep]:
    """The part of a root that is the same for every container: the host's system, and Python."""
    steps = [RootStep("dir", path) for path in WRITABLE]
    steps.append(RootStep("dir", "/tmp", mode=0o1777))
    steps.append(RootStep("dir", "/var/tmp", mode=0o1777))
    steps += _usr()
    for tree in SYSTEM_TREES:
        path = Path(tree)
        if path.is_symlink():
            steps.append(RootStep("symlink", tree, os.path.relpath(path.resolve(), "/")))
        elif path.is_dir():
            steps.append(_bind(tree))
    steps += [_bind(f"/etc/{name}", optional=True) for name in ETC if Path("/etc", name).exists()]
    steps.append(RootStep("bind", "/proc", "/proc"))
    if os.geteuid() == 0:
        # The owner of the kernel's switches is uid 0, with or without capabilities.
        steps.append(_bind("/proc/sys"))
        steps.append(RootStep("bind", "/proc/sysrq-trigger", "/dev/null", optional=True))
    if Path("/sys").is_dir():
        steps.append(_bind("/sys", optional=True))
    steps.append(RootStep("dir", "/dev"))
    steps += [RootStep("bind", f"/dev/{name}", f"/dev/{name}", optional=name == "tty") for name in DEVICES]
    steps.append(RootStep("bind", "/dev/pts", "/dev/pts", optional=True))
    steps.append(RootStep("tmpfs", "/dev/shm", mode=0o1777))
    steps += [RootStep("symlink", link, text) for link, text in LINKS]
    steps += python_steps()
    return steps


def place(steps: list[RootStep], volume: RootStep) -> None:
    """Add a volume's mount to the steps: last, unless it would hide what programs need to run.

    A volume at ``/tmp`` must not take away the lab or the Python that lie there; they are mounted into it. That needs a
    place to mount on, so a read-only volume hides them all the same.
    """
    inside = (
        position
        for position, step in enumerate(steps)
        if step.kind == "bind" and step.target.startswith(volume.target.rstrip("/") + "/")
    )
    steps.insert(len(steps) if volume.read_only else next(inside, len(steps)), volume)


def python_steps(
    prefixes: Iterable[str] = (sys.prefix, sys.base_prefix, sys.exec_prefix),
    search_path: Sequence[str] | None = None,
) -> list[RootStep]:
    """The interpreter, its libraries and the meshlab package, at the paths they have on the host."""
    package = str(Path(__file__).resolve().parents[2])
    wanted: list[str] = [package]
    for prefix in prefixes:
        wanted += [prefix, str(Path(prefix).resolve())]
    for entry in sys.path if search_path is None else search_path:
        # Where distributions are installed; the script's folder or the current one is nobody's business.
        if Path(entry).name in ("site-packages", "dist-packages") and Path(entry).is_dir():
            wanted.append(entry)
    covered = ["/usr", *SYSTEM_TREES]
    steps = []
    for path_text in sorted(set(wanted), key=len):
        if path_text != "/" and not any(path_text == tree or path_text.startswith(tree + "/") for tree in covered):
            covered.append(path_text)
            steps.append(RootStep("bind", path_text, str(Path(path_text).resolve()), read_only=True))
    return steps


def _usr() -> list[RootStep]:
    steps = []
    for entry in sorted(Path("/usr").iterdir()):
        if entry.is_symlink():
            steps.append(RootStep("symlink", str(entry), str(entry.readlink())))
        elif entry.name == "share":
            steps.append(RootStep("dir", "/usr/share"))
            steps += [_bind(f"/usr/share/{name}") for name in USR_SHARE if Path("/usr/share", name).exists()]
        elif entry.is_dir():
            steps.append(_bind(str(entry), optional=True))
    return steps


def _bind(path: str, *, optional: bool = False) -> RootStep:
    return RootStep("bind", path, str(Path(path).resolve()), read_only=True, optional=optional)
