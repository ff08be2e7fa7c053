"""Where the terminal stands: opened when the lab is there, or a way to use one's own."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.message import Message
from textual.widgets import Static

from meshlab.tui import workfolder
from meshlab.tui.terminal import OwnTerminal, TerminalPane, emulator_available

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

    def compose(self) -> ComposeResult:
        """Words until the lab is there."""
        yield Static("the terminal opens with the lab", id="terminal-waiting")

    @property
    def terminal(self) -> TerminalPane | OwnTerminal | None:
        """The terminal, once it is there."""
        return next((child for child in self.children if isinstance(child, TerminalPane | OwnTerminal)), None)

    def take_focus(self) -> None:
        """Give the keys to the shell, if there is one."""
        target = self.terminal
        if target is not None and target.can_focus:
            target.focus()

    async def open(self, environment: Mapping[str, str], lesson_id: str) -> None:
        """Open a shell, or tell the open one of changed variables."""
        folder = workfolder.folder(lesson_id or "course")
        terminal = self.terminal
        if terminal is None:
            terminal = (
                TerminalPane(leave_key=self._leave_key)
                if emulator_available()
                else OwnTerminal(self._command_line, NO_EMULATOR)
            )
            await self.remove_children()
            await self.mount(terminal)
            self._folder = folder
        await terminal.open(environment, folder)

    def run(self, command: str, lesson_id: str) -> bool:
        """Type a command, in the lesson's folder; False if there is no terminal yet."""
        terminal = self.terminal
        if terminal is None:
            return False
        folder = workfolder.folder(lesson_id)
        if folder != self._folder:
            terminal.run(f"cd {shlex.quote(str(folder))}")
            self._folder = folder
        terminal.run(command.rstrip("\n"))
        return True

    @on(TerminalPane.CommandFinished)
    def _command_finished(self, event: TerminalPane.CommandFinished) -> None:
        event.stop()
        self.post_message(self.Finished(self))

    @on(TerminalPane.Left)
    def _left(self, event: TerminalPane.Left) -> None:
        event.stop()
        self.post_message(self.Left(self))
