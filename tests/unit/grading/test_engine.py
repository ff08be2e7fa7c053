from __future__ import annotations

import logging
from dataclasses import replace
from decimal import Decimal

import pytest

from meshlab.cluster.facade import Cluster
from meshlab.course.model import CheckCall
from meshlab.errors import ClusterUnreachable, CourseError, LabError
from meshlab.grading import engine
from meshlab.grading.engine import CheckResult, look, rejudge, run_check, run_exercise
from meshlab.grading.evidence import Evidence
from meshlab.grading.registry import Check, CheckContext, Overtaken, Registry
from meshlab.grading.verdicts import NeedMore
from tests.fakes.grading import (
    ERROR,
    FAIL,
    INCONCLUSIVE,
    LAB_PENDING,
    NO_CLUSTER,
    PASS,
    PENDING,
    SICK_CLUSTER,
    ScriptedCheck,
    exercise,
    noting,
    outcomes,
    registry,
    task,
)


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "PENDING_POLL_S", 0)


def checked(check: ScriptedCheck, *, within_s: float = 0, cluster: Cluster = NO_CLUSTER) -> CheckResult:
    context = CheckContext(cluster, exercise(task("one")))
    return run_check(context, CheckCall("one", {}), registry(one=check), within_s=within_s)


def test_a_verdict_ends_the_looking() -> None:
    check = ScriptedCheck(FAIL, PASS)
    assert checked(check, within_s=20).verdict == FAIL
    assert check.looks == 1


def test_pending_is_looked_at_again_until_it_converges() -> None:
    check = ScriptedCheck(PENDING, PENDING, PASS)
    decided = checked(check, within_s=20)
    assert decided.verdict == PASS
    assert check.so_far == [None, None, None]
    assert decided.evidence[0].data == {"looks": 1}


@pytest.mark.parametrize(("waiting", "outcome"), [(PENDING, "FAIL"), (LAB_PENDING, "ERROR")])
def test_pending_for_too_long_becomes_a_verdict_with_a_culprit(waiting: object, outcome: str) -> None:
    verdict = checked(ScriptedCheck(waiting), within_s=0).verdict  # type: ignore[arg-type]
    assert verdict.outcome == outcome
    assert "still so after 0 s" in verdict.why


def test_more_evidence_is_added_to_what_there_is() -> None:
    check = ScriptedCheck(NeedMore(400, PASS), NeedMore(300, PASS), FAIL)
    decided = checked(check)
    assert decided.verdict == FAIL
    assert check.wanted == [0, 400, 300]
    assert decided.evidence[0].data == {"looks": 3}


def test_when_the_budget_is_spent_the_rung_below_decides() -> None:
    check = ScriptedCheck(NeedMore(3000, INCONCLUSIVE))
    assert checked(check).verdict == INCONCLUSIVE
    assert check.wanted == [0, 3000, 3000]
    assert sum(check.wanted) <= engine.REQUEST_BUDGET


def test_when_the_time_is_spent_the_rung_below_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "SECONDS_BUDGET", -1)
    check = ScriptedCheck(NeedMore(1, PASS))
    assert checked(check).verdict == PASS
    assert check.looks == 1


def test_void_evidence_is_thrown_away_and_taken_anew() -> None:
    check = ScriptedCheck(PASS, void=2)
    decided = checked(check)
    assert decided.verdict == PASS
    assert check.so_far == [None, None, None]
    assert decided.evidence[0].data == {"looks": 1}


def test_void_evidence_of_a_longer_test_starts_it_over() -> None:
    class Changed(ScriptedCheck):
        def collect(self, context: CheckContext, params: object, so_far: Evidence | None) -> Evidence:
            self.void = int(self.looks == 1)
            return super().collect(context, params, so_far)

    check = Changed(NeedMore(400, PASS), FAIL)
    decided = checked(check)
    assert check.wanted == [0, 400, 0]
    assert decided.evidence[0].data == {"looks": 1}


def test_objects_that_never_stand_still_are_not_judged() -> None:
    # After five void looks the sixth was judged as if it belonged to a moment.
    check = ScriptedCheck(PASS, void=1000)
    verdict = checked(check).verdict
    assert (verdict.outcome, verdict.code) == ("INCONCLUSIVE", "evidence.void")
    assert check.looks == engine.VOID_LIMIT + 1


