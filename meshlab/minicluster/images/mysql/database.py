"""Statements, run by SQLite in memory: what it has in common with MySQL, and the questions that clients ask first."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

VERSION = "8.0.40"
DATABASES = ("information_schema", "mysql", "performance_schema", "sys", "test")

_VARIABLES: dict[str, Any] = {
    "version": VERSION,
    "version_comment": "MySQL Community Server - GPL",
    "autocommit": 1,
    "max_allowed_packet": 67108864,
    "character_set_client": "utf8mb4",
    "collation_connection": "utf8mb4_0900_ai_ci",
    "sql_mode": "ONLY_FULL_GROUP_BY,STRICT_TRANS_TABLES",
    "time_zone": "SYSTEM",
    "transaction_isolation": "REPEATABLE-READ",
}
_FORBIDDEN = frozenset({sqlite3.SQLITE_ATTACH, sqlite3.SQLITE_DETACH, sqlite3.SQLITE_PRAGMA})
_NO_ROWS = re.compile(r"(?is)\s*(set|begin|start\s+transaction|commit|rollback|flush|unlock|lock)\b")
_USE = re.compile(r"(?is)\s*use\s+`?(\w+)`?\s*")
_SHOW = re.compile(r"(?is)\s*show\s+(databases|tables)\s*")
_SYSTEM = re.compile(r"(?i)@@(?:session\.|global\.)?(\w+)")
_MISSING_TABLE = re.compile(r"no such table: (\S+)")
_MISSING_COLUMN = re.compile(r"no such column: (\S+)")


class StatementError(Exception):
    """A statement that is refused.

    Args:
        code: MySQL's number of the error.
        state: its SQLSTATE.
        message: what is wrong.
    """

    def __init__(self, code: int, state: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.state = state


@dataclass(frozen=True, slots=True)
class Result:
    """What a statement gave.

    Attributes:
        columns: their names; None if it gives no rows.
        rows: the rows.
        affected: how many rows were changed.
    """

    columns: Sequence[str] | None = None
    rows: Sequence[Sequence[Any]] = ()
    affected: int = 0


class Database:
    """The database ``test``; statements come from untrusted clients, so that SQLite's own files stay out of reach."""

    def __init__(self) -> None:
        self._connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        self._connection.execute("CREATE TABLE ratings (ReviewID INT NOT NULL, Rating INT, PRIMARY KEY (ReviewID))")
        self._connection.execute("INSERT INTO ratings VALUES (1, 5), (2, 4)")
        self._connection.set_authorizer(
            lambda action, *_: sqlite3.SQLITE_DENY if action in _FORBIDDEN else sqlite3.SQLITE_OK
        )

    def run(self, statement: str) -> Result:
        """Run a statement.

        Raises:
            StatementError: it is refused.
        """
        statement = statement.strip().rstrip(";")
        if not statement:
            raise StatementError(1065, "42000", "Query was empty")
        if _NO_ROWS.match(statement):
            return Result()
        if used := _USE.fullmatch(statement):
            use(used[1])
            return Result()
        if shown := _SHOW.fullmatch(statement):
            return self._show(shown[1].lower())
        try:
            cursor = self._connection.execute(_SYSTEM.sub(_variable, statement))
            rows = cursor.fetchall()
        except sqlite3.Error as error:
            raise _explained(error, statement) from error
        if cursor.description is None:
            return Result(affected=max(0, cursor.rowcount))
        # A column that was asked for as a variable has the variable's name.
        asked = [f"@@{name}" for name in _SYSTEM.findall(statement)]
        columns = [str(column[0]) for column in cursor.description]
        return Result(asked if len(asked) == len(columns) else columns, rows)

    def _show(self, what: str) -> Result:
        if what == "databases":
            return Result(["Database"], [[name] for name in DATABASES])
        tables = self._connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
        return Result(["Tables_in_test"], tables.fetchall())


def use(name: str) -> None:
    """Choose a database.

    Raises:
        StatementError: there is none of that name.
    """
    if name not in DATABASES:
        raise StatementError(1049, "42000", f"Unknown database '{name}'")


def _variable(match: re.Match[str]) -> str:
    name = match[1].lower()
    if name not in _VARIABLES:
        raise StatementError(1193, "HY000", f"Unknown system variable '{match[1]}'")
    value = _VARIABLES[name]
    return str(value) if isinstance(value, int) else f"'{value}'"


def _explained(error: sqlite3.Error, statement: str) -> StatementError:
    text = str(error)
    if missing := _MISSING_TABLE.search(text):
        return StatementError(1146, "42S02", f"Table 'test.{missing[1].rpartition('.')[2]}' doesn't exist")
    if missing := _MISSING_COLUMN.search(text):
        return StatementError(1054, "42S22", f"Unknown column '{missing[1]}' in 'field list'")
    if "UNIQUE constraint" in text:
        return StatementError(1062, "23000", f"Duplicate entry: {text}")
    if "syntax error" in text:
        near = statement[:80]
        return StatementError(
            1064,
            "42000",
            "You have an error in your SQL syntax; check the manual that corresponds to your MySQL server version for "
            f"the right syntax to use near '{near}' at line 1",
        )
    return StatementError(1105, "HY000", f"{text} (this lab runs statements with SQLite)")
