"""What the server holds, and what each command does with it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

from meshlab.minicluster.images.mongodb.bson import DateTime, Document, Int64, ObjectId
from meshlab.minicluster.images.mongodb.wire import MAX_MESSAGE

VERSION = "5.0.31"
WIRE_VERSION = 13
"""What a driver takes for 5.0."""

_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "$eq": lambda found, wanted: found == wanted,
    "$ne": lambda found, wanted: found != wanted,
    "$gt": lambda found, wanted: found is not None and found > wanted,
    "$gte": lambda found, wanted: found is not None and found >= wanted,
    "$lt": lambda found, wanted: found is not None and found < wanted,
    "$lte": lambda found, wanted: found is not None and found <= wanted,
    "$in": lambda found, wanted: found in wanted,
}


class CommandFailed(Exception):
    """A command that is refused.

    Args:
        code: MongoDB's number of the error.
        name: its name.
        message: what is wrong.
    """

    def __init__(self, code: int, name: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.name = name


class Store:
    """Databases with collections of documents, in memory."""

    def __init__(self) -> None:
        self.databases: dict[str, dict[str, list[Document]]] = defaultdict(dict)
        self._commands: dict[str, Callable[[str, Document, Document], Document]] = {
            "hello": self._hello,
            "ismaster": self._hello,
            "ping": lambda *_: {},
            "buildinfo": lambda *_: {"version": VERSION, "versionArray": [5, 0, 31, 0], "maxBsonObjectSize": 16777216},
            "endsessions": lambda *_: {},
            "killcursors": lambda *_: {},
            "find": self._find,
            "count": self._count,
            "insert": self._insert,
            "update": self._update,
            "delete": self._delete,
            "drop": self._drop,
            "listdatabases": self._list_databases,
            "listcollections": self._list_collections,
        }

    def run(self, command: Document, now_ms: int) -> Document:
        """The reply to a command; one that is refused is answered as the server would."""
        name = next(iter(command), "")
        handler = self._commands.get(name.lower())
        database = str(command.get("$db") or "test")
        try:
            if handler is None:
                raise CommandFailed(59, "CommandNotFound", f"no such command: '{name}'")
            reply = handler(database, command, {"target": command[name], "now": DateTime(now_ms)})
        except CommandFailed as error:
            return {"ok": 0.0, "errmsg": str(error), "code": error.code, "codeName": error.name}
        return {**reply, "ok": 1.0}

    def _hello(self, database: str, command: Document, context: Document) -> Document:
        return {
            "helloOk": True,
            "ismaster": True,
            "isWritablePrimary": True,
            "maxBsonObjectSize": 16777216,
            "maxMessageSizeBytes": MAX_MESSAGE,
            "maxWriteBatchSize": 100000,
            "localTime": context["now"],
            "logicalSessionTimeoutMinutes": 30,
            "connectionId": 1,
            "minWireVersion": 0,
            "maxWireVersion": WIRE_VERSION,
            "readOnly": False,
        }

    def _find(self, database: str, command: Document, context: Document) -> Document:
        name = str(context["target"])
        found = [document for document in self._collection(database, name) if _matches(document, command.get("filter"))]
        begin = int(command.get("skip") or 0)
        limit = abs(int(command.get("limit") or 0)) or len(found)
        batch = found[begin : begin + limit]
        return {"cursor": {"firstBatch": batch, "id": Int64(0), "ns": f"{database}.{name}"}}

    def _count(self, database: str, command: Document, context: Document) -> Document:
        documents = self._collection(database, str(context["target"]))
        return {"n": sum(_matches(document, command.get("query")) for document in documents)}

    def _insert(self, database: str, command: Document, context: Document) -> Document:
        collection = self.databases[database].setdefault(str(context["target"]), [])
        for document in command.get("documents") or ():
            collection.append(document if "_id" in document else {"_id": ObjectId.new(), **document})
        return {"n": len(command.get("documents") or ())}

    def _update(self, database: str, command: Document, context: Document) -> Document:
        collection = self._collection(database, str(context["target"]))
        matched = 0
        for update in command.get("updates") or ():
            change = update.get("u") or {}
            if unknown := [name for name in change if name.startswith("$") and name != "$set"]:
                raise CommandFailed(9, "FailedToParse", f"Unknown modifier: {unknown[0]}")
            for document in _selected(collection, update.get("q"), every=bool(update.get("multi"))):
                matched += 1
                if "$set" in change:
                    document.update(change["$set"])
                else:
                    kept = document["_id"]
                    document.clear()
                    document.update({"_id": kept, **change})
        return {"n": matched, "nModified": matched}

    def _delete(self, database: str, command: Document, context: Document) -> Document:
        collection = self._collection(database, str(context["target"]))
        removed = 0
        for deletion in command.get("deletes") or ():
            for document in list(_selected(collection, deletion.get("q"), every=not deletion.get("limit"))):
                collection.remove(document)
                removed += 1
        return {"n": removed}

    def _drop(self, database: str, command: Document, context: Document) -> Document:
        if self.databases[database].pop(str(context["target"]), None) is None:
            raise CommandFailed(26, "NamespaceNotFound", "ns not found")
        return {"ns": f"{database}.{context['target']}"}

    def _list_databases(self, database: str, command: Document, context: Document) -> Document:
        return {"databases": [{"name": name, "empty": not held} for name, held in sorted(self.databases.items())]}

    def _list_collections(self, database: str, command: Document, context: Document) -> Document:
        names = sorted(self.databases[database])
        batch = [{"name": name, "type": "collection", "options": {}, "info": {"readOnly": False}} for name in names]
        return {"cursor": {"firstBatch": batch, "id": Int64(0), "ns": f"{database}.$cmd.listCollections"}}

    def _collection(self, database: str, name: str) -> list[Document]:
        return self.databases[database].get(name, [])


def _selected(collection: list[Document], query: Document | None, *, every: bool) -> Iterator[Document]:
    for document in collection:
        if _matches(document, query):
            yield document
            if not every:
                return


def _matches(document: Document, query: Document | None) -> bool:
    return all(_fits(document.get(name), wanted, name) for name, wanted in (query or {}).items())


def _fits(found: Any, wanted: Any, name: str) -> bool:
    if name.startswith("$"):
        raise CommandFailed(2, "BadValue", f"unknown top level operator: {name}")
    if not isinstance(wanted, dict) or not any(key.startswith("$") for key in wanted):
        return bool(found == wanted)
    for operator, value in wanted.items():
        compare = _OPERATORS.get(operator)
        if compare is None:
            raise CommandFailed(2, "BadValue", f"unknown operator: {operator}")
        try:
            if not compare(found, value):
                return False
        except TypeError:
            # Values of different types are not ordered here; MongoDB's comparison order has no match either.
            return False
    return True
