"""When a task is looked at again, and what becomes of PENDING; the clock is a number."""

from __future__ import annotations

from dataclasses import replace

import pytest

from meshlab.grading.track import Track
from meshlab.grading.verdicts import Verdict
from tests.fakes.grading import ERROR, FAIL, INCONCLUSIVE, PASS, PENDING, result, task

IDLE_S = 30.0
PATIENT = replace(task("one"), within_s=20.0)


def overdue(verdict: Verdict, seconds: float) -> Verdict:
    return verdict.overdue(seconds)


def track(verdict: Verdict, *, cost_s: float = 0.1, now: float = 100.0) -> Track:
    made = Track(PATIENT, 0.0)
    made.take(replace(result(PATIENT, verdict), seconds=cost_s), now, overdue)
    return made


def take(of: Track, verdict: Verdict, now: float) -> bool:
    return of.take(replace(result(PATIENT, verdict), seconds=0.1), now, overdue)


def test_what_was_never_judged_is_due() -> None:
    assert Track(PATIENT, 0.0).due(IDLE_S) == 0.0


@pytest.mark.parametrize(
    ("verdict", "cost_s", "wait_s"),
    [(PENDING, 0.1, 0.5), (PENDING, 3, 3), (FAIL, 0.05, 2), (FAIL, 1, 20), (INCONCLUSIVE, 0.05, 2), (ERROR, 0.05, 2), (PASS, 1, 30), (PASS, 3, 60)],
)  # fmt: skip
def test_how_soon_depends_on_the_verdict_and_on_what_a_look_costs(
    verdict: Verdict, cost_s: float, wait_s: float
) -> None:
    assert track(verdict, cost_s=cost_s).due(IDLE_S) == pytest.approx(100 + wait_s)


def test_the_same_failure_is_looked_at_less_and_less_up_to_a_limit() -> None:
    judged = track(FAIL)
    waits = []
    for now in range(200, 1000, 100):
        take(judged, FAIL, now)
        waits.append(judged.due(IDLE_S) - now)
    assert waits == sorted(waits)
    assert (waits[0], waits[-1]) == (3, 15)


def test_an_idle_pass_is_looked_at_less_and_less_up_to_a_limit() -> None:
    judged = track(PASS)
    for now in range(1000, 20000, 1000):
        take(judged, PASS, now)
    assert judged.due(IDLE_S) - 19000 == 30 * 32


def test_a_disturbance_brings_looks_back() -> None:
    judged = track(PASS)
    take(judged, PASS, 200)
    judged.disturb(changed=False)
    assert judged.due(IDLE_S) == 230


def test_pending_becomes_a_failure_when_its_time_is_over_and_stays_one() -> None:
    judged = track(PENDING, now=100)
    assert not take(judged, PENDING, 119.9)
    assert (judged.mark, judged.pending_since) == (("PENDING", "a.waiting"), 100)
    assert take(judged, PENDING, 120)
    assert judged.mark == ("FAIL", "a.waiting")
    assert judged.result is not None
    assert judged.result.checks[0].verdict == judged.verdict
    assert not take(judged, PENDING, 121)
    assert judged.changed_at == 120


def test_a_change_restarts_the_time_of_what_is_pending() -> None:
    judged = track(PENDING, now=100)
    judged.disturb(changed=True)
    take(judged, PENDING, 119)
    take(judged, PENDING, 138)
    assert judged.mark == ("PENDING", "a.waiting")


def test_a_nudge_does_not_restart_it() -> None:
    judged = track(PENDING, now=100)
    judged.disturb(changed=False)
    assert take(judged, PENDING, 120)


def test_another_cause_restarts_it() -> None:
    judged = track(PENDING, now=100)
    take(judged, replace(PENDING, code="a.other"), 115)
    take(judged, replace(PENDING, code="a.other"), 130)
    assert (judged.mark, judged.pending_since) == (("PENDING", "a.other"), 115)


def test_only_outcome_and_code_are_a_change() -> None:
    judged = track(FAIL)
    assert not take(judged, replace(FAIL, found="other words"), 200)
    assert judged.changed_at == 100
    assert take(judged, replace(FAIL, code="a.worse"), 300)
    assert judged.changed_at == 300
