"""Runs checks and turns what they see into verdicts, scores and reports.

This is also the whole API that a course's ``checks/`` may import::

    from meshlab.grading import Evidence, NeedMore, Verdict, check

A check is two functions under one name. ``collect`` reads the live cluster into an `Evidence`; ``judge`` is pure and
makes a `Verdict` of it, or asks for more. So a verdict can be given again from stored evidence, and judges are tested
in milliseconds.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from meshlab.grading.evidence import Evidence
    from meshlab.grading.registry import Check, CheckContext, check
    from meshlab.grading.statistics import Decision, SequentialSplit
    from meshlab.grading.verdicts import NeedMore, Rung, Verdict, failed, passed, pending

__all__ = [
    "Check",
    "CheckContext",
    "Decision",
    "Evidence",
    "NeedMore",
    "Rung",
    "SequentialSplit",
    "Verdict",
    "check",
    "failed",
    "passed",
    "pending",
]

_HOMES = {
    "evidence": ("Evidence",),
    "registry": ("Check", "CheckContext", "check"),
    "statistics": ("Decision", "SequentialSplit"),
    "verdicts": ("NeedMore", "Rung", "Verdict", "failed", "passed", "pending"),
}


def __getattr__(name: str) -> Any:
    """Import what is asked for at first use: the screen draws verdicts, and needs nothing of how they are found."""
    for home, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(f"{__name__}.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
