"""``fake.fact`` and ``answer.word``, so that the course is whole; they are never run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from meshlab.grading import CheckContext, Evidence, NeedMore, Verdict, check, passed


def judge(evidence: Evidence, params: Mapping[str, Any]) -> Verdict | NeedMore:
    """Pass."""
    return passed("fake.fact", "it is so")


@check("fake.fact", judge=judge, required=("key",))
def collect_fact(context: CheckContext, params: Mapping[str, Any], so_far: Evidence | None) -> Evidence:
    """Nothing."""
    return Evidence("objects", {})


@check("answer.word", judge=judge, required=("key",))
def collect_word(context: CheckContext, params: Mapping[str, Any], so_far: Evidence | None) -> Evidence:
    """Nothing."""
    return Evidence("objects", {})
