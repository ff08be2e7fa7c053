from __future__ import annotations

import asyncio
import hashlib
import struct
import zlib
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshlab.minicluster.apiserver.streams.spdy import MAX_DATA, FrameType, SpdyError, SpdySession, SpdyStream
from meshlab.minicluster.apiserver.streams.spdy_dictionary import DICTIONARY


class Client:
    """The other half of SPDY/3.1, just enough of it: makes frames, and takes the server's apart."""

    def __init__(self) -> None:
        self._deflate = zlib.compressobj(zdict=DICTIONARY)
        self._inflate = zlib.decompressobj(zdict=DICTIONARY)

    def control(self, frame_type: int, payload: bytes, flags: int = 0, version: int = 3) -> bytes:
        return struct.pack(">HHI", 0x8000 | version, frame_type, flags << 24 | len(payload)) + payload

    def syn(self, stream_id: int, headers: dict[str, str], fin: bool = False) -> bytes:
        block = struct.pack(">I", len(headers))
        for name, value in headers.items():
            block += struct.pack(">I", len(name)) + name.encode() + struct.pack(">I", len(value)) + value.encode()
        packed = self._deflate.compress(block) + self._deflate.flush(zlib.Z_SYNC_FLUSH)
        return self.control(1, struct.pack(">IIH", stream_id, 0, 0) + packed, flags=1 if fin else 0)

    def data(self, stream_id: int, data: bytes, fin: bool = False) -> bytes:
        return struct.pack(">II", stream_id, (fin << 24) | len(data)) + data

    def frames(self, data: bytes) -> list[tuple[str, int, int, bytes]]:
        """``(kind, id or type, flags, payload)`` of each frame."""
        found = []
        while data:
            first, second = struct.unpack_from(">II", data)
            length = second & 0xFFFFFF
            payload = data[8 : 8 + length]
            kind = "control" if first & 0x80000000 else "data"
            found.append((kind, first & 0xFFFF if kind == "control" else first, second >> 24, payload))
            data = data[8 + length :]
        return found

    def reply_headers(self, payload: bytes) -> bytes:
        return self._inflate.decompress(payload[4:])


class Harness:
    def __init__(self) -> None:
        self.client = Client()
        self.streams: list[SpdyStream] = []
        self.sent = bytearray()
        self.session = SpdySession(self._send, self.streams.append)

    async def _send(self, data: bytes) -> None:
        self.sent += data

    async def flush(self) -> list[tuple[str, int, int, bytes]]:
        """Close the session, let it send everything, and give the frames."""
        self.session.close()
        await self.session.run_writer()
        return self.client.frames(bytes(self.sent))


@pytest.fixture
async def harness() -> AsyncIterator[Harness]:
    yield Harness()


def test_the_dictionary_is_the_drafts() -> None:
    """Length and digest of the 1,423 bytes as kubectl's binary holds them."""
    assert len(DICTIONARY) == 1423
    assert hashlib.sha256(DICTIONARY).hexdigest() == "51d27341373f923f3cd88e1eb7162aeaa3723d7585ff2399201dc06498407f02"


async def test_a_stream_is_accepted_and_its_headers_are_read(harness: Harness) -> None:
    harness.session.feed(harness.client.syn(1, {"Streamtype": "stdin", "port": "80"}))
    assert harness.streams[0].headers == {"streamtype": "stdin", "port": "80"}
    ((kind, frame_type, _, payload),) = await harness.flush()
    assert (kind, frame_type) == ("control", FrameType.SYN_REPLY)
    assert payload[:4] == b"\0\0\0\1"
    assert harness.client.reply_headers(payload) == b"\0\0\0\0"


async def test_header_compression_keeps_its_state_between_frames(harness: Harness) -> None:
    for number in range(1, 40, 2):
        harness.session.feed(harness.client.syn(number, {"streamtype": "data", "requestid": str(number)}))
    assert [stream.headers["requestid"] for stream in harness.streams] == [str(n) for n in range(1, 40, 2)]


