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

from tests.support import tmux
from tests.support.lab import NOBODY, Lab
from tests.support.person import Person
from tests.support.terminals import PtyTerminal, Terminal


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


@pytest.fixture
def at_screen() -> Iterator[Callable[..., Person]]:
    """Sits a person down at ``meshlab`` on a lab: in tmux where that is installed, unless told otherwise."""
    terminals: list[Terminal] = []

    def sit_down(lab: Lab, size: tuple[int, int], kind: str = "") -> Person:
        use_tmux = (kind or ("tmux" if tmux.is_installed() else "pty")) == "tmux"
        make: type[tmux.TmuxTerminal] | type[PtyTerminal] = tmux.TmuxTerminal if use_tmux else PtyTerminal
        command = [sys.executable, "-m", "meshlab.cli.main", "--lab", lab.name]
        # The screen finds its lab by itself, as at a learner's.
        environment = {name: value for name, value in lab.environment.items() if name != "KUBECONFIG"}
        terminal = make(command, environment=environment, directory=lab.home, size=size, identity=lab.identity)
        terminals.append(terminal)
        return Person(terminal)

    yield sit_down
    for terminal in terminals:
        terminal.close()


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
