"""The pane as a screen: keys, mouse, paste, sizes, full-screen programs, floods; fed by bytes or by a real shell."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from textual import events
from textual.app import App, ComposeResult
from textual.geometry import Offset
from textual.widgets import TabbedContent, TabPane

from meshlab.tui.terminal import OwnTerminal, TerminalPane, emulator_available
from meshlab.tui.terminal.emulator import EmulatorUnavailable, Mode, Outlets

pytestmark = pytest.mark.skipif(not emulator_available(), reason="no emulator wheel for this machine")

RunApp = Callable[..., Any]


def inside(x: int, y: int) -> Offset:
    """A cell of the screen, which begins within the border."""
    return Offset(x + 1, y + 1)


def style_at(pane: TerminalPane, x: int, y: int = 0) -> Any:
    return next(iter(pane.render_line(y).crop(x, x + 1))).style


async def test_every_key_is_the_shells_but_the_leave_key(run_app: RunApp) -> None:
    async with run_app() as at:
        await at.type("stty raw -echo; cat -v\n")
        await at.until(lambda: at.pane.busy)
        await at.pilot.press("ctrl+q", "ctrl+p", "ctrl+c", "f1", "tab", "shift+tab", "escape", "q", "ctrl+left")
        await at.sees("^Q^P^C^[OP")
        await at.sees("^[[Z^[q^[[1;5D")
        assert at.app.noted == []
        assert at.pane.has_focus
        await at.pilot.press("f6")
        assert at.app.left == 1
        assert not at.pane.has_focus
        await at.pilot.press("q", "f1")
        assert at.app.noted == ["q", "f1"]


async def test_another_leave_key_frees_f6(run_app: RunApp) -> None:
    async with run_app(leave_key="f12") as at:
        await at.type("stty raw -echo; cat -v\n")
        await at.until(lambda: at.pane.busy)
        await at.pilot.press("f6")
        await at.sees("^[[17~")
        assert "F12 leaves" in str(at.pane.border_subtitle)
        await at.pilot.press("f12")
        assert at.app.left == 1


async def test_the_leave_key_can_be_mapped(run_app: RunApp) -> None:
    async with run_app(start=False) as at:
        at.app.set_keymap({"terminal.leave": "f9"})
        at.pane.feed(b"x")
        await at.until(lambda: "F9 leaves" in str(at.pane.border_subtitle))
        await at.pilot.press("f6", "f9")
        assert at.app.left == 1


async def test_a_resize_reaches_the_program_and_wraps_lines_anew(run_app: RunApp) -> None:
    async with run_app(size=(80, 24)) as at:
        await at.type("printf '%0.s-' $(seq 100); echo; tput lines cols\n")
        await at.sees("\n78")
        await at.pilot.resize_terminal(112, 30)
        await at.sees("-" * 100)
        await at.type("clear; tput cols\n")
        await at.sees("110\n")


@pytest.mark.parametrize("size", [(20, 5), (3, 3), (1, 1)])
async def test_no_size_is_too_small(run_app: RunApp, size: tuple[int, int]) -> None:
    async with run_app() as at:
        await at.pilot.resize_terminal(*size)
        await at.type("echo tiny\n")
        await at.until(lambda: at.app.codes == [0])
        await at.pilot.resize_terminal(80, 24)
        await at.sees("tiny")


async def test_in_a_tab_that_is_not_shown_yet(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHELL", "/bin/bash")

    class Tabs(App[None]):
        def compose(self) -> ComposeResult:
            with TabbedContent(initial="first"):
                yield TabPane("First", id="first")
                with TabPane("Terminal", id="second"):
                    yield TerminalPane()

    app = Tabs()
    async with app.run_test(size=(100, 30)) as pilot:
        pane = app.query_one(TerminalPane)
        await pane.open({"HOME": str(home)}, home)
        pane.run("tput cols; tput lines")
        async with asyncio.timeout(20):
            while "80\n24" not in pane.screen_text:
                await pilot.pause(0.01)
            app.query_one(TabbedContent).active = "second"
            while pane.content_size.width == 0:
                await pilot.pause(0.01)
            pane.run("tput cols")
            while f"\n{pane.content_size.width}\n" not in pane.screen_text:
                await pilot.pause(0.01)


async def test_colours_follow_the_theme(run_app: RunApp) -> None:
    async with run_app(start=False) as at:
        at.pane.feed(b"\x1b[31mred\x1b[38;2;1;2;3mrgb")
        await at.until(lambda: style_at(at.pane, 3).color.triplet == (1, 2, 3))
        dark = style_at(at.pane, 0)
        at.app.theme = "textual-light"
        await at.until(lambda: style_at(at.pane, 0).bgcolor != dark.bgcolor)
        assert style_at(at.pane, 0).color != dark.color
        assert style_at(at.pane, 3).color.triplet == (1, 2, 3)


async def test_dragging_selects_and_letting_go_copies(run_app: RunApp) -> None:
    async with run_app(start=False) as at:
        at.pane.feed(b"copy me now")
        await at.sees("copy me")
        await at.pilot.mouse_down(at.pane, offset=inside(5, 0))
        await at.pilot.hover(at.pane, offset=inside(10, 0))
        assert style_at(at.pane, 6).bgcolor != style_at(at.pane, 0).bgcolor
        await at.pilot.mouse_up(at.pane, offset=inside(10, 0))
        assert at.app.clipboard == "me now"
        await at.pilot.click(at.pane, offset=inside(1, 0), times=2)
        assert at.app.clipboard == "copy"


async def test_a_program_copies_by_osc_52(run_app: RunApp) -> None:
    async with run_app() as at:
        await at.type("printf '\\033]52;c;aGFsbG8=\\a'\n")
        await at.until(lambda: at.app.clipboard == "hallo")


async def test_the_mouse_is_the_programs_while_it_tracks_it(run_app: RunApp) -> None:
    async with run_app() as at:
        await at.type("stty raw -echo; printf '\\033[?1000;1006h'; cat -v\n")
        await at.until(lambda: at.pane.emulator is not None and at.pane.emulator.mode(Mode.MOUSE_BUTTONS))
        await at.pilot.click(at.pane, offset=inside(4, 2))
        await at.sees("^[[<0;5;3M^[[<0;5;3m")


async def test_paste_is_bracketed_where_asked_for(run_app: RunApp) -> None:
    async with run_app() as at:
        at.pane.post_message(events.Paste("echo o''ne\necho tw''o"))
        await at.sees("echo tw''o")
        assert at.app.finished == []
        await at.pilot.press("enter")
        await at.sees("\ntwo")


async def test_scrolling_back_and_returning(run_app: RunApp) -> None:
    async with run_app() as at:
        await at.type("seq 1 100\n")
        await at.sees("\n100")
        await at.pilot.press("shift+pageup", "shift+pageup")
        await at.until(lambda: "scrolled back" in str(at.pane.border_subtitle))
        assert "\n100" not in at.pane.screen_text
        await at.pilot.press("shift+pagedown", "shift+pageup")
        await at.type("x")
        await at.sees("$ x")
        await at.until(lambda: "scrolled back" not in str(at.pane.border_subtitle))
        at.pane.post_message(wheel_up(at.pane))
        await at.until(lambda: "\n100" not in at.pane.screen_text or "scrolled" in str(at.pane.border_subtitle))


def wheel_up(pane: TerminalPane) -> events.MouseScrollUp:
    return events.MouseScrollUp(pane, 5, 5, 0, -1, 0, False, False, False)


@pytest.mark.parametrize(("program", "quit"), [("vi -u NONE", ":q!\n"), ("less", "q")], ids=["vi", "less"])
async def test_full_screen_programs(run_app: RunApp, home: Path, program: str, quit: str) -> None:
    if shutil.which(program.split(maxsplit=1)[0]) is None:
        pytest.skip(f"no {program} here")
    (home / "text").write_text("".join(f"line {n}\n" for n in range(200)))
    async with run_app() as at:
        await at.type(f"{program} text\n")
        await at.sees("line 5")
        await at.until(lambda: at.pane.emulator is not None and at.pane.emulator.alternate)
        await at.pilot.resize_terminal(60, 12)
        await at.until(lambda: "line 20" not in at.pane.screen_text)
        await at.type("G" if "vi" in program else ">")
        await at.sees("line 199")
        await at.type(quit)
        await at.until(lambda: at.app.codes == [0])
        assert at.pane.screen_text.startswith("mine$")


async def test_a_flood_leaves_the_app_responsive(run_app: RunApp) -> None:
    async with run_app() as at:
        await at.type("yes 'level=info msg=\"a log line of common length\" path=/productpage code=200'\n")
        await at.until(lambda: at.pane.busy)
        latencies = []
        for _ in range(100):
            started = time.perf_counter()
            await asyncio.sleep(0)
            await asyncio.sleep(0.005)
            latencies.append(time.perf_counter() - started - 0.005)
        assert sorted(latencies)[94] < 0.1
        await at.pilot.press("ctrl+c")
        await at.until(lambda: at.app.codes == [130])
        await at.type("clear; echo still ali''ve\n")
        await at.sees("still alive")


async def test_silence_costs_nothing(run_app: RunApp) -> None:
    async with run_app(start=False) as at:
        at.pane.feed(b"x")
        await at.sees("x")
        await at.until(lambda: not at.pane.repaint_due)


async def test_no_emulator_means_a_terminal_of_ones_own(run_app: RunApp) -> None:
    def none(columns: int, rows: int, outlets: Outlets) -> Any:
        raise EmulatorUnavailable("No wheel for this machine.")

    async with run_app(start=False, emulator_factory=none, command_line="meshlab --lab two shell") as at:
        own = at.pane.query_one(OwnTerminal)
        await at.open()
        at.pane.run("kubectl get pods\n")
        await at.pilot.pause()
        assert at.app.clipboard == "kubectl get pods"
        shown = str(own.render())
        assert "No wheel for this machine." in shown
        assert "meshlab --lab two shell" in shown
        assert 'eval "$(meshlab --lab two env)"' in shown
        assert "kubectl get pods" in shown
        assert not at.pane.can_focus
        assert not at.pane.busy
