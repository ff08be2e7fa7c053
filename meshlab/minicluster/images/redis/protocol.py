"""RESP2, the protocol of Redis (redis.io, "Redis serialization protocol specification"): reading and writing values."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

Value = str | int | None | list["Value"] | Exception
"""A reply: a string, a number, nothing, several, or an error."""

LONGEST = 512 * 1024 * 1024


class Status(str):
    """A simple string such as ``OK``."""


class RedisError(Exception):
    """An error reply; its text begins with a code such as ``ERR``."""


class ProtocolError(Exception):
    """What came is not RESP."""


def encode(value: Value) -> bytes:
    """A reply as bytes."""
    if isinstance(value, Status):
        return f"+{value}\r\n".encode()
    if isinstance(value, Exception):
        return f"-{value}\r\n".encode()
    if isinstance(value, int):
        return f":{value}\r\n".encode()
    if value is None:
        return b"$-1\r\n"
    if isinstance(value, list):
        return f"*{len(value)}\r\n".encode() + b"".join(encode(item) for item in value)
    data = value.encode("utf-8", "surrogateescape")
    return b"$%d\r\n%s\r\n" % (len(data), data)


def encode_command(words: Sequence[str]) -> bytes:
    """A command as bytes."""
    return encode(list(words))


async def read_value(reader: asyncio.StreamReader) -> Value:
    """The next value.

    Raises:
        ProtocolError: it is none.
        asyncio.IncompleteReadError: the connection ended.
    """
    line = (await reader.readuntil(b"\n")).rstrip(b"\r\n")
    kind, rest = line[:1], line[1:].decode("utf-8", "surrogateescape")
    match kind:
        case b"+":
            return Status(rest)
        case b"-":
            return RedisError(rest)
        case b":":
            return _number(rest)
        case b"$":
            length = _number(rest)
            if length < 0:
                return None
            data = await reader.readexactly(min(length, LONGEST) + 2)
            return data[:-2].decode("utf-8", "surrogateescape")
        case b"*":
            return [await read_value(reader) for _ in range(_number(rest))]
    raise ProtocolError("ERR Protocol error: unexpected byte")


async def read_command(reader: asyncio.StreamReader) -> list[str]:
    """The next command: an array of strings, or words on one line as a person types them; empty for an empty line.

    Raises:
        ProtocolError: it is none.
        asyncio.IncompleteReadError: the connection ended.
    """
    first = await reader.readexactly(1)
    if first != b"*":
        line = first + await reader.readuntil(b"\n") if first != b"\n" else b""
        return line.decode("utf-8", "surrogateescape").split()
    count = _number((await reader.readuntil(b"\n")).decode().strip())
    words = [await read_value(reader) for _ in range(count)]
    if not all(isinstance(word, str) for word in words):
        raise ProtocolError("ERR Protocol error: expected '$'")
    return [str(word) for word in words]


def _number(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ProtocolError("ERR Protocol error: invalid length") from None
