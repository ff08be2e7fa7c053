"""Screens compared as SVG: what Textual draws, kept beside the tests and looked at when it changes."""

from __future__ import annotations

import re
from typing import Any

from syrupy.assertion import SnapshotAssertion
from syrupy.extensions.single_file import SingleFileSnapshotExtension, WriteMode
from textual.app import App

_UNIQUE = re.compile(r"terminal-\d+")


class SvgSnapshot(SingleFileSnapshotExtension):
    """One ``.svg`` file per screen."""

    _write_mode = WriteMode.TEXT
    file_extension = "svg"


def svg_of(app: App[Any]) -> str:
    """The present screen, without the identifiers that differ from run to run."""
    return _UNIQUE.sub("terminal", app.export_screenshot(simplify=True))


def matches(app: App[Any], snapshot: SnapshotAssertion) -> bool:
    """Whether the present screen is the one that was kept (``pytest --snapshot-update`` keeps it)."""
    return bool(svg_of(app) == snapshot.use_extension(SvgSnapshot))
