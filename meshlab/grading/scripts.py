"""Runs an exercise's scripts (solutions, wrong answers, teardown) as a learner would type them.

That is a shell with kubectl and istioctl on PATH, and the directory of samples in its environment.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from meshlab.cluster import tools
from meshlab.cluster.facade import Cluster
from meshlab.course.exercises import render_file
from meshlab.course.model import Exercise
from meshlab.errors import LabError

TIMEOUT_S = 120


@dataclass(frozen=True, slots=True)
class File:
    """One rendered file of a solution."""

    name: str
    text: str


def files(exercise: Exercise, script: str) -> list[File]:
    """A script and the files beside it that it names, rendered; last the right answers, if anything is asked."""
    text = render_file(exercise, script)
    folder = Path(script).parent
    beside = [path.name for path in sorted((exercise.folder / folder).iterdir()) if path.is_file()]
    named = [name for name in beside if name in text and name != Path(script).name]
    found = [
        File(script, text),
        *(File(str(folder / name), render_file(exercise, str(folder / name))) for name in named),
    ]
    if exercise.answers:
        lines = (
            f"meshlab answer {exercise.id}/{task} {shlex.quote(value)}\n" for task, value in exercise.answers.items()
        )
        found.append(File("answers", "".join(lines)))
    return found


def run(exercise: Exercise, script: str, cluster: Cluster) -> str:
    """Run a script in a throw-away directory that holds the rendered files of its folder.

    Returns:
        What it printed.

    Raises:
        LabError: it failed.
    """
    with tempfile.TemporaryDirectory(prefix="meshlab-") as directory:
        folder = (exercise.folder / script).parent
        for path in folder.iterdir():
            if path.is_file():
                rendered = render_file(exercise, str(path.relative_to(exercise.folder)))
                (Path(directory) / path.name).write_text(rendered)
        return _run(["sh", "-eu", Path(script).name], directory, cluster, f"{exercise.id}/{script}")


def apply(exercise: Exercise, manifest: str, cluster: Cluster) -> str:
    """``kubectl apply`` one rendered manifest into the exercise's namespace."""
    with tempfile.TemporaryDirectory(prefix="meshlab-") as directory:
        (Path(directory) / "manifest.yaml").write_text(render_file(exercise, manifest))
        command = ["kubectl", "apply", "-n", exercise.main_namespace, "-f", "manifest.yaml"]
        return _run(command, directory, cluster, f"{exercise.id}/{manifest}")


def environment(bin_dir: Path, cluster: Cluster) -> dict[str, str]:
    """This process's environment as a learner's shell has it: the cluster's kubeconfig, the tools, the samples.

    Args:
        bin_dir: where the tools may be put.
        cluster: the cluster that the tools are to reach.
    """
    path = f"{tools.write_bin_dir(bin_dir)}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    return os.environ | {
        "KUBECONFIG": str(cluster.kubeconfig),
        "PATH": path,
        "MESHLAB_SAMPLES": str(tools.samples_dir()),
    }


def _run(command: list[str], directory: str, cluster: Cluster, what: str) -> str:
    if cluster.context:
        raise LabError(
            f"{what} needs a kubeconfig whose current context is {cluster.context}",
            hint=f"kubectl config view --minify --flatten --context {cluster.context} > FILE, then --kubeconfig FILE",
        )
    try:
        with tempfile.TemporaryDirectory(prefix="meshlab-bin-") as bin_dir:
            done = subprocess.run(
                command,
                cwd=directory,
                env=environment(Path(bin_dir), cluster),
                capture_output=True,
                text=True,
                timeout=TIMEOUT_S,
                check=False,
                stdin=subprocess.DEVNULL,
            )
    except subprocess.TimeoutExpired as error:
        raise LabError(f"{what} did not end within {TIMEOUT_S} s") from error
    if done.returncode != 0:
        said = done.stderr.strip() or done.stdout.strip()
        raise LabError(f"{what} failed (exit code {done.returncode}): {said}")
    return done.stdout