@given(cuts=st.lists(st.integers(min_value=1, max_value=9), min_size=1), payload=st.binary(max_size=300))
def test_bytes_may_be_cut_anywhere(cuts: list[int], payload: bytes) -> None:
    async def run() -> bytes:
        harness = Harness()
        wire = harness.client.syn(1, {"streamtype": "data"}) + harness.client.data(1, payload)
        wire += harness.client.data(1, b"!", fin=True)
        position = index = 0
        while position < len(wire):
            step = cuts[index % len(cuts)]
            harness.session.feed(wire[position : position + step])
            position, index = position + step, index + 1
        received = b""
        while piece := await harness.streams[0].read():
            received += piece
        return received

    assert asyncio.run(run()) == payload + b"!"


async def test_writes_are_cut_into_frames_and_end_with_fin(harness: Harness) -> None:
    harness.session.feed(harness.client.syn(3, {"streamtype": "stdout"}))
    await harness.streams[0].write(b"x" * (MAX_DATA + 5))
    harness.streams[0].end()
    await harness.streams[0].write(b"too late")
    frames = (await harness.flush())[1:]
    assert [(kind, number, flags, len(payload)) for kind, number, flags, payload in frames] == [
        ("data", 3, 0, MAX_DATA),
        ("data", 3, 0, 5),
        ("data", 3, 1, 0),
    ]


async def test_ping_is_answered_alike(harness: Harness) -> None:
    harness.session.feed(harness.client.control(FrameType.PING, b"\0\0\0\7"))
    assert await harness.flush() == [("control", FrameType.PING, 0, b"\0\0\0\7")]


async def test_reset_and_close_end_the_readers(harness: Harness) -> None:
    for number in (1, 3):
        harness.session.feed(harness.client.syn(number, {"streamtype": "data"}))
    harness.session.feed(harness.client.control(FrameType.RST_STREAM, struct.pack(">II", 1, 5)))
    assert await harness.streams[0].read() == b""
    waiting = asyncio.create_task(harness.streams[1].read())
    harness.session.close()
    assert await waiting == b""


async def test_a_slow_reader_makes_the_session_behind_until_it_reads_or_gives_up(harness: Harness) -> None:
    for number in (1, 3):
        harness.session.feed(harness.client.syn(number, {"streamtype": "data"}))
        harness.session.feed(harness.client.data(number, b"x" * 600_000))
    assert harness.session.behind
    ready = asyncio.create_task(harness.session.ready())
    assert len(await harness.streams[0].read()) == 600_000
    await ready
    harness.session.feed(harness.client.data(3, b"x" * 600_000))
    assert harness.session.behind
    harness.streams[1].discard_input()
    harness.session.feed(harness.client.data(3, b"x" * 2_000_000))
    assert not harness.session.behind


async def test_a_writer_waits_for_the_carrier() -> None:
    may_send = asyncio.Event()

    async def send(data: bytes) -> None:
        await may_send.wait()

    streams: list[SpdyStream] = []
    session = SpdySession(send, streams.append)
    session.feed(Client().syn(1, {"streamtype": "stdout"}))
    writer = asyncio.create_task(session.run_writer())
    writing = asyncio.create_task(streams[0].write(b"x" * 5_000_000))
    for _ in range(1000):
        await asyncio.sleep(0)
    assert not writing.done()
    may_send.set()
    await writing
    session.close()
    await writer


@pytest.mark.parametrize(
    "wire",
    [
        b"GET / HTTP/1.1\r\n\r\n" * 2,
        struct.pack(">HHI", 0x8002, 1, 0),
        struct.pack(">HHI", 0x8003, 1, 14) + b"\0" * 14,
        struct.pack(">HHI", 0x8003, 3, 2) + b"\0\0",
    ],
    ids=["http", "spdy2", "headers", "short"],
)
async def test_what_is_not_spdy_is_an_error_or_ignored(harness: Harness, wire: bytes) -> None:
    if wire.startswith(b"GET"):
        harness.session.feed(wire)  # an unfinished data frame of an unknown stream: nothing happens
        assert harness.streams == []
    else:
        with pytest.raises(SpdyError):
            harness.session.feed(wire)
        assert harness.session.closed.is_set()


async def test_a_header_bomb_is_refused(harness: Harness) -> None:
    with pytest.raises(SpdyError, match="too large"):
        harness.session.feed(harness.client.syn(1, {"a": "b" * 1_000_000}))
