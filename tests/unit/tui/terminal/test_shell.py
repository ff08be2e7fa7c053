"""Which shell, its start-up files, and the lab's variables."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from meshlab.tui.terminal.private import PrivateDirectory
from meshlab.tui.terminal.shell import ShellSetup, choose_shell, environment_script

ELSEWHERE = {"bash": "/bin/bash", "/bin/bash": "/bin/bash", "/bin/zsh": "/bin/zsh"}


@pytest.mark.parametrize(
    ("own", "installed", "chosen"),
    [
        ("/bin/zsh", ELSEWHERE, "/bin/zsh"),
        ("/bin/bash", ELSEWHERE, "/bin/bash"),
        ("/usr/bin/fish", ELSEWHERE, "/bin/bash"),
        ("/gone/zsh", ELSEWHERE, "/bin/bash"),
        ("", ELSEWHERE, "/bin/bash"),
        ("/usr/bin/fish", {}, "/bin/sh"),
    ],
)
def test_the_owners_shell_if_it_is_known(own: str, installed: Mapping[str, str], chosen: str) -> None:
    assert choose_shell({"SHELL": own}, installed.get) == chosen


@pytest.fixture
def setup() -> Iterator[ShellSetup]:
    setup = ShellSetup("/bin/bash", {"HOME": "/home/me", "PATH": "/usr/bin", "TMUX": "/tmp/x", "KEPT": "yes"})
    yield setup
    setup.close()


def test_the_environment_is_this_terminals(setup: ShellSetup) -> None:
    setup.adopt({"PATH": "/lab/bin:/usr/bin", "KUBECONFIG": "/lab/config", "KEPT": "yes"})
    environment = setup.environment()
    assert environment["TERM"] == "xterm-256color"
    assert environment["COLORTERM"] == "truecolor"
    assert environment["KUBECONFIG"] == "/lab/config"
    assert environment["KEPT"] == "yes"
    assert "TMUX" not in environment


def test_only_what_differs_is_exported(setup: ShellSetup) -> None:
    setup.adopt({"HOME": "/home/me", "KUBECONFIG": "/lab/config"})
    script = (setup.path / "env.sh").read_text()
    assert "export KUBECONFIG=/lab/config" in script
    assert "HOME" not in script


def test_the_same_variables_again_are_no_change(setup: ShellSetup) -> None:
    assert setup.adopt({"KUBECONFIG": "/one"})
    assert not setup.adopt({"KUBECONFIG": "/one"})
    assert setup.adopt({"OTHER": "x"})
    assert "unset KUBECONFIG" in (setup.path / "env.sh").read_text()


def test_the_directory_is_private_and_goes_away() -> None:
    setup = ShellSetup("/bin/zsh", {"ZDOTDIR": "/home/me/zsh"})
    assert setup.path.stat().st_mode & 0o077 == 0
    assert {path.name for path in setup.path.iterdir()} == {".zshenv", ".zshrc", "lock"}
    assert setup.environment()["MESHLAB_ZDOTDIR"] == "/home/me/zsh"
    assert setup.environment()["ZDOTDIR"] == str(setup.path)
    setup.close()
    assert not setup.path.exists()


@pytest.mark.parametrize("shell", ["bash", "dash", "sh"])
def test_the_labs_directory_stays_first_and_alone_on_the_path(tmp_path: Path, shell: str) -> None:
    one, two = tmp_path / "one.sh", tmp_path / "two.sh"
    one.write_text(environment_script({"PATH": "/lab one/bin:/usr/bin:/bin", "QUOTED": "it's $HOME"}))
    two.write_text(environment_script({"PATH": "/lab2/bin:/usr/bin:/bin"}, {"QUOTED"}))
    lines = [f". {one}", 'PATH="/mine:$PATH"', f". {one}", 'echo "$QUOTED"', f". {two}", f". {two}"]
    try:
        result = subprocess.run(
            [shell, "-euc", "\n".join([*lines, 'echo "$PATH ${QUOTED-unset}"'])],
            env={"PATH": os.environ["PATH"]},
            capture_output=True,
            text=True,
            check=True,
        )
    except FileNotFoundError:
        pytest.skip(f"no {shell} here")
    quoted, path = result.stdout.splitlines()
    assert quoted == "it's $HOME"
    assert path.startswith("/lab2/bin:")
    assert path.endswith(" unset")
    assert path.count("/lab2/bin") == 1


@pytest.mark.parametrize(("name", "shell"), [("bashrc", "bash"), ("shrc", "dash"), ("zshrc", "zsh"), ("zshenv", "zsh")])
def test_the_start_up_files_parse(name: str, shell: str) -> None:
    import meshlab.tui.terminal.shell as module

    if shutil.which(shell) is None:
        pytest.skip(f"no {shell} here")
    subprocess.run([shell, "-n", str(Path(module.__file__).with_name("rc") / name)], check=True)


ABANDON = "import os; from meshlab.tui.terminal.private import PrivateDirectory as P; print(P().path); os._exit(0)"


def test_a_directory_of_a_killed_app_is_removed_by_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    mine = PrivateDirectory()
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    left = Path(
        subprocess.run(
            [sys.executable, "-uc", ABANDON], env=environment, capture_output=True, text=True, check=True
        ).stdout.strip()
    )
    assert left.is_dir()
    assert left.parent == tmp_path
    next_one = PrivateDirectory()
    assert not left.exists()
    assert mine.path.is_dir()
    for directory in (mine, next_one):
        directory.close()
        directory.close()
        assert not directory.path.exists()
