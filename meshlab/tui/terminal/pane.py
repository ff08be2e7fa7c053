"""The terminal pane: a shell, drawn by Textual.

It passes on what flows between three parts: `surface.py` has the screen and the mouse, `session.py` the shell, and the
app the course.

While the pane has focus every key belongs to the shell, but for the pane's own bindings. A widget sees a key before any
binding that has no priority, so an app has to do two things, or `ctrl+q` and `ctrl+p` never get here:

* drop Textual's own priority bindings: subclass `App` with `inherit_bindings=False` and declare quitting anew
  without `priority`; set `ENABLE_COMMAND_PALETTE = False` or another `COMMAND_PALETTE_BINDING`;
* declare no priority bindings of its own, and move focus when the pane posts `TerminalPane.Left`.

A pane that is maximized gives Escape to Textual; set `ESCAPE_TO_MINIMIZE = False` on its screen.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.message import Message

from meshlab.errors import MeshlabError
from meshlab.tui.terminal import captions
from meshlab.tui.terminal.emulator import EmulatorFactory, EmulatorUnavailable, Mode, Outlets
from meshlab.tui.terminal.engine import default_emulator, load_engine
from meshlab.tui.terminal.keys import encode_key, encode_paste
from meshlab.tui.terminal.marks import Finished
from meshlab.tui.terminal.own import OwnTerminal
from meshlab.tui.terminal.session import SessionEvents, ShellSession
from meshlab.tui.terminal.surface import TerminalSurface

SIZE = (80, 24)
"""The size until the pane is shown."""
SHELL_ENDED = b"\x1b[?1049l\x1b[!p\x1b[?1000;1002;1003;1004;2004l\r\n[The shell ended: press Enter for a new one]\r\n"
"""Undoes what a program that was killed may have left (alternate screen, mouse, paste brackets) and says what to do."""


class TerminalPane(TerminalSurface, can_focus=True):
    """A terminal with a shell in it.

    Args:
        leave_key: the key that leaves the pane.
        command_line: what opens a shell in a terminal of one's own, should no emulator run here.
        emulator_factory: makes the emulator.
        shell: the program to start; the person's own shell by default.
        name: the widget's name.
        id: its id.
        classes: its CSS classes.
        disabled: whether it is disabled.
    """

    DEFAULT_CSS = """
    TerminalPane {
        width: 1fr;
        height: 1fr;
        min-height: 1;
        border: round $border-blurred;
        border-title-color: $text-muted;
        border-subtitle-color: $text-muted;
        &:focus {
            border: round $border;
            border-title-color: $text;
            border-subtitle-color: $text-accent;
        }
        &.-own { border: none; }
    }
    """
    BINDING_GROUP_TITLE = "Terminal"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f6", "leave", "Leave the terminal", tooltip="Give the keys back to the course", id="terminal.leave"),
        Binding(
            "ctrl+shift+c",
            "copy",
            "Copy",
            show=False,
            tooltip="Copy the selection; letting go of the mouse does too",
            id="terminal.copy",
        ),
        Binding(
            "shift+pageup",
            "scroll_history(-1)",
            "Back",
            show=False,
            tooltip="Show what has scrolled away",
            id="terminal.back",
        ),
        Binding(
            "shift+pagedown",
            "scroll_history(1)",
            "Forward",
            show=False,
            tooltip="Return towards the prompt",
            id="terminal.forward",
        ),
    ]
    HELP = """
## Terminal

A shell with `kubectl`, `istioctl` and `curl`, on the lab's cluster. While it has focus, **every key is the shell's**,
also Ctrl+P, Ctrl+Q and Tab; **F6** leaves it.

