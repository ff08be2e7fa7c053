"""Runs checks and turns what they see into verdicts, scores and reports.

This is also the whole API that a course's ``checks/`` may import::

    from meshlab.grading import Evidence, NeedMore, Verdict, check

A check is two functions under one name. ``collect`` reads the live cluster into an `Evidence`; ``judge`` is pure and
makes a `Verdict` of it, or asks for more. So a verdict can be given again from stored evidence, and judges are tested
in milliseconds.
"""

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
