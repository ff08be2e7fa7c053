"""Progress: an append-only table of events in a local SQLite file, and what is projected from it.

Each event carries the hash of the one before, and the newest one's is kept apart, so a line that was removed or
changed is noticed. State, board and
reports are projections; nothing else is a source of truth. Tables are those of the course format (records, version
1), so that a roster and regrading fit later without a migration.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import sqlite3
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import platformdirs

from meshlab.course.ids import new_ulid, short_id, timestamp
from meshlab.course.projection import Projection
from meshlab.errors import LabError

_TABLES = """
create table if not exists event (seq integer primary key, id text unique, prev text, at text, mono_ms integer, boot
text,
  learner text, lab text, course text, kind text, attempt text, exercise text, task text, data text);
create table if not exists attempt (id text primary key, learner text, exercise text, exercise_version integer,
  round integer, vars text, mode text, trust text, started_at text, closed_at text);
create table if not exists verdict (id text primary key, attempt text, run text, task text, verdict text, code text,
  rung text, blame text, earned real, possible real, asked_at text, decided_at text, body text);
create table if not exists evidence (id text primary key, kind text, taken_from text, taken_to text, bytes integer,
  body blob);
create table if not exists installation (name text primary key, value text);
create index if not exists event_exercise on event (exercise, kind);
create index if not exists event_attempt on event (attempt, kind);
create index if not exists attempt_exercise on attempt (exercise);
"""

GENESIS = "sha256:" + "0" * 64


@dataclass(frozen=True, slots=True)
class Event:
    """One row of the event table, as JSON leaves the machine."""

    record: dict[str, Any]

    @property
    def digest(self) -> str:
        """The hash by which the next event refers to this one."""
        canonical = json.dumps(self.record, sort_keys=True, separators=(",", ":"))
        return "sha256:" + hashlib.sha256(canonical.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class OpenAttempt:
    """An attempt that was started and not closed."""

    id: str
    round: int
    variables: Mapping[str, str]


class Progress:
    """The progress file of this user.

    Args:
        path: the SQLite file; by default under the user's data directory.
        lab: which lab or cluster the events speak of.
        course: ``id@version#digest``.
    """

    def __init__(self, path: Path | None = None, *, lab: str = "", course: str = "") -> None:
        self.path = path or platformdirs.user_data_path("meshlab", appauthor=False) / "progress.db"
        self.lab = lab
        self.course = course
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._db = _open(self.path)
        except (OSError, sqlite3.Error) as error:
            raise LabError(
                f"progress cannot be kept in {self.path}: {error}", hint="set XDG_DATA_HOME to a directory of your own"
            ) from error
        self._projection = Projection()
        self.learner = self._setting("learner", lambda: short_id("r"))
        self.course_key = bytes.fromhex(self._setting("course_key", lambda: secrets.token_hex(32)))

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def append(self, kind: str, *, attempt: str = "", exercise: str = "", task: str = "", **data: Any) -> Event:
        """Append one event; two programs may do so at once."""
        self._db.execute("begin immediate")
        try:
            last = self._last()
            record = {
                "v": 1,
                "id": new_ulid(),
                "seq": last.record["seq"] + 1 if last else 1,
                "prev": last.digest if last else GENESIS,
                "at": timestamp(),
                "mono_ms": time.monotonic_ns() // 1_000_000,
                "boot": _boot_id(),
                "learner": self.learner,
                "lab": self.lab,
                "course": self.course,
                "kind": kind,
                "attempt": attempt,
                "exercise": exercise,
                "task": task,
                "data": data,
            }
            values = [record[name] if name != "data" else json.dumps(data, sort_keys=True) for name in _EVENT_COLUMNS]
            self._db.execute(f"insert into event values ({','.join('?' * len(values))})", values)
            event = Event(record)
            self._db.execute("insert or replace into installation values ('head', ?)", (event.digest,))
            self._db.execute("commit")
        except BaseException:
            self._db.execute("rollback")
            raise
        return event

    def events(self, *, exercise: str | None = None) -> list[Event]:
        """All events in order, or those of one exercise."""
        where, values = ("where exercise = ?", [exercise]) if exercise else ("", [])
        rows = self._db.execute(f"select {','.join(_EVENT_COLUMNS)} from event {where} order by seq", values)
        return [_event(row) for row in rows]

    def verify(self) -> int | None:
        """The sequence number of the first event that does not continue the one before it, None if all do.

        If the newest events were changed or removed, that is the number of the event that would come next.
        """
        previous, expected = GENESIS, 1
        self._db.execute("begin")
        try:
            events = self.events()
            head = self._db.execute("select value from installation where name = 'head'").fetchone()
        finally:
            self._db.execute("rollback")
        for event in events:
            if event.record["prev"] != previous:
                return int(event.record["seq"])
            previous, expected = event.digest, event.record["seq"] + 1
        return int(expected) if head and head[0] != previous else None

    def open_attempt(
        self, exercise: str, version: int, round_: int, variables: Mapping[str, str], attempt: str
    ) -> None:
        """Record that an attempt began (once per attempt id)."""
        self._db.execute(
            "insert or ignore into attempt values (?,?,?,?,?,?,?,?,?,null)",
            (
                attempt,
                self.learner,
                exercise,
                version,
                round_,
                json.dumps(dict(variables), sort_keys=True),
                "learn",
                "self",
                timestamp(),
            ),
        )

    def close_attempt(self, attempt: str) -> None:
        """Record that an attempt ended."""
        self._db.execute("update attempt set closed_at = ? where id = ? and closed_at is null", (timestamp(), attempt))

    def add_evidence(self, content_id: str, record: Mapping[str, Any]) -> None:
        """Store evidence by content hash."""
        body = json.dumps(record, sort_keys=True)
        taken = record["taken"]
        self._db.execute(
            "insert or ignore into evidence values (?,?,?,?,?,?)",
            (content_id, record["kind"], taken["from"], taken["to"], len(body), body),
        )

    def add_verdict(self, attempt: str, run: str, record: Mapping[str, Any]) -> None:
        """Store one verdict record."""
        self._db.execute(
            "insert into verdict values (?,?,?,?,?,?,?,?,?,?,?,?,?)",
            (
                new_ulid(),
                attempt,
                run,
                record["task"],
                record["verdict"],
                record["code"],
                record["rung"],
                record["blame"],
                record["points"]["earned"],
                record["points"]["possible"],
                record["asked_at"],
                record["decided_at"],
                json.dumps(record, sort_keys=True),
            ),
        )

    def evidence(self, content_id: str) -> dict[str, Any] | None:
        """Stored evidence, to judge it again."""
        row = self._db.execute("select body from evidence where id = ?", (content_id,)).fetchone()
        return json.loads(row[0]) if row else None

    def hints_taken(self, attempt: str, task: str) -> int:
        """How many tiers of hints this attempt has seen for a task."""
        rows = self._db.execute(
            "select data from event where kind = 'hint.taken' and attempt = ? and task = ?", (attempt, task)
        )
        return max((json.loads(row[0])["tier"] for row in rows), default=0)

    def tried(self, attempt: str) -> bool:
        """Whether this attempt has been checked at least once."""
        row = self._db.execute("select 1 from event where kind = 'check.ran' and attempt = ? limit 1", (attempt,))
        return row.fetchone() is not None

    def projection(self) -> Projection:
        """What all events say; brought up to date with what was appended since the last call, here or elsewhere."""
        known = self._projection
        if known.seq:
            row = self._db.execute("select id from event where seq = ?", (known.seq,)).fetchone()
            if row is None or row[0] != known.last_id:
                known = self._projection = Projection()
        rows = self._db.execute(
            "select seq, id, at, mono_ms, boot, kind, exercise, task, data from event where seq > ? order by seq",
            (known.seq,),
        )
        for row in rows:
            known.apply(row)
        return known

    def summary(self) -> list[dict[str, Any]]:
        """Per exercise: attempts, whether it was done, the last verdict of each task, hints, time stamps."""
        return [record.to_json() for record in self.projection().exercises.values()]

    def next_round(self, exercise: str) -> int:
        """The round of an exercise's next attempt, which decides what is drawn for it."""
        row = self._db.execute(
            "select count(*) from event where kind = 'exercise.started' and exercise = ?", (exercise,)
        ).fetchone()
        return int(row[0]) + 1

    def open_attempt_of(self, exercise: str) -> OpenAttempt | None:
        """The attempt that is under way, as far as this file knows; one in another lab is not meant."""
        row = self._db.execute(
            """select id, round, vars from attempt where exercise = ? and closed_at is null and not exists
            (select 1 from event where event.attempt = attempt.id and
              kind = 'exercise.started' and lab <> ? and ? <> '')
            order by rowid desc limit 1""",
            (exercise, self.lab, self.lab),
        ).fetchone()
        return OpenAttempt(row[0], row[1], json.loads(row[2])) if row else None

    def _last(self) -> Event | None:
        row = self._db.execute(f"select {','.join(_EVENT_COLUMNS)} from event order by seq desc limit 1").fetchone()
        return _event(row) if row else None

    def _setting(self, name: str, make: Any) -> str:
        self._db.execute("insert or ignore into installation values (?, ?)", (name, make()))
        row = self._db.execute("select value from installation where name = ?", (name,)).fetchone()
        return str(row[0])


_EVENT_COLUMNS = (
    "seq",
    "id",
    "prev",
    "at",
    "mono_ms",
    "boot",
    "learner",
    "lab",
    "course",
    "kind",
    "attempt",
    "exercise",
    "task",
    "data",
)


def _open(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, timeout=10, isolation_level=None)
    try:
        # Immediate, so that two programs that open a new file at once wait for each other instead of failing.
        db.executescript(f"begin immediate;{_TABLES}commit;")
    except sqlite3.Error:
        db.close()
        raise
    return db


def _event(row: tuple[Any, ...]) -> Event:
    record = {"v": 1, **dict(zip(_EVENT_COLUMNS, row, strict=True))}
    record["data"] = json.loads(record["data"])
    return Event(record)


def _boot_id() -> str:
    """Which boot ``mono_ms`` counts from; random where the system does not tell."""
    try:
        return "b-" + Path("/proc/sys/kernel/random/boot_id").read_text()[:8]
    except OSError:
        return f"b-{os.getpid():x}"
