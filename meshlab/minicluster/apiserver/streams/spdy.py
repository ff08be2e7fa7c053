"""The server's half of SPDY/3.1, as far as Kubernetes clients use it: streams, no flow-control windows.

A `SpdySession` is fed bytes from whatever carries it (a hijacked TCP connection, or the messages of a WebSocket) and
hands out frames to the carrier's ``send``. Windows are left out on purpose: the Go library at the other end
neither sends nor honours WINDOW_UPDATE, so the carrier's own back-pressure is what limits both directions.

Frame layout: draft-mbelshe-httpbis-spdy-00, section 2.2.
"""

from __future__ import annotations

import asyncio
import struct
import zlib
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from enum import IntEnum

from meshlab.minicluster.apiserver.streams.spdy_dictionary import DICTIONARY

VERSION = 3
FLAG_FIN = 1
CONTROL_BIT = 0x80000000
MAX_DATA = 32 * 1024
"""Bytes in one of our DATA frames."""
MAX_HEADER_BLOCK = 64 * 1024
"""Bytes of an unpacked header block; more is an attack, as clients send a few short headers."""
MAX_UNSENT = 256 * 1024
"""Bytes that may wait for the carrier before `SpdyStream.write` waits too."""
MAX_UNREAD = 1024 * 1024
"""Bytes that may wait for the streams' readers before `SpdySession.ready` stops the carrier."""


class FrameType(IntEnum):
    """Control frames (section 2.6)."""

    SYN_STREAM = 1
    SYN_REPLY = 2
    RST_STREAM = 3
    SETTINGS = 4
    PING = 6
    GOAWAY = 7
    HEADERS = 8
    WINDOW_UPDATE = 9


class SpdyError(Exception):
    """The peer broke the protocol; the session is over."""


class SpdyStream:
    """One bidirectional stream that the client opened."""

    def __init__(self, session: SpdySession, stream_id: int, headers: Mapping[str, str]) -> None:
        self.id = stream_id
        self.headers = headers
        self._session = session
        self._chunks: deque[bytes] = deque()
        self._arrived = asyncio.Event()
        self._remote_ended = False
        self._local_ended = False

    async def read(self) -> bytes:
        """The next data; empty when the client has finished its half, reset the stream or gone away."""
        while not self._chunks:
            if self._remote_ended:
                return b""
            self._arrived.clear()
            await self._arrived.wait()
        chunk = self._chunks.popleft()
        self._session.note_read(len(chunk))
        return chunk

    async def write(self, data: bytes) -> None:
        """Send data; waits while the carrier is behind. Ignored once our half has ended."""
        for start in range(0, len(data), MAX_DATA):
            if self._local_ended:
                return
            chunk = data[start : start + MAX_DATA]
            self._session.queue(struct.pack(">II", self.id, len(chunk)) + chunk)
            await self._session.sendable()

    def end(self) -> None:
        """Finish our half of the stream."""
        if not self._local_ended:
            self._local_ended = True
            self._session.queue(struct.pack(">II", self.id, FLAG_FIN << 24))
            self._session.forget_if_done(self)

    def reset(self, status: int = 5) -> None:
        """Give the stream up in both directions (status 5 is CANCEL, section 2.6.3)."""
        self._session.control(FrameType.RST_STREAM, struct.pack(">II", self.id, status))
        self._local_ended = True
        self.discard_input()

    def discard_input(self) -> None:
        """Nobody will read any more: drop what is here and what still comes."""
        self._session.note_read(sum(map(len, self._chunks)))
        self._chunks.clear()
        self.feed_end()

    @property
    def ended(self) -> bool:
        """Whether both halves have ended."""
        return self._local_ended and self._remote_ended

    def feed(self, data: bytes) -> None:
        """Data arrived for this stream."""
        if not self._remote_ended:
            self._session.note_unread(len(data))
            self._chunks.append(data)
            self._arrived.set()

    def feed_end(self) -> None:
        """No more data will arrive."""
        self._remote_ended = True
        self._arrived.set()


