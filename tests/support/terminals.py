"""A terminal with a program in it, and a hand on its keys: what the end-to-end tests of the screen look through.

A test sends keys and reads rows of text, nothing else. `PtyTerminal` needs no program of this machine: a
pseudo-terminal, and the emulator of the terminal pane to read what was painted. `tests/support/tmux.py` is the same
with a terminal that others wrote.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from meshlab.tui.terminal import controlling_tty
from meshlab.tui.terminal.emulator import Outlets
from meshlab.tui.terminal.ghostty import GhosttyEmulator

GRACE_S = 5.0
KEYS = {
    "enter": b"\r",
    "escape": b"\x1b",
    "tab": b"\t",
    "up": b"\x1b[A",
    "down": b"\x1b[B",
    "pageup": b"\x1b[5~",
    "pagedown": b"\x1b[6~",
    "home": b"\x1b[H",
    "f6": b"\x1b[17~",
    "ctrl+c": b"\x03",
    "ctrl+d": b"\x04",
    "ctrl+p": b"\x10",
    "ctrl+q": b"\x11",
}
"""The keys with a name, as an xterm sends them; every other key is its own character."""


class Terminal(Protocol):
    """A terminal of a fixed size in which one program runs."""

    @property
    def pid(self) -> int:
        """The program's process."""

    @property
    def is_open(self) -> bool:
        """Whether the program still runs."""

    def send(self, text: str) -> None:
        """Type characters."""

    def press(self, key: str) -> None:
        """Press a key of `KEYS`, or a character."""

    def rows(self) -> list[str]:
        """What stands on the screen, from top to bottom."""

    def wait(self, timeout_s: float) -> None:
        """Return when something may have been painted, or after the time."""

    def close(self) -> None:
        """Hang up."""


class PtyTerminal:
    """A `Terminal` made of a pseudo-terminal and the pane's own emulator.

    Args:
        command: the program and its arguments.
        environment: all of its environment.
        directory: where it starts.
        size: columns and rows.
        identity: as whom it runs, in `subprocess.Popen`'s words.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        directory: Path,
        size: tuple[int, int],
        identity: Mapping[str, Any] | None = None,
    ) -> None:
        self._size = size
        self._news = threading.Condition()
        self._paints = 0
        self._seen = 0
        self.painted_at = 0.0
        """When bytes arrived last, by `time.perf_counter`."""
        self.received = 0
        """How many bytes arrived."""
        self._master, slave = os.openpty()
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", size[1], size[0], 0, 0))
        self._emulator = GhosttyEmulator(*size, Outlets(reply=self._write))
        self.started_at = time.perf_counter()
        """When the program was started, by `time.perf_counter`."""
        try:
            self.process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(Path(controlling_tty.__file__)), *command],
                stdin=slave,
                stdout=slave,
                stderr=slave,
                env={"TERM": "xterm-256color", "LC_ALL": "C.UTF-8", **environment},
                cwd=directory,
                start_new_session=True,
                **(identity or {}),
            )
        finally:
            os.close(slave)
        self._reader = threading.Thread(target=self._read, name="pty-terminal")
        self._reader.start()

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def is_open(self) -> bool:
        return self.process.poll() is None

    def send(self, text: str) -> None:
        self._write(text.encode())

    def press(self, key: str) -> None:
        self._write(KEYS.get(key) or key.encode())

    def rows(self) -> list[str]:
        with self._news:
            self._seen = self._paints
            self._emulator.damage()
            return ["".join(run.text for run in self._emulator.row(y)).rstrip() for y in range(self._size[1])]

    def wait(self, timeout_s: float) -> None:
        with self._news:
            self._news.wait_for(lambda: self._paints > self._seen, timeout_s)

    def close(self) -> None:
        if self.is_open:
            self.process.send_signal(signal.SIGHUP)
            try:
                self.process.wait(GRACE_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        # Whoever else holds the terminal is hung up with its session, which ended with its leader.
        self._reader.join()
        os.close(self._master)
        self._emulator.close()

    def _write(self, data: bytes) -> None:
        # What is written to a program that has just ended is lost, as at a real terminal.
        with contextlib.suppress(OSError):
            os.write(self._master, data)

    def _read(self) -> None:
        # EIO is the end: nobody has the terminal open any more.
        with contextlib.suppress(OSError):
            while data := os.read(self._master, 65536):
                with self._news:
                    self.painted_at = time.perf_counter()
                    self._emulator.feed(data)
                    self.received += len(data)
                    self._paints += 1
                    self._news.notify_all()
