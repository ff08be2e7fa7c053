"""The lock of a lab between processes: the only sign of life that is believed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from meshlab.labs import LabPaths

HOLD = """
import sys
from meshlab.labs import LabPaths
lab = LabPaths()
print(lab.acquire(), flush=True)
sys.stdin.read()
"""


def holder(tmp_path: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", HOLD],
        env=os.environ | {"XDG_STATE_HOME": str(tmp_path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_one_process_holds_a_lab_and_others_see_which(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    lab = LabPaths()
    with holder(tmp_path) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "True\n"
        assert lab.holder() == first.pid
        assert lab.acquire() is False
        with holder(tmp_path) as second:
            assert second.communicate()[0] == "False\n"
        # Looking and trying did not loosen the first one's lock.
        assert lab.holder() == first.pid
        first.kill()
    # The kernel lets go of it, however the process ended.
    assert lab.holder() is None
    assert lab.acquire()
    lab.release()
