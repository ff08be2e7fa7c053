from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from meshlab.cluster import fidelity, labstatus, tools
from meshlab.cluster.facade import Cluster
from meshlab.cluster.mesh import detect_mesh
from meshlab.labs import LabInfo, LabPaths
from tests.support import schemas


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LabPaths]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    paths = LabPaths()
    yield paths
    paths.release()


def write_info(lab: LabPaths, kubeconfig: str) -> None:
    lab.create()
    lab.write_info(
        LabInfo(
            lab.name, os.getpid(), "https://127.77.0.1:6443", "127.77", kubeconfig, "1", "2026-11-23T10:00:00Z", "bin"
        )
    )


def test_a_lab_that_never_was(lab: LabPaths) -> None:
    status = labstatus.read(lab)
    schemas.validate(status, "status")
    assert (status["state"], status["pid"]) == ("Absent", None)
    assert labstatus.text(status) == "Lab default does not exist yet; meshlab up makes it."


def test_a_stopped_lab(lab: LabPaths) -> None:
    write_info(lab, "kubeconfig")
    status = labstatus.read(lab)
    schemas.validate(status, "status")
    # What the last daemon wrote of itself is no longer true.
    assert (status["state"], status["server"]) == ("Stopped", None)
    assert "brings its objects back" in labstatus.text(status)


def test_a_lab_that_has_not_told_of_itself_yet(lab: LabPaths) -> None:
    assert lab.acquire()
    status = labstatus.read(lab)
    schemas.validate(status, "status")
    assert (status["state"], status["pid"]) == ("Starting", os.getpid())
    assert f"Lab default: Starting (process {os.getpid()})" in labstatus.text(status)


def test_a_daemon_whose_api_does_not_answer(lab: LabPaths) -> None:
    assert lab.acquire()
    write_info(lab, str(lab.state_dir / "no-such-kubeconfig"))
    status = labstatus.read(lab)
    schemas.validate(status, "status")
    assert (status["state"], status["server"]) == ("Unreachable", "https://127.77.0.1:6443")
    assert status["memoryMiB"] > 0


POD = {
    "metadata": {"namespace": "default", "name": "client"},
    "status": {
        "phase": "Pending",
        "conditions": [{"type": "Ready", "status": "False"}],
        "containerStatuses": [{"state": {"running": {}}}, {"state": {"waiting": {"reason": "ImagePullBackOff"}}}],
    },
}
SERVICE = {
    "metadata": {"namespace": "istio-system", "name": "istio-ingressgateway"},
    "spec": {
        "ports": [
            {"port": 80, "nodePort": 30080},
            {"port": 443, "nodePort": 30443},
            {"port": 53, "nodePort": 30053, "protocol": "UDP"},
            {"port": 15021},
        ]
    },
}


def test_a_running_lab_in_json_and_for_people() -> None:
    status = {
        "lab": "default", "state": "Running", "pid": 7, "server": "https://127.77.0.1:6443", "kubeconfig": "/k",
        "log": "/l", "startedAt": "2026-11-23T10:00:00Z", "memoryMiB": 120.5,
        "pods": [labstatus._pod(POD), labstatus._pod({"metadata": POD["metadata"], "status": {"phase": "Succeeded"}})],
        "addresses": labstatus._addresses(SERVICE, "127.77.0.1"),
    }  # fmt: skip
    schemas.validate(status, "status")
    lines = [line.strip() for line in labstatus.text(status).splitlines()]
    assert "pods        0 of 2 ready" in lines
    assert "default/client: ImagePullBackOff" in lines
    assert "reachable   istio-system/istio-ingressgateway port 80: http://127.77.0.1:30080" in lines
    assert "reachable   istio-system/istio-ingressgateway port 443: https://127.77.0.1:30443" in lines
    assert not [line for line in lines if "Succeeded" in line or "30053" in line or "15021" in line]


def test_memory_is_counted_down_the_tree() -> None:
    assert labstatus.descendants(os.getpid())[0] == os.getpid()
    assert os.getpid() in labstatus.descendants(os.getppid())
    assert labstatus.private_memory(os.getpid()) > 1 << 20


class Deployments:
    """A cluster that has nothing but some Deployments."""

    def __init__(self, *deployments: dict[str, Any]) -> None:
        self.deployments = list(deployments)

    def list_objects(self, resource: str, namespace: str) -> list[dict[str, Any]]:
        assert (resource, namespace) == ("deployments.apps", "istio-system")
        return self.deployments


def deployment(name: str, *, app: str = "", available: int | None = None) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "labels": {"app": app}},
        "spec": {"template": {"spec": {"containers": [{"image": "docker.io/istio/pilot:1.31.0"}]}}},
        "status": {} if available is None else {"availableReplicas": available},
    }


def test_a_mesh_is_told_by_its_control_plane() -> None:
    assert detect_mesh(cast(Cluster, Deployments(deployment("istio-ingressgateway")))) is None
    starting = detect_mesh(cast(Cluster, Deployments(deployment("istiod", app="istiod"))))
    assert starting is not None
    assert (starting.ready, starting.text) == (False, "istio 1.31.0")
    mesh = detect_mesh(
        cast(
            Cluster, Deployments(deployment("istiod-1", app="istiod", available=1), deployment("istio-ingressgateway"))
        )
    )
    assert mesh is not None
    assert (mesh.ready, mesh.gateways) == (True, ("istio-ingressgateway",))


def test_the_tools_directory_is_made_once_and_mended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    directory = tools.write_bin_dir(tmp_path / "bin")
    assert (directory / "kubectl").readlink() == tools.kubectl()
    assert os.access(directory / "istioctl", os.X_OK)
    before = (directory / "istioctl").stat().st_mtime_ns
    (directory / "kubectl").unlink()
    (directory / "kubectl").symlink_to("/nonexistent")
    tools.write_bin_dir(directory)
    assert (directory / "kubectl").readlink() == tools.kubectl()
    assert (directory / "istioctl").stat().st_mtime_ns == before
    assert sorted(path.name for path in directory.iterdir()) == ["istioctl", "kubectl"]


def test_the_shells_curl_is_the_hosts_even_inside_another_labs_shell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = tmp_path / "usr"
    host.mkdir()
    (host / "curl").write_text('#!/bin/sh\necho "host curl $*"\n')
    (host / "curl").chmod(0o755)
    monkeypatch.setenv("PATH", f"{host}{os.pathsep}{os.environ['PATH']}")
    other = tools.write_bin_dir(tmp_path / "other")
    monkeypatch.setenv("PATH", f"{other}{os.pathsep}{os.environ['PATH']}")
    directory = tools.write_bin_dir(tmp_path / "mine")
    assert str(other) not in (directory / "curl").read_text()
    for url in ("http://example.com/", "http://127.250.96.1/"):
        done = subprocess.run([directory / "curl", url], capture_output=True, text=True, check=True)
        assert done.stdout == f"host curl {url}\n"


def test_fidelity_names_each_capability_once() -> None:
    names = [capability.name for capability in fidelity.CAPABILITIES]
    assert len(names) == len(set(names))
    text = fidelity.text()
    assert all(f"  {name} " in text for name in names)
