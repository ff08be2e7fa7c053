"""The course on a screen, driven by Pilot, with a scripted desk in place of a cluster."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

import pytest
from textual.pilot import Pilot
from textual.widget import Widget

from meshlab.cluster.mesh import MeshInfo
from meshlab.course.catalogue import Course
from meshlab.tui.app import MeshlabApp
from meshlab.tui.screens.course import CourseScreen
from meshlab.tui.widgets.task_item import TaskItem
from tests.fakes.desk import ScriptedDesk

T = TypeVar("T")
W = TypeVar("W", bound=Widget)

COURSE = Path(__file__).parent / "course"
ISTIO = MeshInfo("istio", "1.31.0", ready=True, gateways=())
WAIT_S = 20.0
POLL_S = 0.05


@dataclass
class Driven:
    """An app that runs, and everything a test does to it."""

    app: MeshlabApp
    pilot: Pilot[Any]
    desk: ScriptedDesk

    @property
    def screen(self) -> CourseScreen:
        """The course."""
        return cast(CourseScreen, self.app.get_default_screen())

    def one(self, kind: type[W], selector: str | None = None) -> W:
        """A widget of the screen that is on top."""
        return self.app.screen.query_one(selector, kind) if selector else self.app.screen.query_one(kind)

    async def press(self, *keys: str) -> None:
        """Press keys, one after the other."""
        await self.pilot.press(*keys)

    async def until(self, probe: Callable[[], T | None]) -> T:
        """Wait until a probe gives something true; the value."""
        deadline = time.monotonic() + WAIT_S
        while not (value := probe()):
            assert time.monotonic() < deadline, f"nothing came of it in time; the screen says:\n{self.text}"
            await self.pilot.pause(POLL_S)
        return value

    async def says(self, text: str) -> None:
        """Wait until a text stands on the screen."""
        await self.until(lambda: text in self.text)

    @property
    def text(self) -> str:
        """What stands on the screen."""
        return "\n".join(
            "".join(segment.text for segment in strip) for strip in self.app.screen._compositor.render_strips()
        )

    async def started(self) -> None:
        """Open the tour's exercise and start it."""
        await self.until(lambda: self.screen.exercise.is_ready and self.screen.exercise.exercise_id == "tour")
        await self.press("s")
        await self.until(lambda: self.desk.checks)
        item = await self.until(lambda: next(iter(self.screen.query(TaskItem)), None))
        # Where the keys go first depends on what came first, the tasks or the focus.
        self.screen.exercise.take_focus()
        await self.until(lambda: item.has_focus)
        await self.says("split")


Drive = Callable[..., AbstractAsyncContextManager[Driven]]


@pytest.fixture
def drive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Drive:
    """Opens the course at a size; the terminal pane is off unless ``terminal`` is set.

    Everything is there when the test begins, unless ``ready`` is unset.
    """
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.delenv("NO_COLOR", raising=False)
    # A prompt of known length: one that fills its line with a command joins it with what the command prints.
    home = tmp_path / "home"
    home.mkdir()
    (home / ".bashrc").write_text("PS1='lab$ '\n")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("SHELL", "/bin/bash")

    @asynccontextmanager
    async def run(
        width: int = 120,
        height: int = 70,
        *,
        terminal: bool = False,
        desk: ScriptedDesk | None = None,
        ready: bool = True,
    ) -> AsyncIterator[Driven]:
        if not terminal:
            monkeypatch.setenv("MESHLAB_NO_TERMINAL", "1")
        course = Course(COURSE)
        desk = desk or ScriptedDesk(course, tmp_path, mesh=ISTIO)
        app = MeshlabApp(course, cast(Any, desk.provider), variables=dict, shell_command="meshlab shell", desk=desk)
        app.animation_level = "none"
        async with app.run_test(size=(width, height), notifications=True) as pilot:
            driven = Driven(app, pilot, desk)
            if ready:
                await driven.until(lambda: driven.desk.brought_up and driven.screen.exercise.is_ready)
                await driven.until(lambda: not list(app.workers))
            yield driven
            if app.is_running:
                await asyncio.wait_for(app._leave(), WAIT_S)

    return run
