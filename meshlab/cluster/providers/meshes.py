"""Installs a mesh into the embedded lab, as a learner would: by the lab's own istioctl."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from meshlab.cluster import tools
from meshlab.cluster.mesh import detect_mesh
from meshlab.errors import LabError

if TYPE_CHECKING:
    from meshlab.cluster.facade import Cluster

INSTALL_TIMEOUT_S = 120
AVAILABLE_TIMEOUT_S = 30
POLL_S = 0.1
DEFAULT_PROFILE = "default"


def split(wanted: str) -> tuple[str, str]:
    """Name and profile of ``istio/demo``."""
    name, _, profile = wanted.partition("/")
    return name, profile or DEFAULT_PROFILE


def install_command(profile: str) -> str:
    """What a learner would type."""
    return f"istioctl install --set profile={profile} -y"


def install(cluster: Cluster, wanted: str) -> None:
    """Install a mesh and wait until its control plane is available.

    Args:
        cluster: an embedded lab.
        wanted: ``istio/demo``.

    Raises:
        LabError: the lab has no such mesh, or the installation failed.
    """
    name, profile = split(wanted)
    if name != "istio":
        raise LabError(f"the embedded lab has no mesh {name}")
    done = subprocess.run(
        [sys.executable, "-P", "-m", tools.ISTIOCTL_MODULE, *install_command(profile).split()[1:]],
        env=os.environ | {"KUBECONFIG": str(cluster.kubeconfig)},
        capture_output=True,
        text=True,
        timeout=INSTALL_TIMEOUT_S,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    if done.returncode != 0:
        raise LabError(f"the mesh could not be installed: {done.stderr.strip() or done.stdout.strip()}")
    deadline = time.monotonic() + AVAILABLE_TIMEOUT_S
    while (mesh := detect_mesh(cluster)) is None or not mesh.ready:
        if time.monotonic() > deadline:
            raise LabError("the mesh was installed, but its control plane does not become available")
        time.sleep(POLL_S)
