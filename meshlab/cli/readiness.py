"""Makes sure that there is a cluster with the mesh that an exercise needs: started and installed if it is embedded."""

from __future__ import annotations

import argparse
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from meshlab.cli.lab import lab_of
from meshlab.cluster import tools
from meshlab.cluster.facade import Cluster
from meshlab.cluster.mesh import detect_mesh
from meshlab.cluster.providers import embedded
from meshlab.errors import LabError, UsageError
from meshlab.grading.session import Session
from meshlab.labs import LabPaths

INSTALL_TIMEOUT_S = 120

Say = Callable[[str], None]


def ensure_cluster(arguments: argparse.Namespace, say: Say) -> None:
    """Start the embedded lab if no cluster is named and it is down."""
    if arguments.kubeconfig:
        return
    lab = lab_of(arguments)
    if lab.info() is None:
        say(f"starting lab {lab.name} ...")
        embedded.ensure(lab)


def ensure_mesh(arguments: argparse.Namespace, session: Session, exercise_id: str, say: Say) -> None:
    """Install the mesh that the exercise needs on the embedded lab; elsewhere say what is missing.

    Raises:
        UsageError: the cluster is not the embedded lab and lacks the mesh.
    """
    from meshlab.course.exercises import load

    source = session.course.exercise_file(exercise_id)
    exercise = load(source, {name: choices[0] for name, choices in source.choices.items()})
    wanted, _, profile = exercise.needs.mesh.partition("/")
    if not wanted or (session.mesh is not None and session.mesh.ready):
        return
    command = f"istioctl install --set profile={profile or 'default'} -y"
    if arguments.kubeconfig:
        raise UsageError(
            f"exercise {exercise_id} needs {wanted}, and this cluster has none that is ready",
            title="No mesh",
            hint=f"install it: {command}",
        )
    say(f"installing {wanted} (as by: meshlab {command}) ...")
    install_mesh(session.cluster.kubeconfig, profile or "default")
    del session.mesh


def install_mesh(kubeconfig: Path, profile: str) -> None:
    """Run the lab's ``istioctl install``.

    Raises:
        LabError: it failed.
    """
    done = subprocess.run(
        [sys.executable, "-P", "-m", tools.ISTIOCTL_MODULE, "install", "--set", f"profile={profile}", "-y"],
        env=os.environ | {"KUBECONFIG": str(kubeconfig)},
        capture_output=True,
        text=True,
        timeout=INSTALL_TIMEOUT_S,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    if done.returncode != 0:
        raise LabError(f"the mesh could not be installed: {done.stderr.strip() or done.stdout.strip()}")


@contextmanager
def throwaway_lab(mesh: str) -> Iterator[Cluster]:
    """An embedded lab of its own with a mesh, gone afterwards with all its state.

    Args:
        mesh: ``istio/demo``, or empty for none.
    """
    lab = LabPaths(f"test-{secrets.token_hex(4)}")
    info = embedded.start(lab)
    try:
        name, _, profile = mesh.partition("/")
        cluster = Cluster(Path(info.kubeconfig))
        if name == "istio":
            install_mesh(Path(info.kubeconfig), profile or "default")
            _wait_for_mesh(cluster)
        elif name:
            raise LabError(f"the embedded lab has no mesh {name}")
        yield cluster
    finally:
        embedded.stop(lab, delete=True)


def _wait_for_mesh(cluster: Cluster, timeout_s: float = 30) -> None:
    deadline = time.monotonic() + timeout_s
    while (mesh := detect_mesh(cluster)) is None or not mesh.ready:
        if time.monotonic() > deadline:
            raise LabError("the mesh was installed, but its control plane does not become available")
        time.sleep(0.1)
