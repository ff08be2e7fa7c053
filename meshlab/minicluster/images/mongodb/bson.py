"""BSON: documents as bytes, and back.

Documents are dicts in their order. 64-bit integers stay `Int64`, and object ids `ObjectId`, so that what was stored
comes back as the type that it was.
"""

from __future__ import annotations

import os
import struct
import time
from typing import Any

Document = dict[str, Any]


class BsonError(ValueError):
    """The bytes are no BSON document, or a value has no BSON type."""


class Int64(int):
    """An integer that takes eight bytes."""


class ObjectId(bytes):
    """Twelve bytes: seconds, randomness."""

    @classmethod
    def new(cls) -> ObjectId:
        """One of its own."""
        return cls(struct.pack(">I", int(time.time())) + os.urandom(8))


class DateTime(int):
    """Milliseconds since 1970."""


def encode(document: Document) -> bytes:
    """A document as bytes.

    Raises:
        BsonError: a value that BSON has no type for.
    """
    body = b"".join(_element(name, value) for name, value in document.items())
    return struct.pack("<i", len(body) + 5) + body + b"\0"


def decode(data: bytes, offset: int = 0) -> tuple[Document, int]:
    """The document that begins at an offset, and where it ends.

    Raises:
        BsonError: there is none.
    """
    try:
        (length,) = struct.unpack_from("<i", data, offset)
        end = offset + length - 1
        if length < 5 or end >= len(data) or data[end] != 0:
            raise BsonError("a document has a wrong length")
        document: Document = {}
        position = offset + 4
        while position < end:
            kind = data[position]
            name, position = cstring(data, position + 1)
            document[name], position = _value(kind, data, position)
        return document, end + 1
    except (struct.error, IndexError, UnicodeDecodeError) as error:
        raise BsonError(f"not a document: {error}") from error


def cstring(data: bytes, offset: int) -> tuple[str, int]:
    """The text up to the next zero byte, and where it ends."""
    end = data.find(b"\0", offset)
    if end < 0:
        raise BsonError("a name does not end")
    return data[offset:end].decode(), end + 1


def _element(name: str, value: Any) -> bytes:
    kind, content = _typed(value)
    return bytes([kind]) + name.encode() + b"\0" + content


def _typed(value: Any) -> tuple[int, bytes]:
    match value:
        case None:
            return 0x0A, b""
        case bool():
            return 0x08, bytes([value])
        case DateTime():
            return 0x09, struct.pack("<q", value)
        case int() if isinstance(value, Int64) or not -(2**31) <= value < 2**31:
            return 0x12, struct.pack("<q", value)
        case int():
            return 0x10, struct.pack("<i", value)
        case float():
            return 0x01, struct.pack("<d", value)
        case str():
            text = value.encode()
            return 0x02, struct.pack("<i", len(text) + 1) + text + b"\0"
        case ObjectId():
            return 0x07, bytes(value)
        case bytes():
            return 0x05, struct.pack("<iB", len(value), 0) + value
        case dict():
            return 0x03, encode(value)
        case list():
            return 0x04, encode({str(index): item for index, item in enumerate(value)})
    raise BsonError(f"no BSON type for {type(value).__name__}")


def _value(kind: int, data: bytes, position: int) -> tuple[Any, int]:
    match kind:
        case 0x01:
            return struct.unpack_from("<d", data, position)[0], position + 8
        case 0x02:
            (length,) = struct.unpack_from("<i", data, position)
            return data[position + 4 : position + 3 + length].decode(), position + 4 + length
        case 0x03:
            return decode(data, position)
        case 0x04:
            items, end = decode(data, position)
            return list(items.values()), end
        case 0x05:
            (length,) = struct.unpack_from("<i", data, position)
            return data[position + 5 : position + 5 + length], position + 5 + length
        case 0x07:
            return ObjectId(data[position : position + 12]), position + 12
        case 0x08:
            return bool(data[position]), position + 1
        case 0x09:
            return DateTime(struct.unpack_from("<q", data, position)[0]), position + 8
        case 0x0A:
            return None, position
        case 0x10:
            return struct.unpack_from("<i", data, position)[0], position + 4
        case 0x11 | 0x12:
            return Int64(struct.unpack_from("<q", data, position)[0]), position + 8
    raise BsonError(f"type 0x{kind:02x} is not known here")
