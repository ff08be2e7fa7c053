"""Keys with their values and ends, and the commands on them. Pure but for the clock."""

from __future__ import annotations

import fnmatch
import time
from collections.abc import Callable

from meshlab.minicluster.images.redis.protocol import RedisError, Status, Value

OK = Status("OK")
NOT_A_NUMBER = "ERR value is not an integer or out of range"
SYNTAX = "ERR syntax error"
VERSION = "7.4.2"


class Store:
    """One data base.

    Args:
        clock: seconds since the epoch.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._values: dict[str, str] = {}
        self._ends: dict[str, float] = {}
        self._commands: dict[str, tuple[int, Callable[[list[str]], Value]]] = {
            "PING": (0, lambda words: words[0] if words else Status("PONG")),
            "ECHO": (1, lambda words: words[0]),
            "SELECT": (1, lambda words: OK),
            "CLIENT": (1, lambda words: OK),
            "COMMAND": (0, lambda words: []),
            "INFO": (0, lambda words: f"# Server\r\nredis_version:{VERSION}\r\n"),
            "GET": (1, lambda words: self._get(words[0])),
            "SET": (2, self._set),
            "DEL": (1, lambda words: sum(self._delete(key) for key in words)),
            "EXISTS": (1, lambda words: sum(self._get(key) is not None for key in words)),
            "INCR": (1, lambda words: self._add(words[0], 1)),
            "DECR": (1, lambda words: self._add(words[0], -1)),
            "INCRBY": (2, lambda words: self._add(words[0], _number(words[1]))),
            "DECRBY": (2, lambda words: self._add(words[0], -_number(words[1]))),
            "EXPIRE": (2, lambda words: self._expire(words[0], _number(words[1]))),
            "PEXPIRE": (2, lambda words: self._expire(words[0], _number(words[1]) / 1000)),
            "PERSIST": (1, lambda words: int(self._ends.pop(words[0], None) is not None)),
            "TTL": (1, lambda words: self._remaining(words[0], 1)),
            "PTTL": (1, lambda words: self._remaining(words[0], 1000)),
            "KEYS": (1, lambda words: [key for key in self._keys() if fnmatch.fnmatchcase(key, words[0])]),
            "DBSIZE": (0, lambda words: len(self._keys())),
            "FLUSHALL": (0, lambda words: self._flush()),
            "FLUSHDB": (0, lambda words: self._flush()),
        }

    def run(self, words: list[str]) -> Value:
        """The reply to a command."""
        name, arguments = words[0].upper(), words[1:]
        command = self._commands.get(name)
        if command is None:
            shown = " ".join(f"'{word}'" for word in arguments)
            return RedisError(f"ERR unknown command '{words[0]}', with args beginning with: {shown} ".rstrip(" "))
        least, work = command
        if len(arguments) < least:
            return RedisError(f"ERR wrong number of arguments for '{name.lower()}' command")
        try:
            return work(arguments)
        except RedisError as error:
            return error

    def _alive(self, key: str) -> bool:
        if self._ends.get(key, float("inf")) <= self._clock():
            self._delete(key)
        return key in self._values

    def _keys(self) -> list[str]:
        return [key for key in list(self._values) if self._alive(key)]

    def _get(self, key: str) -> str | None:
        return self._values[key] if self._alive(key) else None

    def _delete(self, key: str) -> int:
        self._ends.pop(key, None)
        return int(self._values.pop(key, None) is not None)

    def _flush(self) -> Value:
        self._values.clear()
        self._ends.clear()
        return OK

    def _set(self, words: list[str]) -> Value:
        key, value, *options = words
        end: float | None = None
        while options:
            option = options.pop(0).upper()
            if option in ("NX", "XX"):
                if self._alive(key) == (option == "NX"):
                    return None
            elif option in ("EX", "PX") and options:
                end = self._clock() + _number(options.pop(0)) / (1 if option == "EX" else 1000)
            elif option != "KEEPTTL":
                raise RedisError(SYNTAX)
        self._values[key] = value
        self._ends.pop(key, None)
        if end is not None:
            self._ends[key] = end
        return OK

    def _add(self, key: str, amount: int) -> int:
        found = _number(self._get(key) or "0") + amount
        self._values[key] = str(found)
        return found

    def _expire(self, key: str, seconds: float) -> int:
        if not self._alive(key):
            return 0
        self._ends[key] = self._clock() + seconds
        return 1

    def _remaining(self, key: str, per_second: int) -> int:
        if not self._alive(key):
            return -2
        end = self._ends.get(key)
        return -1 if end is None else round((end - self._clock()) * per_second)


def _number(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise RedisError(NOT_A_NUMBER) from None