class SpdySession:
    """One SPDY/3.1 connection.

    Args:
        send: writes one piece to the carrier, and waits while the carrier is behind.
        on_stream: called for every stream that the client opens, after it was accepted.
    """

    def __init__(self, send: Callable[[bytes], Awaitable[None]], on_stream: Callable[[SpdyStream], None]) -> None:
        self.closed = asyncio.Event()
        self._send = send
        self._on_stream = on_stream
        self._streams: dict[int, SpdyStream] = {}
        self._received = bytearray()
        self._inflate = zlib.decompressobj(zdict=DICTIONARY)
        self._deflate = zlib.compressobj(zdict=DICTIONARY)
        self._out: deque[bytes] = deque()
        self._out_size = 0
        self._out_filled = asyncio.Event()
        self._out_drained = asyncio.Event()
        self._unread = 0
        self._read = asyncio.Event()

    # What the carrier calls.

    def feed(self, data: bytes) -> None:
        """Bytes arrived, cut anywhere.

        Raises:
            SpdyError: they are not SPDY/3.1; the session is closed.
        """
        self._received += data
        try:
            while len(self._received) >= 8:
                first, second = struct.unpack_from(">II", self._received)
                end = 8 + (second & 0xFFFFFF)
                if len(self._received) < end:
                    return
                payload = bytes(self._received[8:end])
                del self._received[:end]
                self._frame(first, second >> 24, payload)
        except (struct.error, zlib.error, UnicodeDecodeError) as error:
            self.close()
            raise SpdyError(f"malformed SPDY frame: {error}") from error

    @property
    def behind(self) -> bool:
        """Whether the streams' readers are so far behind that a carrier should stop reading until `ready`."""
        return self._unread > MAX_UNREAD and not self.closed.is_set()

    async def ready(self) -> None:
        """Wait until the streams' readers have caught up; a carrier reads on only then."""
        while self.behind:
            self._read.clear()
            await self._read.wait()

    async def run_writer(self) -> None:
        """Send what was queued, until the session is closed and all is sent. Run it as a task."""
        while True:
            while self._out:
                batch = b"".join(self._out)
                self._out.clear()
                self._out_size = 0
                self._out_drained.set()
                await self._send(batch)
            if self.closed.is_set():
                return
            self._out_filled.clear()
            await self._out_filled.wait()

    def close(self) -> None:
        """The carrier is gone, or we are done: every reader sees the end."""
        self.closed.set()
        for stream in self._streams.values():
            stream.feed_end()
        self._streams.clear()
        for event in (self._out_filled, self._out_drained, self._read):
            event.set()

    # What the streams call.

    def queue(self, frame: bytes) -> None:
        """Put a frame in the line to the carrier."""
        if not self.closed.is_set():
            self._out.append(frame)
            self._out_size += len(frame)
            self._out_filled.set()

    async def sendable(self) -> None:
        """Wait while too much is in the line.

        Raises:
            ConnectionResetError: the session is closed.
        """
        while self._out_size > MAX_UNSENT and not self.closed.is_set():
            self._out_drained.clear()
            await self._out_drained.wait()
        if self.closed.is_set():
            raise ConnectionResetError("the client closed the connection")

    def control(self, frame_type: FrameType, payload: bytes) -> None:
        """Queue a control frame."""
        self.queue(struct.pack(">HHI", 0x8000 | VERSION, frame_type, len(payload)) + payload)

    def note_unread(self, size: int) -> None:
        """A stream holds more bytes that nobody has read."""
        self._unread += size

    def note_read(self, size: int) -> None:
        """A stream's reader took bytes."""
        self._unread -= size
        self._read.set()

    def forget_if_done(self, stream: SpdyStream) -> None:
        """Drop a stream of which both halves have ended."""
        if stream.ended:
            self._streams.pop(stream.id, None)

    # Frames.

    def _frame(self, first: int, flags: int, payload: bytes) -> None:
        if first & CONTROL_BIT:
            version = first >> 16 & 0x7FFF
            if version != VERSION:
                raise struct.error(f"version {version}")
            self._control(first & 0xFFFF, flags, payload)
            return
        stream = self._streams.get(first)
        if stream is None:
            return
        if payload:
            stream.feed(payload)
        if flags & FLAG_FIN:
            stream.feed_end()
            self.forget_if_done(stream)

    def _control(self, frame_type: int, flags: int, payload: bytes) -> None:
        match frame_type:
            case FrameType.SYN_STREAM:
                (stream_id,) = struct.unpack_from(">I", payload)
                stream = SpdyStream(self, stream_id & 0x7FFFFFFF, self._unpack_headers(payload[10:]))
                self._streams[stream.id] = stream
                if flags & FLAG_FIN:
                    stream.feed_end()
                self.control(FrameType.SYN_REPLY, struct.pack(">I", stream.id) + self._pack_headers({}))
                self._on_stream(stream)
            case FrameType.RST_STREAM:
                (stream_id,) = struct.unpack_from(">I", payload)
                if (reset := self._streams.pop(stream_id, None)) is not None:
                    reset.feed_end()
            case FrameType.PING:
                self.control(FrameType.PING, payload)
            case FrameType.GOAWAY:
                for open_stream in list(self._streams.values()):
                    open_stream.feed_end()
            case FrameType.HEADERS:
                # Nobody sends them, but a header block must pass through the decompressor to keep it in step.
                self._unpack_headers(payload[4:])
            case _:
                pass

    def _unpack_headers(self, block: bytes) -> dict[str, str]:
        data = self._inflate.decompress(block, MAX_HEADER_BLOCK)
        if self._inflate.unconsumed_tail:
            raise struct.error("header block too large")
        (count,) = struct.unpack_from(">I", data)
        offset = 4
        words = []
        for _ in range(2 * count):
            (length,) = struct.unpack_from(">I", data, offset)
            offset += 4
            if offset + length > len(data):
                raise struct.error("header block cut short")
            words.append(data[offset : offset + length].decode())
            offset += length
        return {name.lower(): value for name, value in zip(words[::2], words[1::2], strict=True)}

    def _pack_headers(self, headers: Mapping[str, str]) -> bytes:
        block = struct.pack(">I", len(headers))
        for word in (word for item in headers.items() for word in item):
            block += struct.pack(">I", len(word.encode())) + word.encode()
        return self._deflate.compress(block) + self._deflate.flush(zlib.Z_SYNC_FLUSH)
