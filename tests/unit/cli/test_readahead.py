"""What is read ahead is what will be imported; what is not there does no harm."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from meshlab.cli.readahead import read_ahead


def test_it_names_the_compiled_modules_of_a_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    package = tmp_path / "far_away"
    (package / "deep" / "__pycache__").mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "deep" / "__pycache__" / "module.cpython-311.pyc").touch()
    (package / "deep" / "data.txt").touch()
    monkeypatch.syspath_prepend(tmp_path)
    opened: list[str] = []
    monkeypatch.setattr(os, "posix_fadvise", lambda descriptor, *_: opened.append(_path(descriptor)))

    read_ahead(["not_there_at_all", "far_away"])
    for thread in threading.enumerate():
        if thread.name == "read-ahead":
            thread.join()

    assert opened == [str(package / "deep" / "__pycache__" / "module.cpython-311.pyc")]


def _path(descriptor: int) -> str:
    return str(Path(f"/proc/self/fd/{descriptor}").readlink())
