"""``check --watch``: which status says something new, and how it ends."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from decimal import Decimal

import pytest

from meshlab.cli.main import main
from meshlab.cli.watch import Lines, watch
from meshlab.course.ids import timestamp
from meshlab.errors import ClusterUnreachable, UsageError
from meshlab.grading.attempt import AttemptRecord
from meshlab.grading.live import LiveStatus, TaskStatus
from meshlab.grading.verdicts import Verdict
from tests.fakes.grading import FAIL, PASS, exercise, task
from tests.fakes.live import LiveWorld

ASKED = exercise(task("serves", guard=True), task("split", guarded_by=("serves",)), task("other"))
RECORD = AttemptRecord("a-1", "canary", 3, 1, "r-1", {}, {}, timestamp())


def status(*verdicts: Verdict | None, looking: bool = False, done: bool = False) -> LiveStatus:
    tasks = tuple(
        TaskStatus(of, verdict, Decimal(0), False, False, None, 0.0)
        for of, verdict in zip(ASKED.tasks, verdicts, strict=True)
    )
    return LiveStatus(ASKED, RECORD, tasks, done, Decimal(0), Decimal(20), (), None, looking)


def test_each_change_is_one_line() -> None:
    lines = Lines("", as_json=False)
    assert list(lines.of(status(None, None, None))) == []
    assert list(lines.of(status(PASS, None, None))) == ["✔ PASS         serves  [a.right]  all is well"]
    assert list(lines.of(status(PASS, FAIL, None))) == ["✘ FAIL         split  [a.wrong]  it is not  (so it is)"]
    # What was counted this time differs from look to look, and is no news.
    assert list(lines.of(status(PASS, replace(FAIL, found="v1 40 %"), None))) == []
    assert list(lines.of(status(PASS, PASS, None))) == ["✔ PASS         split  [a.right]  all is well"]


def test_programs_get_one_object_per_line() -> None:
    [line] = Lines("", as_json=True).of(status(None, FAIL, None))
    said = json.loads(line)
    assert {
        "exercise": "canary",
        "task": "split",
        "guard": False,
        "verdict": "FAIL",
        "code": "a.wrong",
    }.items() <= said.items()
    assert said["points"] == {"earned": 0, "possible": 10}


def test_a_lost_cluster_is_said_once_and_verdicts_again_after_it() -> None:
    lines = Lines("", as_json=False)
    known = status(PASS, FAIL, PASS)
    lost = replace(known, error=ClusterUnreachable("gone"))
    assert len(list(lines.of(known))) == 3
    assert list(lines.of(lost)) == ["! The cluster cannot be reached: gone"]
    assert list(lines.of(lost)) == []
    assert len(list(lines.of(known))) == 3


def test_one_task_is_watched_with_its_guards() -> None:
    lines = Lines("split", as_json=False)
    assert len(list(lines.of(status(PASS, PASS, FAIL)))) == 2
    assert lines.passes(status(PASS, PASS, FAIL))
    assert not lines.passes(status(PASS, PASS, FAIL, looking=True))
    assert not lines.passes(status(FAIL, PASS, FAIL))
    assert not Lines("", as_json=False).passes(status(PASS, PASS, FAIL))
    with pytest.raises(UsageError, match='no task "nope"'):
        Lines("nope", as_json=False).selected(status(PASS, PASS, PASS))


def test_it_ends_when_all_passes_and_leaves_nothing_behind() -> None:
    before = threading.active_count()
    world = LiveWorld(exercise(task("split")), {"split": PASS})
    said: list[str] = []
    last = watch(world.open, "canary", "", as_json=False, say=said.append)
    assert (last.done, last.earned, said) == (True, Decimal(10), ["✔ PASS         split  [a.right]  all is well"])
    assert threading.active_count() == before


def test_it_ends_when_the_exercise_is_not_there() -> None:
    world = LiveWorld(exercise(task("split")), {"split": PASS}, attempt=None)
    with pytest.raises(UsageError, match="has not been started"):
        watch(world.open, "canary", "", as_json=False, say=print)


def test_waiting_and_watching_exclude_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["check", "canary", "--watch", "--wait", "3"])
    assert ended.value.code == 2
    assert main(["check", "canary", "--watch", "-o", "junit"]) == 2
    assert "--watch goes with" in capsys.readouterr().err
