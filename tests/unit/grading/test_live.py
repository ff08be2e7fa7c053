"""The live check with a session of plain values: real threads, no cluster, nothing sleeps."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from decimal import Decimal

import pytest

from meshlab.cluster.facade import WatchEvent
from meshlab.course.model import Exercise
from meshlab.errors import ClusterUnreachable, LabError, UsageError
from meshlab.grading import live as live_module
from meshlab.grading.live import LiveStatus
from meshlab.grading.registry import CheckContext
from meshlab.grading.verdicts import Verdict
from tests.fakes.grading import FAIL, INCONCLUSIVE, PASS, PENDING, exercise, task
from tests.fakes.live import Audience, LiveWorld, outcomes

ASKED = replace(
    exercise(task("serves", guard=True), task("split", guarded_by=("serves",))),
    debrief="Well done.",
    debrief_notes={"odd": "An odd way."},
)

Listen = Callable[..., Audience]


@pytest.fixture
def listen(monkeypatch: pytest.MonkeyPatch) -> Iterator[Listen]:
    monkeypatch.setattr(live_module, "FIRST_RETRY_S", 0.01)
    monkeypatch.setattr(live_module, "NOT_STARTED_POLL_S", 0.05)
    before = threading.active_count()
    audiences: list[Audience] = []

    def make(world: LiveWorld) -> Audience:
        audiences.append(Audience(world))
        return audiences[-1]

    yield make
    for audience in audiences:
        audience.live.stop()
    assert threading.active_count() == before


def world(serves: Verdict | Exception = PASS, split: Verdict | Exception = FAIL, of: Exercise = ASKED) -> LiveWorld:
    return LiveWorld(of, {"serves": serves, "split": split})


def passes(status: LiveStatus) -> bool:
    return status.done


def test_each_verdict_is_told_as_soon_as_it_is_there(listen: Listen) -> None:
    audience = listen(world())
    audience.settled()
    assert [outcomes(status) for status in audience.heard] == [
        ["-", "-"],
        ["PASS", "-"],
        ["PASS", "-"],
        ["PASS", "FAIL"],
    ]
    assert [[of.checking for of in status.tasks] for status in audience.heard] == [
        [True, False], [False, False], [False, True], [False, False],
    ]  # fmt: skip
    assert [status.looking for status in audience.heard] == [True, True, True, False]


def test_it_turns_green_without_being_asked(listen: Listen) -> None:
    there = world()
    audience = listen(there)
    assert audience.settled().earned == 0
    there.says["split"] = replace(PASS, notes=("odd",))
    there.tell("pods", "a")
    status = audience.until(passes)
    assert (status.earned, status.possible, status.debrief) == (Decimal(10), Decimal(10), ("Well done.", "An odd way."))


def test_what_stops_holding_is_not_done_any_more(listen: Listen) -> None:
    there = world(split=PASS)
    audience = listen(there)
    assert audience.until(passes).debrief == ("Well done.",)
    there.says["serves"] = FAIL
    there.tell("pods", "a")
    status = audience.until(lambda status: not status.done and not status.looking)
    assert not any(status.done and "FAIL" in outcomes(status) for status in audience.heard)
    assert (outcomes(status), status.earned, status.debrief) == (["FAIL", "PASS"], Decimal(0), ())
    assert [of.guarded for of in status.tasks] == [False, True]


def test_many_nudges_make_one_look(listen: Listen) -> None:
    there = world(split=PASS)
    audience = listen(there)
    audience.until(passes)
    heard = len(audience.heard)
    for _ in range(50):
        audience.live.nudge("a command has ended")
    audience.until(lambda status: status.looking)
    audience.settled()
    assert there.looks == ["serves", "split"] * 2
    assert len(audience.heard) == heard + 4


def test_a_change_during_a_look_breaks_it_off(listen: Listen) -> None:
    there = world()
    caught: list[bool] = []

    def change_once(name: str, context: CheckContext) -> None:
        if name == "split" and not caught:
            caught.append(True)
            there.says["split"] = PASS
            there.tell("pods", "a")
            # As a long series of requests would, between two batches.
            while True:
                context.stop_if_overtaken()

    there.during = change_once
    audience = listen(there)
    audience.until(passes)
    assert there.looks == ["serves", "split", "split", "serves"]
    assert not any("FAIL" in outcomes(status) for status in audience.heard)


def test_where_nothing_stands_still_a_look_is_finished_all_the_same(listen: Listen) -> None:
    there = world(split=PASS)
    pods = iter(range(1000))

    def restless(name: str, context: CheckContext) -> None:
        there.tell("pods", "a", data=next(pods))
        if there.looks.count("split") > live_module.OVERTAKEN_LIMIT:
            return
        while name == "split":
            context.stop_if_overtaken()

    there.during = restless
    listen(there).until(passes)
    assert there.looks.count("split") == live_module.OVERTAKEN_LIMIT + 1


def test_pending_is_shown_at_once_and_looked_at_again(listen: Listen) -> None:
    there = world(split=PENDING, of=replace(ASKED, tasks=(ASKED.tasks[0], replace(ASKED.tasks[1], within_s=60))))
    audience = listen(there)
    status = audience.settled()
    pending = status.tasks[1]
    assert outcomes(status) == ["PASS", "PENDING"]
    assert pending.verdict is not None
    assert pending.verdict.found == "not yet"
    assert pending.pending_s is not None
    there.says["split"] = PASS
    audience.until(passes)
    # Alone it is looked at again; that it holds is said when all held in one run.
    assert there.looks[:3] == ["serves", "split", "split"]
    assert there.looks[-2:] == ["serves", "split"]


def test_a_dead_cluster_is_an_error_until_it_is_back(listen: Listen) -> None:
    there = world()
    audience = listen(there)
    audience.settled()
    there.reachable = False
    there.watches["pods"].put(WatchEvent("LOST", {}))
    status = audience.until(lambda status: isinstance(status.error, ClusterUnreachable))
    assert outcomes(status) == ["PASS", "FAIL"]
    there.reachable, there.says["split"] = True, PASS
    status = audience.until(passes)
    assert status.error is None
    assert (there.opened, there.closed) == (2, 1)


@pytest.mark.parametrize("said", [LabError("refused"), PENDING])
def test_a_sick_lab_is_an_error_and_no_verdict(listen: Listen, said: Verdict | Exception) -> None:
    there = world()
    audience = listen(there)
    audience.settled()
    there.cluster.ready, there.says["split"] = False, said
    audience.live.nudge()
    status = audience.until(lambda status: status.error is not None)
    assert status.error is not None
    assert (type(status.error), status.error.message) == (LabError, "no node is Ready")
    assert outcomes(status) == ["PASS", "FAIL"]
    there.cluster.ready, there.says["split"] = True, PASS
    assert audience.until(passes).error is None
    assert [run.done for run in there.runs] == [True]


def test_an_exercise_that_is_not_started_is_waited_for(listen: Listen) -> None:
    there = world()
    there.attempt = None
    audience = listen(there)
    status = audience.until(lambda status: isinstance(status.error, UsageError))
    assert (status.exercise, status.record, status.tasks) == (None, None, ())
    there.attempt = "a-1"
    assert audience.until(lambda status: len(status.tasks) == 2).error is None


def test_an_exercise_that_is_taken_away_and_started_anew_begins_anew(listen: Listen) -> None:
    there = world(split=PASS)
    audience = listen(there)
    audience.until(passes)
    there.attempt = None
    there.tell("configmaps", "meshlab-canary", "DELETED")
    audience.until(lambda status: isinstance(status.error, UsageError) and status.exercise is None)
    there.attempt, there.says["split"] = "a-2", FAIL
    status = audience.settled()
    assert status.record is not None
    assert (status.record.attempt, outcomes(status)) == ("a-2", ["PASS", "FAIL"])


def test_the_start_is_no_attempt_and_each_change_is_written_down_once(listen: Listen) -> None:
    there = world()
    audience = listen(there)
    audience.settled()
    audience.live.nudge()
    audience.until(lambda status: status.looking)
    audience.settled()
    assert there.runs == []
    there.says["split"] = PASS
    there.tell("pods", "a")
    audience.until(passes)
    assert [run.done for run in there.runs] == [True]
    audience.live.nudge()
    audience.until(lambda status: status.looking)
    audience.settled()
    assert len(there.runs) == 1


def test_what_was_written_down_before_is_not_written_again(listen: Listen) -> None:
    there = world(split=PASS)
    there.recorded = {name: {"verdict": "PASS", "code": "a.right"} for name in ("serves", "split")}
    listen(there).until(passes)
    assert there.runs == []


@pytest.mark.parametrize("undecided", [KeyError("spec"), PENDING])
def test_what_is_not_decided_is_not_written_down(listen: Listen, undecided: Verdict | Exception) -> None:
    of = replace(ASKED, tasks=tuple(replace(entry, within_s=60) for entry in ASKED.tasks))
    there = world(split=PASS, serves=undecided, of=of)
    status = listen(there).settled()
    assert outcomes(status)[1] == "PASS"
    assert there.runs == []


def test_what_a_process_has_shown_stays_shown(listen: Listen) -> None:
    there = world(split=INCONCLUSIVE, of=replace(ASKED, judge="process"))
    audience = listen(there)
    audience.settled()
    there.says |= {"serves": FAIL, "split": PASS}
    audience.live.nudge()
    audience.until(passes)
    assert there.looks == ["serves", "split", "split"]


def test_whoever_listens_badly_does_not_end_it(listen: Listen, monkeypatch: pytest.MonkeyPatch) -> None:
    there = world()
    audience = listen(there)
    audience.settled()
    monkeypatch.setattr(audience.live, "_on_status", lambda status: 1 / 0)
    audience.live.nudge()
    while len(there.looks) < 4:
        threading.Event().wait(0.01)
    monkeypatch.setattr(audience.live, "_on_status", audience._hear)
    there.says["split"] = PASS
    there.tell("pods", "a")
    audience.until(passes)


def test_it_stops_in_the_middle_of_a_look(listen: Listen) -> None:
    there = world()
    inside = threading.Event()

    def endless(name: str, context: CheckContext) -> None:
        inside.set()
        while True:
            context.stop_if_overtaken()

    there.during = endless
    audience = listen(there)
    assert inside.wait(5)
    audience.live.stop()
    assert there.closed == 1
