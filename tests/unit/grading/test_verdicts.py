from __future__ import annotations

import itertools

import pytest

from meshlab.grading.verdicts import Outcome, Verdict, failed, lab_error, passed, pending, worst

ORDER: tuple[Outcome, ...] = ("ERROR", "FAIL", "PENDING", "INCONCLUSIVE", "PASS")


def verdict(outcome: Outcome) -> Verdict:
    return Verdict(outcome, "a.b", "observed", "found")


@pytest.mark.parametrize(("first", "second"), list(itertools.combinations(ORDER, 2)))
def test_the_worst_verdict_decides(first: Outcome, second: Outcome) -> None:
    assert worst([verdict(first), verdict(second)]).outcome == first
    assert worst([verdict(second), verdict(first)]).outcome == first


def test_of_two_equally_bad_ones_the_first_speaks() -> None:
    one, two = (
        failed(code, "declared", found="f", wanted="w", why="y", hint="h") for code in ("split.one", "split.two")
    )
    assert worst([passed("a.b", "f"), one, two]) is one


@pytest.mark.parametrize(("blame", "outcome"), [("learner", "FAIL"), ("lab", "ERROR"), ("nobody", "ERROR")])
def test_an_overdue_pending_verdict_gets_a_culprit(blame: str, outcome: str) -> None:
    waiting = pending("a.b", "accepted", found="f", wanted="w", why="not yet", hint="h", blame=blame)  # type: ignore[arg-type]
    late = waiting.overdue(20)
    assert (late.outcome, late.why, late.code) == (outcome, "not yet (still so after 20 s)", "a.b")


def test_only_pending_verdicts_become_overdue() -> None:
    for outcome in set(ORDER) - {"PENDING"}:
        assert verdict(outcome).overdue(20) == verdict(outcome)


def test_a_lab_error_blames_the_lab_and_says_that_no_points_are_lost() -> None:
    error = lab_error("lab.failed", "found", "why")
    assert (error.outcome, error.blame) == ("ERROR", "lab")
    assert "no points are lost" in error.hint


def test_json_has_the_words_that_people_read() -> None:
    record = failed("a.b", "pushed", found="f", wanted="w", why="y", hint="h", notes=("n",)).to_json()
    assert record == {
        "verdict": "FAIL", "code": "a.b", "rung": "pushed", "found": "f", "wanted": "w", "why": "y", "try": "h",
        "notes": ["n"], "blame": "learner",
    }  # fmt: skip
