"""An app with nothing but the pane, a home directory of its own, and waiting for conditions."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from textual import events
from textual.app import App, ComposeResult
from textual.binding import Binding
from textual.pilot import Pilot
from textual.widgets import Button

from meshlab.tui.terminal import TerminalPane

WITHIN_S = 20.0


class PaneApp(App[None], inherit_bindings=False):
    """What the course's app has to be like: no priority bindings."""

    ENABLE_COMMAND_PALETTE = False
    BINDINGS = [  # noqa: RUF012
        Binding(key, f"note('{key}')", key) for key in ("ctrl+q", "ctrl+p", "ctrl+c", "f1", "tab", "escape", "q")
    ]

    def __init__(self, **pane: Any) -> None:
        super().__init__()
        self.pane = TerminalPane(**pane)
        self.finished: list[TerminalPane.CommandFinished] = []
        self.left = 0
        self.exits: list[int] = []
        self.noted: list[str] = []

    def compose(self) -> ComposeResult:
        yield self.pane
        yield Button("elsewhere")

    def action_note(self, key: str) -> None:
        self.noted.append(key)

    def on_terminal_pane_command_finished(self, message: TerminalPane.CommandFinished) -> None:
        assert message.control is self.pane
        self.finished.append(message)

    def on_terminal_pane_left(self) -> None:
        self.left += 1
        self.query_one(Button).focus()

    def on_terminal_pane_exited(self, message: TerminalPane.Exited) -> None:
        self.exits.append(message.exit_code)

    @property
    def codes(self) -> list[int | None]:
        return [message.exit_code for message in self.finished]


class Driver:
    """A running app and what a test does with it."""

    def __init__(self, app: PaneApp, pilot: Pilot[None], home: Path) -> None:
        self.app = app
        self.pane = app.pane
        self.pilot = pilot
        self.home = home

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait for a condition; the screen is what one wants to see when it does not come true."""
        try:
            async with asyncio.timeout(WITHIN_S):
                while not condition():
                    await self.pilot.pause()
                    await asyncio.sleep(0.01)
        except TimeoutError:
            raise AssertionError(f"never came true; on the screen:\n{self.pane.screen_text}") from None

    async def sees(self, text: str) -> None:
        await self.until(lambda: text in self.pane.screen_text)

    async def type(self, text: str) -> None:
        """Press the keys of a text; `pilot.press` would wait for the app after each."""
        for character in text:
            key = "enter" if character == "\n" else character
            self.pane.post_message(events.Key(key, "\r" if character == "\n" else character))
        await self.pilot.pause()

    async def prompt(self) -> None:
        """Wait until the shell is idle at its prompt."""
        await self.until(lambda: self.pane.screen_text.rstrip().endswith("$") and not self.pane.busy)

    @staticmethod
    def exists(path: Path) -> bool:
        return path.exists()

    @staticmethod
    def alive(pid: int) -> bool:
        """Whether a process runs; one that ended and waits to be reaped by whoever inherited it does not."""
        try:
            status = Path(f"/proc/{pid}/stat").read_text()
        except (FileNotFoundError, ProcessLookupError):
            return False
        return status.rpartition(")")[2].split()[0] != "Z"

    async def open(self, environment: Mapping[str, str] | None = None) -> None:
        """Open the shell in the home directory, with a bin directory of a lab first on PATH."""
        variables = {"HOME": str(self.home), "PATH": f"{self.home}/labbin:{os.environ['PATH']}"}
        await self.pane.open(variables | dict(environment or {}), self.home)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "labbin").mkdir()
    (tmp_path / ".bashrc").write_text("PS1='mine$ '\nPATH=/owner/bin:$PATH\n")
    return tmp_path


RunApp = Callable[..., Any]


@pytest.fixture
def run_app(home: Path, monkeypatch: pytest.MonkeyPatch) -> RunApp:
    monkeypatch.setenv("SHELL", "/bin/bash")
    for variable in ("PROMPT_COMMAND", "PS1", "ENV", "ZDOTDIR"):
        monkeypatch.delenv(variable, raising=False)

    @asynccontextmanager
    async def run(*, size: tuple[int, int] = (80, 24), start: bool = True, **pane: Any) -> AsyncIterator[Driver]:
        app = PaneApp(**pane)
        async with app.run_test(size=size) as pilot:
            driver = Driver(app, pilot, home)
            app.pane.focus()
            if start:
                await driver.open()
                await driver.prompt()
            yield driver

    return run
