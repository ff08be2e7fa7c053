"""Durability: an SQLite database in WAL mode that remembers what the store holds.

Memory is the truth while the server runs; the journal collects the writes of one turn of the event loop and commits
them as one transaction. ``synchronous=NORMAL`` survives a killed process; only a power loss may cost the last writes,
which is right for a lab.
"""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import orjson

from meshlab.minicluster.apiserver.store import FIRST_REVISION, Key, Record, Store

REVISION_GAP = 1000
"""Skipped at every start: a crash may have lost the last turn's writes, whose versions some client has already seen."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS object (
    collection TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL, body BLOB NOT NULL,
    PRIMARY KEY (collection, namespace, name)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS revision (one INTEGER PRIMARY KEY CHECK (one = 1), value INTEGER NOT NULL);
"""


class SqliteJournal:
    """The journal of one lab.

    Args:
        path: the database file; made when it is not there.
    """

    def __init__(self, path: Path) -> None:
        self._database = sqlite3.connect(path, isolation_level=None)
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute("PRAGMA synchronous=NORMAL")
        self._database.executescript(_SCHEMA)
        self._puts: dict[tuple[str, str, str], bytes | None] = {}
        self._revision = 0
        self._scheduled = False

    def open_store(self) -> Store:
        """A store that holds what was kept and that journals here from now on."""
        row = self._database.execute("SELECT value FROM revision").fetchone()
        store = Store(self, row[0] + REVISION_GAP if row else FIRST_REVISION)
        rows = self._database.execute("SELECT collection, namespace, name, body FROM object ORDER BY 1, 2, 3")
        for collection, namespace, name, body in rows:
            store.load(collection, (namespace, name), orjson.loads(body))
        return store

    def put(self, collection: str, key: Key, record: Record) -> None:
        """Remember an object at the end of this turn of the loop."""
        body = record.raw(record.obj["apiVersion"])
        self._write((collection, *key), body, record.revision)

    def delete(self, collection: str, key: Key, revision: int) -> None:
        """Forget an object at the end of this turn of the loop."""
        self._write((collection, *key), None, revision)

    def _write(self, key: tuple[str, str, str], body: bytes | None, revision: int) -> None:
        self._puts[key] = body
        self._revision = revision
        if not self._scheduled:
            try:
                asyncio.get_running_loop().call_soon(self.flush)
            except RuntimeError:  # no loop runs: a test, or the bootstrap of a store
                self.flush()
                return
            self._scheduled = True

    def flush(self) -> None:
        """Commit what was collected."""
        self._scheduled = False
        if not self._puts:
            return
        pending, self._puts = self._puts, {}
        execute = self._database.execute
        execute("BEGIN")
        for (collection, namespace, name), body in pending.items():
            if body is None:
                execute(
                    "DELETE FROM object WHERE collection=? AND namespace=? AND name=?", (collection, namespace, name)
                )
            else:
                execute("INSERT OR REPLACE INTO object VALUES (?, ?, ?, ?)", (collection, namespace, name, body))
        execute("INSERT OR REPLACE INTO revision VALUES (1, ?)", (self._revision,))
        execute("COMMIT")

    def close(self) -> None:
        """Commit and let the database go."""
        self.flush()
        self._database.close()
