"""Progress: an append-only table of events in a local SQLite file, and what is projected from it.

Each event carries the hash of the one before, and the newest one's is kept apart, so a line that was removed or
changed is noticed. State, board and reports are projections; nothing else is a source of truth.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import platformdirs

from meshlab.course.ids import Moment, new_ulid, now, short_id
from meshlab.course.progressfile import ProgressFile
from meshlab.course.projection import Projection, active_ms
from meshlab.errors import LabError

CLOCK_TOLERANCE_MS = 30_000
"""A wall clock that is put right by less is no change worth a record."""
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
        course: gives ``id@version#digest``, which is asked for with the first event: it takes reading all files.
        clock: what time it is.

    Raises:
        LabError: the file cannot be used; the message says why. So may every method.
    """

    def __init__(
        self,
        path: Path | None = None,
        *,
        lab: str = "",
        course: Callable[[], str] = str,
        clock: Callable[[], Moment] = now,
    ) -> None:
        self.path = path or platformdirs.user_data_path("meshlab", appauthor=False) / "progress.db"
        self.lab = lab
        self._course = course
        self._clock = clock
        self._db = ProgressFile(self.path)
        self._projection = Projection()
        self._identify()

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def append(self, kind: str, *, attempt: str = "", exercise: str = "", task: str = "", **data: Any) -> Event:
        """Append one event; two programs may do so at once.

        When the wall clock moved against the steady one since the last event, a ``clock.changed`` comes before it.
        """
        with self._db.writing():
            last, moment = self._last(), self._clock()
            jump_ms = _jump_ms(last.record, moment) if last else 0
            if abs(jump_ms) > CLOCK_TOLERANCE_MS:
                last = self._write(last, moment, "clock.changed", "", "", "", {"jump_ms": jump_ms})
            return self._write(last, moment, kind, attempt, exercise, task, data)

    def _write(
        self,
        last: Event | None,
        moment: Moment,
        kind: str,
        attempt: str,
        exercise: str,
        task: str,
        data: dict[str, Any],
    ) -> Event:
        record = {
            "v": 1,
            "id": new_ulid(),
            "seq": last.record["seq"] + 1 if last else 1,
            "prev": last.digest if last else GENESIS,
            "at": moment.at,
            "mono_ms": moment.mono_ms,
            "boot": moment.boot,
            "learner": self.learner,
            "lab": self.lab,
            "course": self._course(),
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
        return event

    def events(self, *, exercise: str | None = None) -> list[Event]:
        """All events in order, or those of one exercise."""
        where, values = ("where exercise = ?", [exercise]) if exercise else ("", [])
        rows = self._db.rows(f"select {','.join(_EVENT_COLUMNS)} from event {where} order by seq", values)
        return [_event(row) for row in rows]

    def verify(self) -> int | None:
        """The sequence number of the first event that does not continue the one before it, None if all do.

        If the newest events were changed or removed, that is the number of the event that would come next.
        """
        previous, expected = GENESIS, 1
        with self._db.snapshot():
            events = self.events()
            head = self._db.row("select value from installation where name = 'head'")
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
                self._clock().at,
            ),
        )

    def close_attempt(self, attempt: str, *, exercise: str = "", why: str = "removed") -> None:
        """Record that an attempt ended, and why (once).

        Args:
            attempt: its id.
            exercise: the exercise's id.
            why: ``removed`` by the learner, or ``superseded`` by another attempt because its lab is gone.
        """
        done = self._db.execute(
            "update attempt set closed_at = ? where id = ? and closed_at is null", (self._clock().at, attempt)
        )
        if done.rowcount:
            self.append("attempt.closed", attempt=attempt, exercise=exercise, why=why)

    def attempts(self, exercise: str) -> list[dict[str, Any]]:
        """The attempts at an exercise as records leave the machine, oldest first."""
        columns = "id, learner, exercise, exercise_version, round, vars, mode, trust, started_at, closed_at"
        names = ("attempt", *columns.split(", ")[1:])
        rows = self._db.rows(f"select {columns} from attempt where exercise = ? order by rowid", (exercise,))
        found = []
        for row in rows:
            record: dict[str, Any] = {"v": 1, **dict(zip(names, row, strict=True))}
            events = [event.record for event in self.events(exercise=exercise) if event.record["attempt"] == row[0]]
            tiers: dict[str, int] = {}
            for event in events:
                if event["kind"] == "hint.taken":
                    tiers[event["task"]] = max(tiers.get(event["task"], 0), event["data"]["tier"])
            kinds = [event["kind"] for event in events]
            found.append(
                record
                | {
                    "vars": json.loads(record["vars"]),
                    "active_s": active_ms([(event["boot"], event["mono_ms"]) for event in events]) // 1000,
                    "resets": kinds.count("exercise.reset"),
                    "hints": tiers,
                    "solution_seen": "solution.shown" in kinds,
                }
            )
        return found

    def export(self) -> Iterator[str]:
        """Every event as one line of JSON, oldest first: what leaves the machine, and only when asked for."""
        for event in self.events():
            yield json.dumps(event.record, sort_keys=True)

    def erase(self) -> None:
        """Delete everything that is recorded; what comes later is by a new learner, with new draws."""
        self._db.empty()
        self._projection = Projection()
        self._identify()

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
        row = self._db.row("select body from evidence where id = ?", (content_id,))
        return json.loads(row[0]) if row else None

    def hints_taken(self, attempt: str, task: str) -> int:
        """How many tiers of hints this attempt has seen for a task."""
        rows = self._db.rows(
            "select data from event where kind = 'hint.taken' and attempt = ? and task = ?", (attempt, task)
        )
        return max((json.loads(row[0])["tier"] for row in rows), default=0)

    def tried(self, attempt: str) -> bool:
        """Whether this attempt has been checked at least once."""
        row = self._db.row("select 1 from event where kind = 'check.ran' and attempt = ? limit 1", (attempt,))
        return row is not None

    def projection(self) -> Projection:
        """What all events say; brought up to date with what was appended since the last call, here or elsewhere."""
        known = self._projection
        if known.seq:
            row = self._db.row("select id from event where seq = ?", (known.seq,))
            if row is None or row[0] != known.last_id:
                known = self._projection = Projection()
        rows = self._db.rows(
            "select seq, id, at, mono_ms, boot, kind, exercise, task, data from event where seq > ? order by seq",
            (known.seq,),
        )
        for row in rows:
            try:
                known.apply(row)
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                raise _damaged(row[0]) from error
        return known

    def summary(self) -> list[dict[str, Any]]:
        """Per exercise: attempts, whether it was done, the last verdict of each task, hints, time stamps."""
        return [record.to_json() for record in self.projection().exercises.values()]

    def next_round(self, exercise: str) -> int:
        """The round of an exercise's next attempt, which decides what is drawn for it."""
        row = self._db.row("select count(*) from event where kind = 'exercise.started' and exercise = ?", (exercise,))
        return int(row[0]) + 1 if row else 1

    def open_attempt_of(self, exercise: str) -> OpenAttempt | None:
        """The attempt that is under way, as far as this file knows; one in another lab is not meant."""
        row = self._db.row(
            """select id, round, vars from attempt where exercise = ? and closed_at is null and not exists
            (select 1 from event where event.attempt = attempt.id and lab <> ? and ? <> '')
            order by rowid desc limit 1""",
            (exercise, self.lab, self.lab),
        )
        return OpenAttempt(row[0], row[1], json.loads(row[2])) if row else None

    def _identify(self) -> None:
        self.learner = self._setting("learner", lambda: short_id("r"))
        self.course_key = bytes.fromhex(self._setting("course_key", lambda: secrets.token_hex(32)))

    def _last(self) -> Event | None:
        row = self._db.row(f"select {','.join(_EVENT_COLUMNS)} from event order by seq desc limit 1")
        return _event(row) if row else None

    def _setting(self, name: str, make: Any) -> str:
        query = "select value from installation where name = ?"
        if self._db.row(query, (name,)) is None:
            # Another program may be first: whoever it was, both read what stands there.
            self._db.execute("insert or ignore into installation values (?, ?)", (name, make()))
        row = self._db.row(query, (name,))
        return str(row[0]) if row else ""


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


def _event(row: tuple[Any, ...]) -> Event:
    record = {"v": 1, **dict(zip(_EVENT_COLUMNS, row, strict=True))}
    try:
        record["data"] = json.loads(record["data"])
    except (TypeError, ValueError) as error:
        raise _damaged(record["seq"]) from error
    return Event(record)


def _damaged(seq: int) -> LabError:
    return LabError(
        f"event {seq} of the progress file is damaged: its data is not what its kind needs",
        hint="move the file away (meshlab data path says where it is); meshlab begins a new one",
    )


def _jump_ms(last: Mapping[str, Any], moment: Moment) -> int:
    """How far the wall clock moved against the steady one since an event; 0 where that cannot be known."""
    if last["boot"] != moment.boot:
        return 0
    try:
        walked = datetime.fromisoformat(moment.at) - datetime.fromisoformat(last["at"])
    except (TypeError, ValueError):
        return 0
    return round(walked / timedelta(milliseconds=1)) - moment.mono_ms + int(last["mono_ms"])
