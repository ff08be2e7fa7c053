"""Standard streams of a process, held by the node: pipes, or one pseudo-terminal."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import functools
import os
import pty
import struct
import termios
from collections import deque
from collections.abc import Callable

STDOUT, STDERR = 1, 2
CHUNK_BYTES = 64 * 2**10
END_OF_TRANSMISSION = b"\x04"


class _Source:
    """Reads one descriptor whenever it has something, unless paused."""

    def __init__(self, descriptor: int, on_data: Callable[[bytes], None], on_end: Callable[[], None]) -> None:
        self._descriptor = descriptor
        self._on_data = on_data
        self._on_end = on_end
        self._paused = True
        self.ended = False
        os.set_blocking(descriptor, False)

    def resume(self) -> None:
        if self._paused and not self.ended:
            self._paused = False
            asyncio.get_running_loop().add_reader(self._descriptor, self._readable)

    def pause(self) -> None:
        if not self._paused:
            self._paused = True
            asyncio.get_running_loop().remove_reader(self._descriptor)

    def close(self) -> None:
        self.pause()
        self.ended = True

    def _readable(self) -> None:
        try:
            data = os.read(self._descriptor, CHUNK_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""  # the other side of a terminal was closed
        if data:
            self._on_data(data)
        else:
            self.close()
            self._on_end()


class Streams:
    """The node's ends of a process's standard streams.

    Args:
        tty: one pseudo-terminal for all three, instead of pipes.
        stdin: whether input can be given; otherwise the program reads end-of-file.
    """

    def __init__(self, *, tty: bool, stdin: bool) -> None:
        self.tty = tty
        self.ended = asyncio.Event()
        """Set when all output has been read."""
        self._sources: list[_Source] = []
        self._stdin = -1
        self._waiting: asyncio.Future[None] | None = None
        self._closed = False
        self.paused = False
        self._bytes_read = 0
        if tty:
            master, slave = pty.openpty()
            os.set_blocking(master, False)
            self._outputs = [(STDOUT, master)]
            self._stdin = master if stdin else -1
            self._own = {master}
            self.child_fds: tuple[int, ...] = (slave, slave, slave)
        else:
            out_reader, out_writer = os.pipe()
            err_reader, err_writer = os.pipe()
            self._outputs = [(STDOUT, out_reader), (STDERR, err_reader)]
            self._own = {out_reader, err_reader}
            if stdin:
                in_reader, self._stdin = os.pipe()
                os.set_blocking(self._stdin, False)
                self._own.add(self._stdin)
            else:
                in_reader = os.open(os.devnull, os.O_RDONLY)
            self.child_fds = (in_reader, out_writer, err_writer)

    def start(self, on_data: Callable[[int, bytes], None]) -> None:
        """The process has its copies: drop ours and begin to read. ``on_data`` gets (STDOUT | STDERR, data)."""
        self._close_child_fds()

        def take(number: int, data: bytes) -> None:
            self._bytes_read += len(data)
            on_data(number, data)

        for number, descriptor in self._outputs:
            source = _Source(descriptor, functools.partial(take, number), self._source_ended)
            self._sources.append(source)
            source.resume()

    def pause(self) -> None:
        """Stop reading: the program will block once the pipe is full."""
        self.paused = True
        for source in self._sources:
            source.pause()

    def resume(self) -> None:
        """Read again."""
        self.paused = False
        for source in self._sources:
            source.resume()

    async def write(self, data: bytes) -> None:
        """Give the program input; waits while it does not read. Input for a program that is gone is dropped."""
        view = memoryview(data)
        while view and self._stdin >= 0 and not self._closed:
            try:
                view = view[os.write(self._stdin, view) :]
            except BlockingIOError:
                await self._writable()
            except OSError:
                return

    async def close_stdin(self) -> None:
        """End of input: closes the pipe; a terminal gets the character that means it."""
        if self.tty:
            await self.write(END_OF_TRANSMISSION)
        elif self._stdin >= 0:
            descriptor, self._stdin = self._stdin, -1
            asyncio.get_running_loop().remove_writer(descriptor)
            self._own.discard(descriptor)
            os.close(descriptor)
            self._stop_waiting()

    def resize(self, columns: int, rows: int) -> None:
        """Tell the terminal its size; nothing without one."""
        if self.tty and not self._closed:
            with contextlib.suppress(OSError):
                fcntl.ioctl(self._outputs[0][1], termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    async def drain(self, patience_s: float) -> None:
        """The process has ended: read the rest of its output, then close.

        Something it left behind may hold the pipe open, so this ends when nothing came for ``patience_s``; a reader
        that is behind (paused) gets all the time it needs.
        """
        while not self.ended.is_set():
            seen = self._bytes_read
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.ended.wait(), patience_s)
            if not self.paused and self._bytes_read == seen:
                break
        self.close()

    def close(self) -> None:
        """Give everything back, whether or not the output has ended."""
        if self._closed:
            return
        self._closed = True
        for source in self._sources:
            source.close()
        self._close_child_fds()
        loop = asyncio.get_running_loop()
        if self._stdin >= 0:
            loop.remove_writer(self._stdin)
        for descriptor in self._own:
            os.close(descriptor)
        self._stop_waiting()
        self.ended.set()

    def _source_ended(self) -> None:
        if all(source.ended for source in self._sources):
            self.ended.set()

    def _close_child_fds(self) -> None:
        for descriptor in set(self.child_fds):
            os.close(descriptor)
        self.child_fds = ()

    async def _writable(self) -> None:
        loop = asyncio.get_running_loop()
        waiting = self._waiting = loop.create_future()
        descriptor = self._stdin
        loop.add_writer(descriptor, self._stop_waiting)
        try:
            await waiting
        finally:
            if self._stdin == descriptor and not self._closed:
                loop.remove_writer(descriptor)

    def _stop_waiting(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)


class OutputQueue:
    """Output on its way to one reader.

    Args:
        high: bytes above which ``on_full`` is called; ``on_drained`` follows when half of them are gone.
    """

    def __init__(
        self,
        *,
        high: int = 2**20,
        on_full: Callable[[], None] = lambda: None,
        on_drained: Callable[[], None] = lambda: None,
    ) -> None:
        self._items: deque[tuple[int, bytes]] = deque()
        self._size = 0
        self._high = high
        self._full = False
        self._on_full = on_full
        self._on_drained = on_drained
        self._ended = False
        self._changed = asyncio.Event()

    def put(self, number: int, data: bytes) -> None:
        """Add output of one stream."""
        self._items.append((number, data))
        self._size += len(data)
        self._changed.set()
        if self._size > self._high and not self._full:
            self._full = True
            self._on_full()

    def end(self) -> None:
        """No more output will come."""
        self._ended = True
        self._changed.set()

    async def get(self) -> tuple[int, bytes] | None:
        """The next output; None at the end."""
        while not self._items:
            if self._ended:
                return None
            self._changed.clear()
            await self._changed.wait()
        number, data = self._items.popleft()
        self._size -= len(data)
        if self._full and self._size <= self._high // 2:
            self._full = False
            self._on_drained()
        return number, data
