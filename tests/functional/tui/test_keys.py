"""Keys, help, palette, panes and leaving."""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path

import pytest
from textual.binding import Binding
from textual.command import CommandPalette

from meshlab.tui.keys import COURSE_KEYS
from meshlab.tui.screens.dialogs import Help
from meshlab.tui.terminal import TerminalPane, emulator_available
from meshlab.tui.widgets.lesson_pane import LessonPane
from meshlab.tui.widgets.pane_bar import PANES, PaneBar
from tests.functional.tui.conftest import Drive


def test_every_key_has_an_id_and_a_tooltip_and_none_has_priority() -> None:
    bindings = [*COURSE_KEYS, *LessonPane.BINDINGS]
    assert all(isinstance(entry, Binding) and entry.id and entry.tooltip and not entry.priority for entry in bindings)
    ids = [entry.id for entry in bindings if isinstance(entry, Binding)]
    assert len(ids) == len(set(ids))


@pytest.mark.full
async def test_help_names_the_pane_and_its_keys(drive: Drive) -> None:
    async with drive() as driven:
        await driven.press("question_mark")
        await driven.until(lambda: isinstance(driven.app.screen, Help))
        await driven.says("The lesson")
        await driven.says("Run or save the next block of this step")
        await driven.press("escape", "3", "question_mark")
        await driven.says("The tasks")


@pytest.mark.full
async def test_the_palette_finds_actions_lessons_and_exercises(drive: Drive) -> None:
    async with drive() as driven:
        await driven.press("ctrl+p")
        await driven.until(lambda: isinstance(driven.app.screen, CommandPalette))
        await driven.press(*"afterwards")
        await driven.says("Lesson: Afterwards")
        await driven.press("down", "enter")
        await driven.says("Nothing more.")


@pytest.mark.full
async def test_numbers_and_tabs_show_panes(drive: Drive) -> None:
    async with drive(80, 24) as driven:
        for number, (pane, _) in enumerate(PANES, 1):
            if pane != "terminal":
                await driven.press(str(number))
                await driven.until(lambda pane=pane: driven.screen.active == pane)  # type: ignore[misc]
        await driven.pilot.click(PaneBar, offset=(14, 0))
        await driven.until(lambda: driven.screen.active == "lesson")


@pytest.mark.full
async def test_f6_goes_to_the_terminal_and_back(drive: Drive) -> None:
    async with drive(80, 24) as driven:
        await driven.press("3")
        await driven.until(lambda: driven.screen.active == "tasks")
        await driven.press("f6")
        await driven.until(lambda: driven.screen.active == "terminal")
        await driven.press("f6")
        await driven.until(lambda: driven.screen.active == "tasks")


@pytest.mark.skipif(not emulator_available(), reason="the emulator's wheel is not installed")
async def test_the_shell_gets_every_key_but_one(drive: Drive) -> None:
    async with drive(120, 40, terminal=True) as driven:
        pane = await driven.until(lambda: next(iter(driven.screen.query(TerminalPane)), None))
        await driven.press("f6")
        await driven.until(lambda: pane.has_focus)
        await driven.until(pane.screen_text.strip)
        await driven.press(*"echo one", "enter")
        await driven.until(lambda: "\none" in pane.screen_text)
        await driven.until(lambda: not pane.busy)
        await driven.press("ctrl+p", "g", "enter")  # the previous command with a letter more
        await driven.until(lambda: "\noneg" in pane.screen_text)
        await driven.press("ctrl+q")
        assert driven.app.is_running
        assert not driven.app._course_screen.check_action("hint", ())
        await driven.press("f6")
        await driven.until(lambda: driven.screen.active == "lesson")


@pytest.mark.full
@pytest.mark.skipif(not emulator_available(), reason="the emulator's wheel is not installed")
async def test_a_block_runs_in_the_terminal_and_its_end_is_noticed(drive: Drive) -> None:
    async with drive(120, 40, terminal=True) as driven:
        await driven.started()
        pane = await driven.until(lambda: next(iter(driven.screen.query(TerminalPane)), None))
        await driven.press("2", "r")
        await driven.until(lambda: "\nhello" in pane.screen_text)
        await driven.until(lambda: "a command ended" in driven.desk.check.nudges)


@pytest.mark.full
@pytest.mark.skipif(not emulator_available(), reason="the emulator's wheel is not installed")
async def test_the_shell_goes_where_a_file_was_saved(drive: Drive, tmp_path: Path) -> None:
    async with drive(200, 50, terminal=True) as driven:
        await driven.started()
        pane = await driven.until(lambda: next(iter(driven.screen.query(TerminalPane)), None))
        await driven.press("2", "r")
        await driven.until(lambda: "\nhello" in pane.screen_text and not pane.busy)
        driven.screen.terminal.enter("after")
        await driven.until(lambda: "/work/after" in pane.screen_text and not pane.busy)
        await driven.press("r")
        await driven.until(lambda: "/work/tour" in pane.screen_text)
        assert (tmp_path / "data" / "meshlab" / "work" / "tour" / "thing.yaml").exists()


@pytest.mark.full
async def test_leaving_waits_for_what_is_under_way(drive: Drive) -> None:
    async with drive() as driven:
        gate = threading.Event()
        under_way = asyncio.create_task(driven.desk.compute(gate.wait))
        await driven.press("ctrl+q")
        await driven.says("finishing what is under way")
        assert driven.app.is_running
        gate.set()
        await under_way
        await driven.until(lambda: not driven.app.is_running)


def test_no_terminal_to_draw_on_is_said(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    from meshlab.cli.main import main

    with open(os.devnull) as nothing:
        monkeypatch.setattr("sys.stdin", nothing)
        assert main([]) == 2
    assert "the course needs a terminal" in capsys.readouterr().err