- When a command ends, the exercise is checked.
- Drag to select; letting go copies. Twice selects a word, three times a line. Hold Shift when a program has the mouse.
- The wheel, Shift+PageUp and Shift+PageDown show what has scrolled away; any key returns.
- `exit` ends the shell; Enter starts a new one.
"""

    @dataclass
    class CommandFinished(Message):
        """A command ended in the shell. A hint: any program can print what looks like it."""

        pane: TerminalPane
        exit_code: int | None
        """Its exit status, if the shell said."""
        command: str
        """What was typed, as far as it could be read off the screen."""

        @property
        def control(self) -> TerminalPane:
            """The pane."""
            return self.pane

    @dataclass
    class Left(Message):
        """The leave key was pressed; the app moves the focus."""

        pane: TerminalPane

        @property
        def control(self) -> TerminalPane:
            """The pane."""
            return self.pane

    @dataclass
    class Exited(Message):
        """The shell ended; Enter starts another."""

        pane: TerminalPane
        exit_code: int

        @property
        def control(self) -> TerminalPane:
            """The pane."""
            return self.pane

    def __init__(
        self,
        *,
        leave_key: str = "f6",
        command_line: str = "meshlab shell",
        emulator_factory: EmulatorFactory = default_emulator,
        shell: str | None = None,
        name: str | None = None,
        id: str | None = None,
        classes: str | None = None,
        disabled: bool = False,
    ) -> None:
        super().__init__(name=name, id=id, classes=classes, disabled=disabled)
        self._leave_key = leave_key
        self._command_line = command_line
        self._factory = emulator_factory
        self._shell = shell
        self._session: ShellSession | None = None
        self._own: OwnTerminal | None = None
        self._opened: tuple[Mapping[str, str], Path] | None = None
        self._early: list[Callable[[], None]] = []
        self._ended = False
        self._rang = False
        self._captions = ("", "")

    # What the app calls

    async def open(self, environment: Mapping[str, str], directory: Path) -> None:
        """Start the shell, or have the running one take over other variables.

        Args:
            environment: the lab's variables, put over the app's own; the first directory of its PATH stays first.
            directory: where a new shell starts.

        Raises:
            ShellFailed: it cannot be started.
        """
        self._opened = (dict(environment), directory)
        if self._session is not None:
            await self._session.open(environment, directory)
            self._ended = False
            self.changed()

    def run(self, command: str) -> None:
        """Type a command, or several lines, and Enter: at the prompt, so perhaps later.

        Args:
            command: what to type, as the person would.
        """
        if self._own is not None:
            self._own.run(command)
        elif self._session is not None:
            self._session.run(command)
        else:
            self._early.append(lambda: self.run(command))

    def insert(self, text: str) -> None:
        """Type text without Enter."""
        if self._own is not None:
            self._own.insert(text)
        elif self._session is not None:
            self._session.insert(text)
        else:
            self._early.append(lambda: self.insert(text))

    def feed(self, data: bytes) -> None:
        """Show bytes as if a program had printed them; needs no shell."""
        if self._session is not None:
            self._session.feed(data)
        elif self._own is None:
            self._early.append(lambda: self.feed(data))

    @property
    def busy(self) -> bool:
        """Whether a command runs in the shell."""
        return self._session is not None and self._session.tracker.busy

    # Life

    async def on_mount(self) -> None:
        if self._factory is default_emulator:
            await asyncio.to_thread(load_engine)
        try:
            emulator = self._factory(*SIZE, Outlets(reply=self.send, copy=self.copy, bell=self._ring))
        except EmulatorUnavailable as unavailable:
            self._own = OwnTerminal(self._command_line, unavailable.message)
            self.add_class("-own")
            self.can_focus = False
            await self.mount(self._own)
        else:
            listeners = SessionEvents(self.changed, self._finished, self._shell_ended)
            self._session = ShellSession(emulator, listeners, shell=self._shell)
            self.show_emulator(emulator)
            self.on_resize()
            if self._opened is not None:
                await self._start_again()
        early, self._early = self._early, []
        for call in early:
            call()

    async def on_unmount(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None
        self.drop_emulator()

    def on_resize(self) -> None:
        columns, rows = self.content_size
        if self._session is not None and self.pointer is not None and columns > 0 and rows > 0:
            self.pointer.clear()
            self._session.resize(columns, rows)
            self.changed()

    def _finished(self, finished: Finished) -> None:
        self.post_message(self.CommandFinished(self, finished.exit_code, finished.command))

    def _shell_ended(self, status: int) -> None:
        self._ended = True
        if self.emulator is not None:
            self.emulator.feed(SHELL_ENDED)
        self.post_message(self.Exited(self, status))
        self.changed()

    async def _start_again(self) -> None:
        """Start the shell that the app asked for; a failure is shown, as nobody here could do better."""
        if self._opened is not None:
            try:
                await self.open(*self._opened)
            except MeshlabError as error:
                self.notify(error.message, title=error.title, severity="error")

    # Keys, paste, focus

    def send(self, data: bytes) -> None:
        if data and self._session is not None:
            self._session.write(data)

    def _ring(self, _: None) -> None:
        self._rang = True
        self.changed()

    async def on_key(self, event: events.Key) -> None:
        if self.emulator is None or self.pointer is None:
            return
        if event.key == self._leave_key:
            event.stop()
            self.action_leave()
            return
        bound = self.screen.active_bindings.get(event.key)
        if bound is not None and bound.node is self:
            # Not stopped: the app runs the action when the event gets there.
            return
        event.stop()
        event.prevent_default()
        if self._ended:
            if event.key == "enter":
                await self._start_again()
            return
        data = encode_key(
            event.key,
            event.character,
            application_cursor=self.emulator.mode(Mode.CURSOR_KEYS),
            keyboard_flags=self.emulator.keyboard_flags,
        )
        if data:
            self._to_bottom()
            self.send(data)

    def on_paste(self, event: events.Paste) -> None:
        event.stop()
        if self.emulator is not None:
            self._to_bottom()
            self.send(encode_paste(event.text, bracketed=self.emulator.mode(Mode.BRACKETED_PASTE)))

    def _to_bottom(self) -> None:
        if self.emulator is not None and self.pointer is not None:
            self.pointer.clear()
            if not self.emulator.history.at_bottom:
                self.emulator.scroll_to_bottom()
                self.changed()

    def on_focus(self) -> None:
        self._focus_changed(b"\x1b[I")

    def on_blur(self) -> None:
        self._focus_changed(b"\x1b[O")

    def _focus_changed(self, report: bytes) -> None:
        if self.emulator is not None and self.emulator.mode(Mode.FOCUS_EVENTS):
            self.send(report)
        self.changed()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """The key F6 is the shell's where the app chose another one to leave with."""
        return not (action == "leave" and self._leave_key != "f6")

    def action_leave(self) -> None:
        """Ask the app to move the focus elsewhere."""
        self.post_message(self.Left(self))

    def action_copy(self) -> None:
        """Copy what is selected."""
        self.copy(self.pointer.selected_text() if self.pointer is not None else "")

    def action_scroll_history(self, direction: int) -> None:
        """Show the page before (-1) or after (1); a full-screen program gets the key instead."""
        if self.emulator is None:
            return
        if self.emulator.alternate:
            self.send(encode_key("shift+pageup" if direction < 0 else "shift+pagedown", None))
        else:
            self.emulator.scroll(direction * max(self.content_size.height - 1, 1))
            self.changed()

    # Around the screen

    def before_paint(self) -> None:
        emulator = self.emulator
        if emulator is None:
            return
        if self._rang:
            # Once per repaint, however often the program rang.
            self._rang = False
            self.app.bell()
        if self._session is None:
            return
        tracker = self._session.tracker
        title = captions.title(tracker.command, busy=tracker.busy, window_title=emulator.title)
        notes = captions.notes(
            scrolled=not emulator.history.at_bottom, waiting=self._session.waiting, leave_key=self._leave_key_name()
        )
        if (title, notes) != self._captions:
            self._captions = title, notes
            # As content: what a program calls its window is no markup.
            self.border_title, self.border_subtitle = Content(title), Content(notes)

    def _leave_key_name(self) -> str:
        """The leave key as the person's keymap has it."""
        for active in self.screen.active_bindings.values():
            if active.node is self and active.binding.id == "terminal.leave":
                return self.app.get_key_display(active.binding)
        return self.app.get_key_display(Binding(self._leave_key, ""))
