from __future__ import annotations

import json
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from meshlab.course.ids import Moment
from meshlab.course.progress import GENESIS, Event, Progress
from meshlab.errors import LabError


@pytest.fixture
def progress(tmp_path: Path) -> Any:
    opened = Progress(tmp_path / "progress.db", lab="default", course=lambda: "default@1")
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


class Clock:
    """Two clocks that go as a test says."""

    def __init__(self) -> None:
        self.wall = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)
        self.mono_ms = 1000
        self.boot = "b-1"

    def __call__(self) -> Moment:
        at = self.wall.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
        return Moment(at, self.mono_ms, self.boot)

    def forward(self, seconds: float) -> None:
        self.wall += timedelta(seconds=seconds)
        self.mono_ms += round(seconds * 1000)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def timed(tmp_path: Path, clock: Clock) -> Any:
    opened = Progress(tmp_path / "timed.db", lab="default", clock=clock)
    yield opened
    opened.close()


def test_a_clock_that_was_changed_is_recorded(timed: Progress, clock: Clock) -> None:
    timed.append("one")
    clock.forward(3600)
    clock.wall += timedelta(seconds=2)  # put right by the network: no change
    timed.append("two")
    clock.wall -= timedelta(days=1)
    timed.append("three")
    clock.boot, clock.mono_ms = "b-2", 5
    clock.wall += timedelta(days=3)
    timed.append("four")
    records = [event.record for event in timed.events()]
    assert [record["kind"] for record in records] == ["one", "two", "clock.changed", "three", "four"]
    assert records[2]["data"] == {"jump_ms": -86_400_000}
    assert timed.verify() is None


def test_active_time_leaves_out_the_pauses(timed: Progress, clock: Clock) -> None:
    for pause in (0, 60, 299, 301, 3600, 30):
        clock.forward(pause)
        timed.append("check.ran", exercise="canary", attempt="a-1", done=False, verdicts={})
    assert timed.summary()[0]["active_s"] == 60 + 299 + 30


def test_an_attempt_leaves_the_machine_as_a_record(timed: Progress, clock: Clock) -> None:
    timed.open_attempt("canary", 1, 2, {"key": "track"}, "a-1")
    timed.append("exercise.started", attempt="a-1", exercise="canary")
    for tier, task in ((1, "split"), (2, "split"), (1, "serves")):
        clock.forward(10)
        timed.append("hint.taken", attempt="a-1", exercise="canary", task=task, tier=tier)
    timed.append("exercise.reset", attempt="a-1", exercise="canary")
    timed.append("hint.taken", attempt="a-2", exercise="canary", task="split", tier=3)
    assert timed.attempts("canary") == [
        {
            "v": 1, "attempt": "a-1", "learner": timed.learner, "exercise": "canary", "exercise_version": 1, "round": 2,
            "vars": {"key": "track"}, "mode": "learn", "trust": "self", "started_at": "2026-11-23T10:00:00.000Z",
            "closed_at": None, "active_s": 30, "resets": 1, "hints": {"split": 2, "serves": 1}, "solution_seen": False,
        }
    ]  # fmt: skip


def test_closing_an_attempt_is_an_event_with_a_reason(progress: Progress) -> None:
    progress.open_attempt("canary", 1, 1, {"key": "track"}, "a-1")
    assert progress.open_attempt_of("canary") is not None
    for _ in range(2):
        progress.close_attempt("a-1", exercise="canary")
    assert progress.open_attempt_of("canary") is None
    (event,) = progress.events()
    assert (event.record["kind"], event.record["attempt"], event.record["data"]) == (
        "attempt.closed", "a-1", {"why": "removed"},
    )  # fmt: skip


def test_the_export_is_the_chain_itself(progress: Progress) -> None:
    progress.append("lesson.opened", lesson="canary")
    progress.append("exercise.started", exercise="canary", vars={"key": "track"})
    records = [json.loads(line) for line in progress.export()]
    assert records == [event.record for event in progress.events()]
    assert Event(records[0]).digest == records[1]["prev"]


def test_what_is_erased_is_gone_from_the_file_too(progress: Progress) -> None:
    learner, key = progress.learner, progress.course_key
    progress.append("exercise.started", exercise="canary-to-forget")
    progress.open_attempt("canary-to-forget", 1, 1, {}, "a-1")
    assert b"canary-to-forget" in progress.path.read_bytes()
    watching = Progress(progress.path)
    assert watching.projection().exercises
    progress.erase()
    assert b"canary-to-forget" not in progress.path.read_bytes()
    assert (progress.events(), progress.verify()) == ([], None)
    assert progress.learner != learner and progress.course_key != key
    progress.append("lesson.opened", lesson="canary")
    assert watching.projection().exercises == {}
    watching.close()


def test_a_file_of_a_newer_meshlab_is_refused_and_kept(progress: Progress) -> None:
    progress.append("one")
    with sqlite3.connect(progress.path) as db:
        db.execute("pragma user_version = 9")
    db.close()
    before = progress.path.read_bytes()
    with pytest.raises(LabError, match="was written by a newer meshlab") as caught:
        Progress(progress.path)
    assert "not touched" in caught.value.hint
    assert progress.path.read_bytes() == before


def test_a_file_from_before_the_version_was_kept_is_taken_over(progress: Progress) -> None:
    progress.append("one")
    with sqlite3.connect(progress.path) as db:
        db.execute("pragma user_version = 0")
        db.execute("drop index event_exercise")
    db.close()
    again = Progress(progress.path)
    assert [event.record["kind"] for event in again.events()] == ["one"]
    again.close()


def test_a_damaged_page_is_said_in_words_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "progress.db"
    whole = Progress(path)
    for number in range(200):
        whole.append("check.ran", exercise="canary", done=False, verdicts={}, number=number, filler="x" * 200)
    whole.close()
    content = bytearray(path.read_bytes())
    content[4096 * 12 :] = b"\xff" * (len(content) - 4096 * 12)
    path.write_bytes(content)
    with pytest.raises(LabError, match="malformed") as caught:
        damaged = Progress(path)
        try:
            damaged.projection()
        finally:
            damaged.close()
    assert f"mv {path}" in caught.value.hint
    assert path.read_bytes() == bytes(content)


@pytest.mark.parametrize("data", ["no json", "{}", "[]", '"x"'])
def test_an_event_that_was_changed_by_hand_is_named(progress: Progress, data: str) -> None:
    progress.append("lesson.opened", lesson="canary")
    change(progress, f"update event set data = '{data}' where seq = 1")
    with pytest.raises(LabError, match="event 1 of the progress file is damaged"):
        progress.projection()
