"""Messages: a command goes out as one document, a reply comes back as one.

OP_MSG is what drivers of today speak; OP_QUERY is read too, because the first thing a driver asks may come in it.
"""

from __future__ import annotations

import asyncio
import itertools
import struct
from dataclasses import dataclass

from meshlab.minicluster.images.mongodb.bson import BsonError, Document, cstring, decode, encode

OP_REPLY = 1
OP_QUERY = 2004
OP_MSG = 2013
MAX_MESSAGE = 48_000_000
_HEADER = struct.Struct("<iiii")
_CHECKSUM = 1
_MORE_TO_COME = 2

_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Message:
    """A command or a reply.

    Attributes:
        number: what a reply refers to.
        document: its content; document sequences stand in it under their names.
        is_query: whether it came as OP_QUERY, so that the reply must be an OP_REPLY.
        wants_reply: whether the sender waits for a reply.
    """

    number: int
    document: Document
    is_query: bool = False
    wants_reply: bool = True


async def read_message(reader: asyncio.StreamReader) -> Message:
    """The next message.

    Raises:
        IncompleteReadError: the other side has gone.
        BsonError: it cannot be understood.
    """
    length, number, _, code = _HEADER.unpack(await reader.readexactly(_HEADER.size))
    if not _HEADER.size <= length <= MAX_MESSAGE:
        raise BsonError(f"a message of {length} bytes")
    body = await reader.readexactly(length - _HEADER.size)
    if code == OP_MSG:
        return _message(number, body)
    if code == OP_QUERY:
        collection, position = cstring(body, 4)
        document, _ = decode(body, position + 8)
        return Message(number, {**document, "$db": collection.partition(".")[0]}, is_query=True)
    raise BsonError(f"operation {code} is not known here")


def _message(number: int, body: bytes) -> Message:
    (flags,) = struct.unpack_from("<I", body)
    end = len(body) - (4 if flags & _CHECKSUM else 0)
    position = 4
    document: Document = {}
    while position < end:
        kind = body[position]
        position += 1
        if kind == 0:
            content, position = decode(body, position)
            document |= content
        elif kind == 1:
            (size,) = struct.unpack_from("<i", body, position)
            section_end = position + size
            name, position = cstring(body, position + 4)
            items = []
            while position < section_end:
                item, position = decode(body, position)
                items.append(item)
            document[name] = items
        else:
            raise BsonError(f"section kind {kind} is not known here")
    return Message(number, document, wants_reply=not flags & _MORE_TO_COME)


def command_bytes(document: Document) -> bytes:
    """A command as OP_MSG."""
    return _framed(OP_MSG, 0, struct.pack("<IB", 0, 0) + encode(document))


def reply_bytes(asked: Message, document: Document) -> bytes:
    """The reply, in the form in which it was asked."""
    if asked.is_query:
        return _framed(OP_REPLY, asked.number, struct.pack("<iqii", 8, 0, 0, 1) + encode(document))
    return _framed(OP_MSG, asked.number, struct.pack("<IB", 0, 0) + encode(document))


def _framed(code: int, answers: int, body: bytes) -> bytes:
    return _HEADER.pack(_HEADER.size + len(body), next(_numbers), answers, code) + body
