"""Packets of MySQL's client/server protocol: framing, length-encoded values, and the few that both ends need."""

from __future__ import annotations

import asyncio
import hashlib
import struct
from dataclasses import dataclass

NATIVE_PASSWORD = "mysql_native_password"

LONG_PASSWORD = 0x1
CONNECT_WITH_DB = 0x8
PROTOCOL_41 = 0x200
TRANSACTIONS = 0x2000
SECURE_CONNECTION = 0x8000
PLUGIN_AUTH = 0x80000
CAPABILITIES = LONG_PASSWORD | CONNECT_WITH_DB | PROTOCOL_41 | TRANSACTIONS | SECURE_CONNECTION | PLUGIN_AUTH

OK, NULL, EOF, ERR = 0x00, 0xFB, 0xFE, 0xFF
_SIZES = {0xFC: 2, 0xFD: 3}
UTF8MB4 = 255
AUTOCOMMIT = 2


class ProtocolError(Exception):
    """What came is not MySQL's protocol."""


@dataclass(slots=True)
class Channel:
    """Packets over a connection, numbered within each exchange."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    sequence: int = 0

    async def read(self) -> bytes:
        """The next packet's content.

        Raises:
            IncompleteReadError: the other side has gone.
        """
        header = await self.reader.readexactly(4)
        self.sequence = (header[3] + 1) % 256
        return await self.reader.readexactly(int.from_bytes(header[:3], "little"))

    def write(self, content: bytes) -> None:
        """Send a packet."""
        self.writer.write(len(content).to_bytes(3, "little") + bytes([self.sequence]) + content)
        self.sequence = (self.sequence + 1) % 256


def scramble(password: str, nonce: bytes) -> bytes:
    """What proves that one knows a password (``mysql_native_password``); empty for an empty one."""
    if not password:
        return b""
    once = hashlib.sha1(password.encode()).digest()
    mask = hashlib.sha1(nonce + hashlib.sha1(once).digest()).digest()
    return bytes(a ^ b for a, b in zip(once, mask, strict=True))


def lenenc(number: int) -> bytes:
    """A length-encoded integer."""
    if number < 251:
        return bytes([number])
    if number < 1 << 16:
        return b"\xfc" + struct.pack("<H", number)
    if number < 1 << 24:
        return b"\xfd" + struct.pack("<I", number)[:3]
    return b"\xfe" + struct.pack("<Q", number)


def text(value: str | bytes) -> bytes:
    """A length-encoded string."""
    content = value.encode() if isinstance(value, str) else value
    return lenenc(len(content)) + content


@dataclass(slots=True)
class Cursor:
    """Reads the fields of a packet one after another."""

    data: bytes
    position: int = 0

    def take(self, count: int) -> bytes:
        """So many bytes.

        Raises:
            ProtocolError: there are fewer.
        """
        found = self.data[self.position : self.position + count]
        if len(found) != count:
            raise ProtocolError("a packet is too short")
        self.position += count
        return found

    def integer(self, size: int) -> int:
        """An integer of so many bytes."""
        return int.from_bytes(self.take(size), "little")

    def string(self) -> str:
        """The text up to the next zero byte, or to the end."""
        end = self.data.find(b"\0", self.position)
        end = len(self.data) if end < 0 else end
        found = self.data[self.position : end]
        self.position = end + 1
        return found.decode(errors="replace")

    def length(self) -> int | None:
        """A length-encoded integer; None for NULL."""
        first = self.integer(1)
        if first == NULL:
            return None
        return first if first < NULL else self.integer(_SIZES.get(first, 8))

    def text(self) -> bytes | None:
        """A length-encoded string; None for NULL."""
        length = self.length()
        return None if length is None else self.take(length)


def ok_packet(affected: int = 0) -> bytes:
    """Done, with so many rows changed."""
    return bytes([OK]) + lenenc(affected) + lenenc(0) + struct.pack("<HH", AUTOCOMMIT, 0)


def eof_packet() -> bytes:
    """The end of columns or rows."""
    return bytes([EOF]) + struct.pack("<HH", 0, AUTOCOMMIT)


def error_packet(code: int, state: str, message: str) -> bytes:
    """A refusal."""
    return bytes([ERR]) + struct.pack("<H", code) + b"#" + state.encode() + message.encode()
