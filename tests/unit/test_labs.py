from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from meshlab.errors import LabError, UsageError
from meshlab.labs import MAX_SOCKET_DIR, LabInfo, LabPaths, all_labs


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    return tmp_path / "state"


@pytest.fixture
def lab() -> Iterator[LabPaths]:
    paths = LabPaths()
    yield paths
    paths.release()


def info(lab: LabPaths) -> LabInfo:
    return LabInfo(lab.name, os.getpid(), "https://127.77.0.1:6443", "127.77", "k", "1", "t", "b", {"x": 1})


@pytest.mark.parametrize("name", ["a", "default", "test-1a2b", "0", "a" * 32])
def test_a_lab_is_named_as_a_dns_label(name: str, state: Path) -> None:
    assert LabPaths(name).state_dir == state / "meshlab" / "labs" / name


@pytest.mark.parametrize("name", ["", "-a", "a-", "A", "a_b", "../x", "a/b", "a.b", "a" * 33, "ä", "a\n"])
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match="cannot name a lab"):
        LabPaths(name)


def test_the_state_is_for_its_owner_only() -> None:
    lab = LabPaths()
    lab.create()
    assert stat.S_IMODE(lab.state_dir.stat().st_mode) == 0o700


def test_nobody_holds_a_lab_that_was_never_up() -> None:
    lab = LabPaths()
    assert (lab.holder(), lab.info()) == (None, None)
    lab.create()
    lab.lock.touch()
    assert lab.holder() is None


def test_the_holder_knows_itself_and_what_it_published(lab: LabPaths) -> None:
    assert lab.acquire()
    assert lab.holder() == os.getpid()
    assert lab.info() is None
    lab.write_info(info(lab))
    assert lab.info() == info(lab)
    lab.release()
    assert (lab.holder(), lab.info()) == (None, None)


def test_what_a_dead_daemon_wrote_is_not_believed() -> None:
    lab = LabPaths()
    lab.create()
    lab.write_info(info(lab))
    assert lab.info() is None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"lab": "x"}', '{"unknown": 1}'])
def test_information_that_cannot_be_read_is_none(lab: LabPaths, text: str) -> None:
    assert lab.acquire()
    lab.info_file.write_text(text)
    assert lab.info() is None


def test_all_labs_are_those_with_state() -> None:
    assert all_labs() == []
    for name in ("b", "a"):
        LabPaths(name).create()
    (LabPaths("a").state_dir.parent / "Not A Lab").mkdir()
    assert [lab.name for lab in all_labs()] == ["a", "b"]


@pytest.fixture
def short() -> Iterator[Path]:
    """A directory with a path as short as a runtime directory's."""
    with tempfile.TemporaryDirectory(prefix="m-", dir="/tmp") as directory:
        yield Path(directory)


def test_sockets_lie_in_the_runtime_directory(short: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(short))
    runtime = LabPaths().runtime_dir
    assert runtime.parent == short / "meshlab"
    assert stat.S_IMODE(runtime.stat().st_mode) == stat.S_IMODE(runtime.parent.stat().st_mode) == 0o700
    assert runtime == LabPaths().runtime_dir
    assert runtime != LabPaths("other").runtime_dir


def test_labs_of_different_state_directories_do_not_share_sockets(short: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(short))
    one = LabPaths().runtime_dir
    monkeypatch.setenv("XDG_STATE_HOME", str(short / "elsewhere"))
    assert LabPaths().runtime_dir != one


def test_a_path_too_long_for_sockets_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # With a long TMPDIR the path was used all the same, and binding failed later with "AF_UNIX path too long".
    long = tmp_path / ("x" * MAX_SOCKET_DIR)
    long.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(long))
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    runtime = LabPaths().runtime_dir
    assert runtime.parent == Path(f"/tmp/meshlab-{os.getuid()}")
    assert len(str(runtime)) <= MAX_SOCKET_DIR
    runtime.rmdir()


def test_a_directory_with_loose_rights_is_tightened(short: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(short))
    (short / "meshlab").mkdir()
    (short / "meshlab").chmod(0o777)
    assert stat.S_IMODE(LabPaths().runtime_dir.parent.stat().st_mode) == 0o700


def test_a_link_in_place_of_the_directory_is_refused(short: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(short))
    (short / "target").mkdir()
    (short / "meshlab").symlink_to(short / "target")
    with pytest.raises(LabError, match="belongs to somebody else"):
        print(LabPaths().runtime_dir)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a directory of somebody else")
def test_a_directory_of_somebody_else_is_refused(short: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(short))
    (short / "meshlab").mkdir()
    os.chown(short / "meshlab", 65534, 65534)
    with pytest.raises(LabError, match="belongs to somebody else"):
        print(LabPaths().runtime_dir)
