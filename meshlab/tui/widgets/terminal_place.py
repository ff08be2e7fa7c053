"""Where the terminal stands: opened when the lab is there, or a way to use one's own."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.message import Message
from textual.widgets import Static

from meshlab.tui import workfolder

if TYPE_CHECKING:
    from meshlab.tui.terminal import OwnTerminal, TerminalPane

NO_EMULATOR = "The terminal pane needs the emulator's wheel (pyghostty), which is not here or switched off."


class TerminalPlace(Vertical):
    """A pane with a shell, in the folder of the lesson that is read.

    Args:
        leave_key: the key that leaves the terminal.
        command_line: what opens a shell on the same cluster elsewhere.
    """

    DEFAULT_CSS = """
    TerminalPlace {
        #terminal-waiting { color: $text-muted; padding: 0 1; }
    }
    """

    @dataclass
    class Finished(Message):
        """A command ended."""

        place: TerminalPlace

        @property
        def control(self) -> TerminalPlace:
            """The place."""
            return self.place

    @dataclass
    class Left(Message):
        """The leave key was pressed."""

        place: TerminalPlace

        @property
        def control(self) -> TerminalPlace:
            """The place."""
            return self.place

    def __init__(self, *, leave_key: str, command_line: str, id: str, classes: str) -> None:
        super().__init__(id=id, classes=classes)
        self._leave_key = leave_key
        self._command_line = command_line
        self._folder: Path | None = None
        self.terminal: TerminalPane | OwnTerminal | None = None
        """The terminal, once it is there."""

    def compose(self) -> ComposeResult:
        """Words until the lab is there."""
        yield Static("the terminal opens with the lab", id="terminal-waiting")

    @property
    def has_keys(self) -> bool:
        """Whether what is typed goes to the shell."""
        return self.terminal is not None and self.terminal.has_focus

    def take_focus(self) -> None:
        """Give the keys to the shell, if there is one."""
        target = self.terminal
        if target is not None and target.can_focus:
            target.focus()

    async def open(self, environment: Mapping[str, str], lesson_id: str) -> None:
        """Open a shell, or tell the open one of changed variables."""
        # The emulator is loaded here, so that the first frame does not wait for it.
        from meshlab.tui.terminal import OwnTerminal, TerminalPane, emulator_available

        folder = workfolder.folder(lesson_id or "course")
        if self.terminal is None:
            self.terminal = (
                TerminalPane(leave_key=self._leave_key)
                if emulator_available()
                else OwnTerminal(self._command_line, NO_EMULATOR)
            )
            await self.remove_children()
            await self.mount(self.terminal)
            self._folder = folder
        await self.terminal.open(environment, folder)

    def run(self, command: str, lesson_id: str) -> bool:
        """Type a command, in the lesson's folder; False if there is no terminal yet."""
        if self.terminal is None:
            return False
        self._enter(self.terminal, lesson_id)
        self.terminal.run(command.rstrip("\n"))
        return True

    def enter(self, lesson_id: str) -> None:
        """Take a shell that waits for a command to the lesson's folder, where its files are."""
        if self.terminal is not None and self.terminal.can_focus and not self.terminal.busy:
            self._enter(self.terminal, lesson_id)

    def _enter(self, terminal: TerminalPane | OwnTerminal, lesson_id: str) -> None:
        folder = workfolder.folder(lesson_id)
        if folder != self._folder:
            terminal.run(f"cd {shlex.quote(str(folder))}")
            self._folder = folder

    def on_terminal_pane_command_finished(self, event: TerminalPane.CommandFinished) -> None:
        """Pass it on."""
        event.stop()
        self.post_message(self.Finished(self))

    def on_terminal_pane_left(self, event: TerminalPane.Left) -> None:
        """Pass it on."""
        event.stop()
        self.post_message(self.Left(self))
