"""A process behind a pseudo-terminal, in an asyncio loop.

The app has threads, so nothing of Python may run in a forked child: the process is started by `subprocess`, whose fork
and exec are C, in a session of its own, and `controlling_tty.py` gives it the terminal. The kernel ends it when the
app dies, even by SIGKILL: no other process inherits the master side, so it closes, and the session gets SIGHUP.

Reading takes what the kernel has (4 kB at most) per turn of the loop, so a flood of output never starves the rest; what
is not taken stays in the kernel, and the program waits. Writing never blocks either: what the program does not read is
kept up to a bound, and beyond it refused.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import signal
import struct
import sys
import termios
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

READ_BYTES = 65536
PENDING_BYTES = 1 << 20
"""How much unread input is kept for the program."""
LAST_READS = 64
"""How often a terminal is read once its program has ended."""
GRACE_S = 1.0
"""How long a hung-up session has before it is killed."""
_HELPER = Path(__file__).with_name("controlling_tty.py")


class PtyProcess:
    """A running program and the master side of its terminal. Made by `start`."""

    def __init__(self, process: asyncio.subprocess.Process, master: int, on_output: Callable[[bytes], None]) -> None:
        self._process = process
        self._master = master
        self._on_output = on_output
        self._pending = bytearray()
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(master, self._read)

    @classmethod
    async def start(
        cls,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        directory: Path,
        size: tuple[int, int],
        on_output: Callable[[bytes], None],
    ) -> PtyProcess:
        """Start a program.

        Args:
            command: the program and its arguments.
            environment: all of its environment.
            directory: where it starts.
            size: columns and rows of its terminal.
            on_output: called in the loop with what it prints.

        Raises:
            OSError: there is no terminal to be had, or no such directory.
        """
        master, slave = os.openpty()
        try:
            os.set_blocking(master, False)
            _set_size(master, *size)
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-I",
                "-S",
                str(_HELPER),
                *command,
                stdin=slave,
                stdout=slave,
                stderr=slave,
                env=environment,
                cwd=directory,
                start_new_session=True,
            )
        except BaseException:
            os.close(master)
            raise
        finally:
            os.close(slave)
        return cls(process, master, on_output)

    @property
    def pid(self) -> int:
        """The process id, which is the id of its session too."""
        return self._process.pid

    def write(self, data: bytes) -> bool:
        """Send input.

        Returns:
            False when it was refused: the program has not read what it was sent before, or is gone.
        """
        if self._master < 0 or len(self._pending) + len(data) > PENDING_BYTES:
            return False
        idle = not self._pending
        self._pending += data
        if idle:
            self._flush()
        return True

    def resize(self, columns: int, rows: int) -> None:
        """Tell the program that its terminal has another size (SIGWINCH)."""
        if self._master >= 0:
            _set_size(self._master, columns, rows)

    async def wait(self) -> int:
        """Wait for the program's end; its last output has been passed on by then.

        Returns:
            Its exit status, as a shell gives it: 128 + N when signal N ended it.
        """
        status = await self._process.wait()
        # Bounded: a job left in the background may print for ever.
        for _ in range(LAST_READS):
            if not self._read():
                break
        self._release()
        return status if status >= 0 else 128 - status

    async def close(self) -> None:
        """Hang up: the foreground job and the session get SIGHUP, and later SIGKILL if they are still there."""
        groups = {self.pid}
        if self._master >= 0:
            with contextlib.suppress(OSError):
                groups.add(os.tcgetpgrp(self._master))
        self._release()
        if self._process.returncode is None:
            self._signal(groups, signal.SIGHUP, signal.SIGCONT)
            try:
                await asyncio.wait_for(self._process.wait(), GRACE_S)
            except TimeoutError:
                self._signal(groups, signal.SIGKILL)
                await self._process.wait()

    @staticmethod
    def _signal(groups: set[int], *numbers: signal.Signals) -> None:
        for group in groups:
            for number in numbers:
                if group > 1:
                    with contextlib.suppress(ProcessLookupError, PermissionError):
                        os.killpg(group, number)

    def _read(self) -> bool:
        """Pass on what there is to read; False when there is nothing, or nothing more ever."""
        try:
            data = os.read(self._master, READ_BYTES) if self._master >= 0 else b""
        except BlockingIOError:
            return False
        except OSError:
            # EIO: the last process that had the terminal is gone.
            data = b""
        if data:
            self._on_output(data)
        elif self._master >= 0:
            self._loop.remove_reader(self._master)
        return bool(data)

    def _flush(self) -> None:
        if self._master < 0:
            return
        try:
            del self._pending[: os.write(self._master, self._pending)]
        except BlockingIOError:
            pass
        except OSError:
            self._pending.clear()
        if self._pending:
            self._loop.add_writer(self._master, self._flush)
        else:
            self._loop.remove_writer(self._master)

    def _release(self) -> None:
        """Close the master side."""
        if self._master >= 0:
            self._loop.remove_reader(self._master)
            self._loop.remove_writer(self._master)
            os.close(self._master)
            self._master = -1
            self._pending.clear()


def _set_size(descriptor: int, columns: int, rows: int) -> None:
    fcntl.ioctl(descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
