from __future__ import annotations

import json
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from meshlab.course.progress import GENESIS, Progress
from meshlab.errors import LabError


@pytest.fixture
def progress(tmp_path: Path) -> Any:
    opened = Progress(tmp_path / "progress.db", lab="default", course="default@1")
    yield opened
    opened.close()


def change(progress: Progress, statement: str) -> None:
    with sqlite3.connect(progress.path) as db:
        assert db.execute(statement).rowcount == 1
    db.close()


def ran(progress: Progress, task: str = "", exercise: str = "canary", *, done: bool = False, **outcomes: str) -> None:
    verdicts = {name: {"verdict": outcome, "code": f"{name}.x"} for name, outcome in outcomes.items()}
    progress.append("check.ran", exercise=exercise, task=task, attempt="a-1", done=done, verdicts=verdicts)


def test_each_event_carries_the_hash_of_the_one_before(progress: Progress) -> None:
    first, second = progress.append("one", exercise="canary", n=1), progress.append("two")
    assert (first.record["seq"], first.record["prev"]) == (1, GENESIS)
    assert (second.record["seq"], second.record["prev"]) == (2, first.digest)
    assert [event.digest for event in progress.events()] == [first.digest, second.digest]
    assert progress.events(exercise="canary")[0].record["data"] == {"n": 1}
    assert progress.verify() is None


def test_an_empty_record_is_intact(progress: Progress) -> None:
    assert progress.verify() is None


@pytest.mark.parametrize(
    ("statement", "broken"),
    [
        ("update event set data = '{}' where seq = 2", 3),
        ("update event set at = '2020-01-01' where seq = 1", 2),
        ("delete from event where seq = 2", 3),
        ("delete from event where seq = 1", 2),
        ("update event set data = '{}' where seq = 4", 5),
        ("delete from event where seq = 4", 4),
    ],
)
def test_a_changed_or_removed_event_is_noticed(progress: Progress, statement: str, broken: int) -> None:
    for number in range(4):
        progress.append("check.ran", exercise="canary", done=False, verdicts={}, n=number)
    change(progress, statement)
    assert progress.verify() == broken


def test_programs_may_append_at_once(tmp_path: Path) -> None:
    path = tmp_path / "progress.db"

    def append_many(program: int) -> None:
        mine = Progress(path)
        for number in range(15):
            mine.append("event", program=program, number=number)
        mine.close()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(append_many, range(4)))
    whole = Progress(path)
    assert [event.record["seq"] for event in whole.events()] == list(range(1, 61))
    assert whole.verify() is None
    whole.close()


def test_learner_and_key_stay_the_same(progress: Progress) -> None:
    again = Progress(progress.path)
    assert (again.learner, again.course_key) == (progress.learner, progress.course_key)
    assert len(again.course_key) == 32
    again.close()


def test_a_failing_append_leaves_nothing_behind(progress: Progress) -> None:
    with pytest.raises(TypeError):
        progress.append("event", data_that_is_not_json=object())
    progress.append("event")
    assert [event.record["seq"] for event in progress.events()] == [1]


def test_the_summary_projects_the_events(progress: Progress) -> None:
    progress.append("exercise.started", exercise="canary")
    progress.append("hint.taken", exercise="canary", task="split", tier=1)
    ran(progress, serves="PASS", split="FAIL")
    progress.append("solution.shown", exercise="canary")
    ran(progress, done=True, serves="PASS", split="PASS")
    progress.append("exercise.reset", exercise="canary")
    progress.append("lab.started")
    (entry,) = progress.summary()
    counted = {key: entry[key] for key in ("exercise", "attempts", "checks", "hints", "resets", "solution_seen")}
    assert counted == {
        "exercise": "canary", "attempts": 1, "checks": 2, "hints": 1, "resets": 1, "solution_seen": True,
    }  # fmt: skip
    assert (entry["done"], entry["changed_since"]) == (True, False)
    assert entry["first_done_at"] == progress.events()[4].record["at"]
    assert entry["tasks"]["split"] == {"verdict": "PASS", "code": "split.x"}


def test_done_stays_done_and_says_when_it_no_longer_holds(progress: Progress) -> None:
    ran(progress, done=True, split="PASS")
    ran(progress, split="FAIL")
    assert [(entry["done"], entry["changed_since"]) for entry in progress.summary()] == [(True, True)]
    ran(progress, done=True, split="PASS")
    assert [(entry["done"], entry["changed_since"]) for entry in progress.summary()] == [(True, False)]


def test_a_check_of_one_task_says_nothing_of_the_others(progress: Progress) -> None:
    # Checking a single task after all was done once read as "done, and since changed" and forgot the other tasks.
    ran(progress, done=True, serves="PASS", split="PASS")
    ran(progress, task="serves", serves="PASS")
    (entry,) = progress.summary()
    assert (entry["changed_since"], set(entry["tasks"])) == (False, {"serves", "split"})
    ran(progress, task="serves", serves="FAIL")
    assert progress.summary()[0]["changed_since"]


def test_hints_and_checks_are_counted_per_attempt(progress: Progress) -> None:
    for tier in (1, 2):
        progress.append("hint.taken", attempt="a-1", exercise="canary", task="split", tier=tier)
    ran(progress, split="FAIL")
    assert [progress.hints_taken("a-1", "split"), progress.hints_taken("a-2", "split")] == [2, 0]
    assert [progress.tried("a-1"), progress.tried("a-2")] == [True, False]


def test_evidence_comes_back_as_it_was_stored(progress: Progress) -> None:
    record = {"kind": "requests", "taken": {"from": "t0", "to": "t1"}, "data": {"n": 3}}
    progress.add_evidence("sha256:1", record)
    progress.add_evidence("sha256:1", record)
    assert progress.evidence("sha256:1") == record
    assert progress.evidence("sha256:2") is None


def test_an_attempt_is_opened_once_and_closed_once(progress: Progress) -> None:
    for _ in range(2):
        progress.open_attempt("canary", 1, 1, {"key": "track"}, "a-1")
    progress.close_attempt("a-1")
    with sqlite3.connect(progress.path) as db:
        rows = db.execute("select vars, started_at, closed_at from attempt").fetchall()
    db.close()
    assert len(rows) == 1
    assert json.loads(rows[0][0]) == {"key": "track"}
    assert rows[0][2] >= rows[0][1]


def test_a_file_that_is_no_database_is_said_in_words(tmp_path: Path) -> None:
    path = tmp_path / "progress.db"
    path.write_text("not a database, but long enough to be read as one" * 30)
    with pytest.raises(LabError, match="progress cannot be kept in"):
        Progress(path)


def test_a_directory_that_cannot_be_made_is_said_in_words(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LabError, match="progress cannot be kept in"):
        Progress(tmp_path / "file" / "progress.db")
