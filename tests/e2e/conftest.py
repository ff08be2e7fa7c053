"""A whole lab per module: real kubectl, real Envoys, as an unprivileged user even if the tests run as root."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.lab import NOBODY, Lab


@pytest.fixture(scope="module")
def make_lab() -> Iterator[Callable[[], Lab]]:
    """Labs with homes of their own; all are deleted afterwards."""
    _require_readable_interpreter()
    labs: list[Lab] = []
    homes: list[Path] = []

    def make(home: Path | None = None) -> Lab:
        if home is None:
            home = Path(tempfile.mkdtemp(prefix="meshlab-e2e-"))
            homes.append(home)
            if os.geteuid() == 0:
                os.chown(home, NOBODY, NOBODY)
        root = Path(__file__).parent.parent.parent
        path = f"{Path(sys.executable).parent}{os.pathsep}/usr/local/bin{os.pathsep}/usr/bin{os.pathsep}/bin"
        environment = {"HOME": str(home), "PATH": path, "TERM": "xterm", "PYTHONPATH": str(root)}
        lab = Lab(f"e2e-{secrets.token_hex(3)}", home, environment)
        labs.append(lab)
        return lab

    yield make
    for lab in labs:
        lab.environment.pop("KUBECONFIG", None)
        lab.meshlab("down", "--delete", check=False)
    for home in homes:
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="module")
def lab(make_lab: Callable[[], Lab]) -> Lab:
    """A running lab."""
    lab = make_lab()
    lab.up()
    return lab


@pytest.fixture(scope="module")
def mesh(lab: Lab) -> Lab:
    """A running lab with Istio's demo profile."""
    lab.install_istio()
    return lab


def _require_readable_interpreter() -> None:
    if os.geteuid() != 0:
        return
    tried = subprocess.run(
        [sys.executable, "-c", ""],
        user=NOBODY,
        group=NOBODY,
        extra_groups=[],
        capture_output=True,
        cwd="/",
        check=False,
    )
    if tried.returncode != 0:
        pytest.fail(
            f"end-to-end tests run as an unprivileged user, who cannot run {sys.executable}: "
            "use a virtual environment made from an interpreter that everybody can read"
        )