def test_a_crash_is_the_courses_fault_not_the_learners(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        verdict = checked(ScriptedCheck(KeyError("spec"))).verdict
    assert (verdict.outcome, verdict.code, verdict.blame) == ("ERROR", "check.crashed", "lab")
    assert verdict.found == "one: KeyError: 'spec'"
    assert "KeyError" in caplog.text


@pytest.mark.parametrize(
    ("error", "code", "found"),
    [(ClusterUnreachable("gone"), "lab.unreachable", "gone"), (LabError("refused"), "lab.failed", "no node is Ready")],
)
def test_a_failing_lab_is_an_error_with_a_culprit(error: Exception, code: str, found: str) -> None:
    verdict = checked(ScriptedCheck(error), cluster=SICK_CLUSTER).verdict
    assert (verdict.outcome, verdict.code, verdict.found) == ("ERROR", code, found)


def test_what_a_healthy_lab_refuses_may_pass_and_else_is_not_decided() -> None:
    refused = ScriptedCheck(LabError("that pod is going"))
    verdict = checked(refused).verdict
    assert (verdict.outcome, verdict.code, verdict.found) == ("INCONCLUSIVE", "lab.refused", "that pod is going")


def test_a_sick_lab_is_blamed_before_the_learner() -> None:
    verdict = checked(ScriptedCheck(PENDING), cluster=SICK_CLUSTER).verdict
    assert (verdict.outcome, verdict.code) == ("ERROR", "lab.failed")


def test_what_the_provider_lacks_is_not_available_here() -> None:
    needy = ScriptedCheck(PASS)
    needs = Registry({"one": Check("one", 1, needy.collect, needy.judge, capabilities=frozenset({"wasm"}))})
    judged = run_exercise(NO_CLUSTER, exercise(task("one")), needs, lacking=tuple)
    verdict = judged.tasks[0].verdict
    assert (verdict.outcome, verdict.code, verdict.found) == ("ERROR", "lab.not-available", "not available here: wasm")
    assert needy.looks == 0


def test_a_look_that_is_overtaken_ends_between_two_rounds() -> None:
    check = ScriptedCheck(NeedMore(10, PASS))
    context = CheckContext(NO_CLUSTER, exercise(), overtaken=lambda: check.looks == 2)
    with pytest.raises(Overtaken):
        look(context, CheckCall("one", {}), registry(one=check))
    assert check.wanted == [0, 10]


def test_a_check_that_the_course_lacks_is_a_mistake_of_the_course() -> None:
    with pytest.raises(CourseError, match="no check is called two"):
        run_check(
            CheckContext(NO_CLUSTER, exercise()), CheckCall("two", {}), registry(one=ScriptedCheck(PASS)), within_s=0
        )


def test_the_worst_check_of_a_task_decides() -> None:
    asked = exercise(task("both", "one+two"))
    judged = run_exercise(NO_CLUSTER, asked, registry(one=ScriptedCheck(PASS), two=ScriptedCheck(FAIL)))
    assert outcomes(judged) == ["FAIL"]
    assert judged.tasks[0].to_json("canary")["check"] == {"name": "two", "version": 1, "params": {}}
    assert len(judged.tasks[0].to_json("canary")["evidence"]) == 2


def test_points_are_earned_by_passing() -> None:
    asked = exercise(task("one", points=10), task("two", points=5), task("hold", guard=True))
    judged = run_exercise(
        NO_CLUSTER, asked, registry(one=ScriptedCheck(PASS), two=ScriptedCheck(FAIL), hold=ScriptedCheck(PASS))
    )
    assert (judged.earned, judged.exercise.possible, judged.done) == (Decimal(10), Decimal(15), False)


@pytest.mark.parametrize("guard", [FAIL, ERROR])
def test_a_broken_guard_takes_the_points_but_not_the_verdict(guard: object) -> None:
    asked = exercise(task("serves", guard=True), task("split", guarded_by=("serves",)), task("other"))
    checks = registry(serves=ScriptedCheck(guard), split=ScriptedCheck(PASS), other=ScriptedCheck(PASS))  # type: ignore[arg-type]
    judged = run_exercise(NO_CLUSTER, asked, checks)
    assert outcomes(judged)[1:] == ["PASS", "PASS"]
    assert [entry.earned for entry in judged.tasks] == [0, 0, 10]
    assert not judged.done


def test_one_task_is_judged_with_its_guards() -> None:
    asked = exercise(task("serves", guard=True), task("split", guarded_by=("serves",)), task("other"))
    said: list[str] = []
    checks = registry(serves=ScriptedCheck(FAIL), split=ScriptedCheck(PASS), other=ScriptedCheck(PASS))
    judged = run_exercise(NO_CLUSTER, asked, checks, only="split", on_result=noting(said))
    assert said == ["serves", "split"]
    assert judged.earned == 0


def test_one_task_of_several_is_not_the_whole_exercise() -> None:
    # `check canary/one` once called the exercise done and printed its debrief.
    asked = exercise(task("one"), task("two"))
    checks = registry(one=ScriptedCheck(PASS), two=ScriptedCheck(PASS))
    assert not run_exercise(NO_CLUSTER, asked, checks, only="one").done
    assert run_exercise(NO_CLUSTER, asked, checks).done


def test_waiting_looks_again_and_reports_each_task_once() -> None:
    said: list[str] = []
    check = ScriptedCheck(FAIL, FAIL, PASS)
    judged = run_exercise(NO_CLUSTER, exercise(task("one")), registry(one=check), wait_s=20, on_result=noting(said))
    assert (judged.done, check.looks, said) == (True, 3, ["one"])


def test_stored_evidence_is_judged_again_without_a_cluster() -> None:
    check = registry(one=ScriptedCheck(NeedMore(1, PASS))).get("one")
    assert rejudge(check, {}, Evidence("requests", {})) == PASS
    assert rejudge(replace(check, judge=lambda evidence, params: FAIL), {}, Evidence("requests", {})) == FAIL
