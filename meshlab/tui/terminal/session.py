"""A shell, the emulator that its output goes to, and what waits to be typed into it.

Between a process, which knows bytes, and a widget, which knows keys and cells: output flows through the mark scanner
into the emulator; commands wait in a queue until the shell is at its prompt, so nothing is typed into a program that
happens to run; another lab's variables reach the running shell.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from meshlab.errors import MeshlabError
from meshlab.tui.terminal.emulator import Emulator, Mode
from meshlab.tui.terminal.keys import encode_paste
from meshlab.tui.terminal.marks import CommandTracker, Finished, MarkKind, MarkScanner
from meshlab.tui.terminal.process import PtyProcess
from meshlab.tui.terminal.shell import REFRESH_KEY, ShellSetup, choose_shell

KILL_LINE = b"\x15"
"""Ctrl+U: what stands at the prompt must not become part of a command that is typed for the person."""
PATIENCE_S = 5.0
"""How long a first prompt is waited for; after that commands are typed all the same."""
LINE_BYTES = 4096
"""How much of what was typed since the prompt is remembered."""
READ_VARIABLES = '. "$MESHLAB_PANE/env.sh"'


class ShellFailed(MeshlabError):
    """The shell cannot be started."""

    title = "No shell"


@dataclass(frozen=True, slots=True)
class SessionEvents:
    """Whom a session tells; all are called in the loop."""

    changed: Callable[[], None]
    """The screen, the queue or the state of the shell may look different."""
    finished: Callable[[Finished], None]
    """A command ended."""
    ended: Callable[[int], None]
    """The shell itself ended, with this exit status."""


class ShellSession:
    """A shell in an emulator.

    Args:
        emulator: where its output goes.
        events: whom to tell.
        shell: the program to start; the person's own by default.
    """

    def __init__(self, emulator: Emulator, events: SessionEvents, *, shell: str | None = None) -> None:
        self.tracker = CommandTracker()
        self._emulator = emulator
        self._events = events
        self._shell = shell
        self._scanner = MarkScanner()
        self._size = (80, 24)
        self._sent = b""
        self._waiting: deque[str] = deque()
        self._stale = False
        self._process: PtyProcess | None = None
        self._setup: ShellSetup | None = None
        self._watch: asyncio.Task[None] | None = None
        self._patience: asyncio.TimerHandle | None = None
        self._opening = asyncio.Lock()

    @property
    def running(self) -> bool:
        """Whether there is a shell."""
        return self._process is not None

    @property
    def waiting(self) -> int:
        """How many commands wait for the prompt."""
        return len(self._waiting)

    async def open(self, environment: Mapping[str, str], directory: Path) -> None:
        """Start the shell, or give a running one other variables.

        Args:
            environment: the lab's variables, put over the inherited ones.
            directory: where a new shell starts; a running one stays where it is.

        Raises:
            ShellFailed: it cannot be started.
        """
        async with self._opening:
            if self._process is not None and self._setup is not None:
                if self._setup.adopt(environment):
                    self._refresh_variables(self._setup)
                return
            setup = ShellSetup(self._shell or choose_shell(os.environ), os.environ)
            setup.adopt(environment)
            try:
                process = await PtyProcess.start(
                    setup.command,
                    environment=setup.environment(),
                    directory=directory,
                    size=self._size,
                    on_output=self.feed,
                )
            except OSError as error:
                setup.close()
                raise ShellFailed(
                    f"{setup.program} cannot be started in {directory}: {error.strerror}",
                    hint="open a terminal of your own and type: meshlab shell",
                ) from error
            self.tracker = CommandTracker()
            self._scanner = MarkScanner()
            self._stale = False
            self._process, self._setup = process, setup
            self._watch = asyncio.create_task(self._wait(process, setup))
            self._arm_patience()

    async def close(self) -> None:
        """End the shell and what runs in it."""
        if self._watch is not None:
            self._watch.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watch
            self._watch = None
        if self._process is not None:
            await self._process.close()
        self._forget()

    async def _wait(self, process: PtyProcess, setup: ShellSetup) -> None:
        status = await process.wait()
        self._forget()
        self._events.ended(status)

    def _forget(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None
        if self._setup is not None:
            self._setup.close()
        self._process = self._setup = None
        self.tracker = CommandTracker()

    def feed(self, data: bytes) -> None:
        """Take output of the shell or of what runs in it."""
        for piece, mark in self._scanner.split(data):
            self._emulator.feed(piece)
            if mark is None:
                continue
            typed = self._emulator.typed() if mark.kind is MarkKind.STARTED else ""
            finished = self.tracker.mark(mark, typed)
            if finished is not None:
                self._events.finished(finished)
            if mark.kind is MarkKind.INPUT:
                self._sent = b""
                # After the rest of this output: the shell may still be setting the terminal up for its prompt.
                asyncio.get_running_loop().call_soon(self._type_next)
        self._events.changed()

    def resize(self, columns: int, rows: int) -> None:
        """Change the size of the screen and of the terminal that programs see."""
        self._size = (columns, rows)
        self._emulator.resize(columns, rows)
        if self._process is not None:
            self._process.resize(columns, rows)

    def write(self, data: bytes) -> bool:
        """Send input as it is; False when it was refused."""
        if self.tracker.at_prompt:
            self._sent = (self._sent + data)[-LINE_BYTES:]
            if b"\r" in data:
                # A fast typist's line may not have come back yet, and so not stand on the screen.
                sent = "".join(filter(str.isprintable, self._sent.decode("utf-8", "replace")))
                self.tracker.entered(self._emulator.typed() or sent.strip())
        return self._process is not None and self._process.write(data)

    def run(self, command: str) -> None:
        """Type a command and Enter as soon as the shell is at its prompt."""
        if command.strip():
            self._waiting.append(command.strip("\r\n"))
            self._type_next()
            self._arm_patience()
            self._events.changed()

    def insert(self, text: str) -> None:
        """Type text without Enter, as a paste does."""
        self.write(encode_paste(text, bracketed=self._emulator.mode(Mode.BRACKETED_PASTE)))

    def _type_next(self) -> None:
        """Type the next command that waits, if the shell is at its prompt."""
        if not self.tracker.at_prompt:
            return
        if self._stale:
            self._stale = False
            self._waiting.appendleft(READ_VARIABLES)
        if self._waiting:
            self._type(self._waiting.popleft())

    def _type(self, command: str) -> None:
        """Type a command and Enter, in place of what stands at the prompt."""
        if self._process is None:
            return
        pasted = encode_paste(command, bracketed=self._emulator.mode(Mode.BRACKETED_PASTE))
        self._process.write((KILL_LINE if self._emulator.typed() or self._sent else b"") + pasted + b"\r")
        self.tracker.entered(command)
        # Until the next prompt: a second command must not follow on the heels of this one.
        self.tracker.at_prompt = False
        self._events.changed()

    def _refresh_variables(self, setup: ShellSetup) -> None:
        """Make the shell read its variables anew: now if it can, else with its next prompt."""
        if setup.dialect.refreshes:
            if self.tracker.at_prompt and self._process is not None:
                self._process.write(REFRESH_KEY)
        else:
            self._stale = True
            if self.tracker.at_prompt and not self._emulator.typed():
                self._type_next()

    def _arm_patience(self) -> None:
        """Type what waits even if no prompt is ever seen: the person's start-up file may have replaced the shell."""
        if self._waiting and self._process is not None and not self.tracker.prompted and self._patience is None:
            self._patience = asyncio.get_running_loop().call_later(PATIENCE_S, self._lose_patience)

    def _lose_patience(self) -> None:
        self._patience = None
        while self._waiting and not self.tracker.prompted:
            self._type(self._waiting.popleft())
