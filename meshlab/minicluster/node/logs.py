"""Container logs on disk, in the CRI's line format: ``TIME STREAM F|P TEXT``.

One file per instance of a container (``0.log`` for its first), plus one rotated predecessor (``0.log.1``). The node is
the only writer, so that following needs no file notification: a reader at the end waits for the writer's next line.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

ROTATE_BYTES = 10 * 2**20
MAX_LINE_BYTES = 16 * 2**10
"""A longer line is cut into partial records, as container runtimes do."""
BLOCK_BYTES = 64 * 2**10


def timestamp(nanoseconds: int) -> str:
    """RFC 3339 with nanoseconds, UTC; trailing zeros stay, so that records sort as text."""
    seconds, rest = divmod(nanoseconds, 10**9)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{rest:09d}Z"


def parse_time(text: str) -> float:
    """Seconds since the epoch of an RFC 3339 time.

    Raises:
        ValueError: it is none.
    """
    head, dot, tail = text.partition(".")
    if dot:
        fraction = tail[: len(tail) - len(tail.lstrip("0123456789"))]
        zone = tail[len(fraction) :]
        text = f"{head}.{fraction[:6]:0<6}{zone}"
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone")
    return moment.timestamp()


@dataclass(frozen=True, slots=True)
class LogOptions:
    """What of a log is wanted, as ``PodLogOptions`` says."""

    follow: bool = False
    since: float | None = None
    """Seconds since the epoch; older records are left out."""
    tail_lines: int | None = None
    timestamps: bool = False
    limit_bytes: int | None = None


class LogWriter:
    """Turns a container's output into records.

    Args:
        path: the file; its folder exists.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.closed = False
        self._file: BinaryIO = path.open("ab")
        self._size = self._file.tell()
        self._partial = {"stdout": b"", "stderr": b""}
        self._waiters: set[asyncio.Future[None]] = set()

    def write(self, stream: str, data: bytes) -> None:
        """Add output; what does not end in a newline waits for its rest."""
        *lines, rest = (self._partial[stream] + data).split(b"\n")
        stamp = timestamp(time.time_ns())
        records = [piece for line in lines for piece in _records(stamp, stream, line, final=True)]
        while len(rest) >= MAX_LINE_BYTES:
            records += _records(stamp, stream, rest[:MAX_LINE_BYTES], final=False)
            rest = rest[MAX_LINE_BYTES:]
        self._partial[stream] = rest
        if records:
            self._append(b"".join(records))

    def close(self) -> None:
        """The container ended: unfinished lines are written as they are, followers see the end."""
        if self.closed:
            return
        stamp = timestamp(time.time_ns())
        for stream, rest in self._partial.items():
            if rest:
                self._append(b"".join(_records(stamp, stream, rest, final=False)))
        self.closed = True
        self._file.close()
        self._wake()

    async def changed(self) -> None:
        """Wait for the next record, or for the end."""
        if not self.closed:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.add(waiter)
            try:
                await waiter
            finally:
                self._waiters.discard(waiter)

    def _append(self, data: bytes) -> None:
        if self._size + len(data) > ROTATE_BYTES and self._size:
            self._file.close()
            self.path.replace(rotated(self.path))
            self._file = self.path.open("ab")
            self._size = 0
        self._file.write(data)
        self._file.flush()
        self._size += len(data)
        self._wake()

    def _wake(self) -> None:
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)


def rotated(path: Path) -> Path:
    """Where a log goes when it has grown too large."""
    return path.with_name(path.name + ".1")


async def read(path: Path, options: LogOptions, writer: LogWriter | None) -> AsyncIterator[bytes]:
    """A container's log as ``kubectl logs`` prints it.

    Args:
        path: the log of one instance.
        options: what of it.
        writer: whoever still writes it; None if the instance has ended.
    """
    left = options.limit_bytes if options.limit_bytes is not None else -1
    with contextlib.ExitStack() as stack:
        parts: list[BinaryIO] = [
            stack.enter_context(part.open("rb")) for part in (rotated(path), path) if part.exists()
        ]
        if options.tail_lines is not None:
            parts = _at_tail(parts, options.tail_lines)
        while parts:
            file = parts.pop(0)
            for chunk in _render(file, options):
                piece = chunk if left < 0 else chunk[:left]
                left -= len(piece) if left >= 0 else 0
                if piece:
                    yield piece
                if left == 0:
                    return
            if parts:
                continue
            if writer is None or not options.follow:
                return
            parts = [file]
            await _next_part(path, file, writer, parts, stack)


async def _next_part(
    path: Path, file: BinaryIO, writer: LogWriter, parts: list[BinaryIO], stack: contextlib.ExitStack
) -> None:
    """At the end of ``file``: wait for more of it, or go on with the file that took its place."""
    if _replaced(path, file):
        parts.append(stack.enter_context(path.open("rb")))
    elif writer.closed:
        if file.tell() >= _size(file):
            parts.clear()
    else:
        await writer.changed()


def _replaced(path: Path, file: BinaryIO) -> bool:
    """Whether the log was rotated since ``file`` was opened."""
    return path.exists() and path.stat().st_ino != os.fstat(file.fileno()).st_ino


def _size(file: BinaryIO) -> int:
    return os.fstat(file.fileno()).st_size


def _records(stamp: str, stream: str, line: bytes, *, final: bool) -> list[bytes]:
    head = f"{stamp} {stream} ".encode()
    pieces = [line[start : start + MAX_LINE_BYTES] for start in range(0, len(line), MAX_LINE_BYTES)] or [b""]
    return [
        head + (b"F " if final and number == len(pieces) else b"P ") + piece + b"\n"
        for number, piece in enumerate(pieces, 1)
    ]


def _render(file: BinaryIO, options: LogOptions) -> Iterator[bytes]:
    """The text of the records from the file's position to its end, in blocks."""
    since = timestamp(int(options.since * 10**9)) if options.since is not None else ""
    out: list[bytes] = []
    size = 0
    while line := file.readline():
        if not line.endswith(b"\n"):
            file.seek(-len(line), 1)  # a record that is being written
            break
        stamp, _, rest = line.partition(b" ")
        if since and stamp.decode() < since:
            continue
        _, _, rest = rest.partition(b" ")
        tag, _, text = rest.partition(b" ")
        if tag == b"P":
            text = text[:-1]
        out.append(stamp + b" " + text if options.timestamps else text)
        size += len(out[-1])
        if size > BLOCK_BYTES:
            yield b"".join(out)
            out, size = [], 0
    if out:
        yield b"".join(out)


def _at_tail(parts: list[BinaryIO], lines: int) -> list[BinaryIO]:
    """Position the files so that only the last ``lines`` records remain."""
    kept: list[BinaryIO] = []
    for file in reversed(parts):
        missing = _seek_back(file, lines)
        kept.insert(0, file)
        if missing == 0:
            break
        lines = missing
    return kept


def _seek_back(file: BinaryIO, lines: int) -> int:
    """Position before the last ``lines`` newlines; returns how many there were too few."""
    position = file.seek(0, 2)
    if lines == 0:
        return 0
    wanted = lines + 1  # the newline that ends the record before
    while position > 0:
        start = max(0, position - BLOCK_BYTES)
        file.seek(start)
        block = file.read(position - start)
        count = block.count(b"\n")
        if count >= wanted:
            index = len(block)
            for _ in range(wanted):
                index = block.rindex(b"\n", 0, index)
            file.seek(start + index + 1)
            return 0
        wanted -= count
        position = start
    file.seek(0)
    return wanted - 1
