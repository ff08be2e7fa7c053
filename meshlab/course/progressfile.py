"""The SQLite file under a learner's progress: its tables, its version, and its errors in words.

The four tables are those of the record format, version 1; ``installation`` holds what belongs to this file alone (who
the learner is, the key of the draws, the hash of the newest event). A later version may add tables and columns: it
raises ``user_version``, and this one refuses a file that it does not know.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from meshlab.errors import LabError

VERSION = 1

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
create index if not exists verdict_attempt on verdict (attempt);
"""
TABLES = ("event", "attempt", "verdict", "evidence", "installation")


class ProgressFile:
    """An open progress file.

    Args:
        path: where it lies; it is made if it is absent.

    Raises:
        LabError: it cannot be opened, is no progress file, or was written by a newer meshlab.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._db = sqlite3.connect(path, timeout=10, isolation_level=None)
        except (OSError, sqlite3.Error) as error:
            raise self._unusable(error) from error
        try:
            self._prepare()
        except BaseException as error:
            self._db.close()
            if isinstance(error, sqlite3.Error):
                raise self._unusable(error) from error
            raise

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def execute(self, statement: str, values: Sequence[Any] = ()) -> sqlite3.Cursor:
        """Run one statement.

        Raises:
            LabError: the file is locked, damaged or gone.
        """
        try:
            return self._db.execute(statement, values)
        except sqlite3.Error as error:
            raise self._unusable(error) from error

    def rows(self, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """All rows of a query.

        Raises:
            LabError: as `execute`; damage may show only while rows are read.
        """
        try:
            return self._db.execute(statement, values).fetchall()
        except sqlite3.Error as error:
            raise self._unusable(error) from error

    def row(self, statement: str, values: Sequence[Any] = ()) -> tuple[Any, ...] | None:
        """The first row of a query."""
        return next(iter(self.rows(statement, values)), None)

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """One transaction that no other writer comes between; undone if it fails."""
        self.execute("begin immediate")
        try:
            yield
            self.execute("commit")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                self._db.execute("rollback")
            raise

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[None]:
        """One moment to read at, whatever others write."""
        self.execute("begin")
        try:
            yield
        finally:
            with contextlib.suppress(sqlite3.Error):
                self._db.execute("rollback")

    def empty(self) -> None:
        """Delete every row of every table, also from the pages of the file."""
        self.execute("pragma secure_delete = on")
        with self.writing():
            for table in TABLES:
                self.execute(f"delete from {table}")
        self.execute("vacuum")

    def _prepare(self) -> None:
        version = self._db.execute("pragma user_version").fetchone()[0]
        if version > VERSION:
            raise LabError(
                f"{self.path} was written by a newer meshlab (version {version} of the file, this one knows {VERSION})",
                title="The progress file is newer",
                hint="update meshlab, or set XDG_DATA_HOME to another directory; the file was not touched",
            )
        if version == VERSION:
            return
        # Immediate, so that two programs that open a new file at once wait for each other instead of failing.
        self._db.executescript(f"begin immediate;{_TABLES}pragma user_version = {VERSION};commit;")

    def _unusable(self, error: Exception) -> LabError:
        damaged = isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError)
        hint = "set XDG_DATA_HOME to a directory of your own"
        if damaged:
            hint = f"it was not touched; move it away (mv {self.path} {self.path}.bad) and meshlab begins a new one"
        return LabError(f"progress cannot be kept in {self.path}: {error}", hint=hint)
