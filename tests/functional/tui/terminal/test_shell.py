"""The pane with a real bash in it: commands, their ends, variables, and the shell's own end."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from meshlab.tui.terminal import emulator_available

pytestmark = pytest.mark.skipif(not emulator_available(), reason="no emulator wheel for this machine")

RunApp = Callable[..., Any]


async def test_a_command_is_typed_and_its_end_is_told(run_app: RunApp) -> None:
    async with run_app() as at:
        await at.type("echo he''llo\n")
        await at.sees("\nhello")
        await at.until(lambda: at.app.codes == [0])
        assert at.app.finished[0].command == "echo he''llo"
        await at.type("(exit 3)\n")
        await at.until(lambda: at.app.codes == [0, 3])
        await at.type("\n")
        await at.type("true\n")
        await at.until(lambda: len(at.app.finished) == 3)
        assert at.app.codes == [0, 3, 0]


async def test_busy_and_the_title_show_what_runs(run_app: RunApp) -> None:
    async with run_app() as at:
        assert not at.pane.busy
        await at.type("sleep 100\n")
        await at.until(lambda: at.pane.busy and "sleep 100" in str(at.pane.border_title))
        await at.pilot.press("ctrl+c")
        await at.until(lambda: at.app.codes == [130])
        assert not at.pane.busy
        assert "F6 leaves" in str(at.pane.border_subtitle)


async def test_a_command_given_before_the_first_prompt_runs(run_app: RunApp) -> None:
    async with run_app(start=False) as at:
        at.pane.run("echo ear''ly")
        await at.open()
        await at.sees("\nearly")
        await at.until(lambda: at.app.codes == [0])


async def test_a_block_of_lines_runs_as_one(run_app: RunApp) -> None:
    async with run_app() as at:
        at.pane.run("echo o''ne\nfor i in a b; do\n  echo tw''o-$i\ndone\n(exit 5)\n")
        await at.sees("two-b")
        await at.until(lambda: at.app.codes[-1:] == [5])
        assert "one" in at.pane.screen_text


async def test_commands_wait_for_the_prompt(run_app: RunApp) -> None:
    async with run_app() as at:
        await at.type("read x; echo got-$x\n")
        await at.until(lambda: at.pane.busy)
        at.pane.run("echo seco''nd")
        await at.until(lambda: "waits for the prompt" in str(at.pane.border_subtitle))
        await at.type("mine\n")
        await at.sees("\nsecond")
        assert "got-mine" in at.pane.screen_text


async def test_what_stands_half_typed_is_not_run(run_app: RunApp) -> None:
    async with run_app() as at:
        await at.type("rm -rf half")
        await at.sees("rm -rf half")
        at.pane.run("echo cle''an")
        await at.until(lambda: at.app.codes == [0])
        assert "\nclean" in at.pane.screen_text


async def test_inserted_text_waits_for_enter(run_app: RunApp) -> None:
    async with run_app() as at:
        at.pane.insert("echo inser''ted")
        await at.sees("inser''ted")
        assert at.app.finished == []
        await at.pilot.press("enter")
        await at.sees("\ninserted")


async def test_the_owners_start_up_file_is_kept_and_the_lab_comes_first(run_app: RunApp) -> None:
    async with run_app() as at:
        assert at.pane.screen_text.startswith("mine$")
        at.pane.run("echo $PATH | cut -d: -f1,2; echo ${HISTFILE-none}")
        await at.sees(f"{at.home}/labbin:/owner/bin")
        await at.sees("\nnone")


async def test_a_prompt_that_is_built_anew_keeps_its_marks(run_app: RunApp, home: Path) -> None:
    (home / ".bashrc").write_text("PROMPT_COMMAND='PS1=\"$? n$((n++))\\$ \"'\n")
    async with run_app() as at:
        await at.type("(exit 7)\n")
        await at.until(lambda: at.app.codes == [7])
        await at.sees("7 n1")
        await at.type("true\n")
        await at.until(lambda: at.app.codes == [7, 0])


async def test_a_plain_prompt_where_there_is_none(run_app: RunApp, home: Path) -> None:
    (home / ".bashrc").write_text("PS1=\n")
    async with run_app(start=False) as at:
        await at.open()
        await at.sees("lab:~")


async def test_history_goes_to_the_lab(run_app: RunApp, home: Path) -> None:
    history = home / "history"
    async with run_app(start=False) as at:
        await at.open({"MESHLAB_HISTORY": str(history)})
        await at.prompt()
        await at.type("echo remem''bered\n")
        await at.until(lambda: at.app.codes == [0])
        await at.type("exit\n")
        await at.until(lambda: at.app.exits == [0])
    assert "echo remem''bered" in history.read_text()
    assert not (home / ".bash_history").exists()


async def test_another_labs_variables_reach_the_running_shell(run_app: RunApp) -> None:
    async with run_app() as at:
        await at.type("echo lab=$LAB pa''th=$PATH")
        await at.open({"LAB": "two", "PATH": f"/lab2/bin:{os.environ['PATH']}"})
        await at.pilot.press("enter")
        await at.sees("lab=two path=/lab2/bin:/owner/bin")
        await at.type("clear; sleep 100\n")
        await at.until(lambda: at.pane.busy)
        await at.open({"LAB": "three"})
        await at.pilot.press("ctrl+c")
        await at.until(lambda: not at.pane.busy)
        await at.type("echo lab=$LAB\n")
        await at.sees("lab=three")


async def test_exit_then_enter_gives_a_new_shell(run_app: RunApp) -> None:
    async with run_app() as at:
        await at.type("exit 4\n")
        await at.until(lambda: at.app.exits == [4])
        await at.sees("press Enter for a new one")
        await at.type("x\n")
        await at.until(lambda: at.pane.screen_text.count("mine$") == 2)
        await at.type("echo ag''ain\n")
        await at.sees("\nagain")


async def test_a_missing_directory_is_said(run_app: RunApp, home: Path) -> None:
    async with run_app(start=False) as at:
        with pytest.raises(Exception, match="cannot be started") as failure:
            await at.pane.open({}, home / "absent")
        assert failure.type.__name__ == "ShellFailed"


@pytest.mark.skipif(shutil.which("dash") is None, reason="no dash here")
async def test_a_plain_posix_shell(run_app: RunApp, home: Path) -> None:
    async with run_app(start=False, shell="dash") as at:
        await at.open()
        await at.sees(f"lab:{home.name}$")
        await at.type("(exit 3)\n")
        await at.until(lambda: at.app.codes == [3])
        at.pane.run("echo o''ne\necho tw''o")
        await at.sees(" two")
        await at.prompt()
        await at.open({"LAB": "two"})
        at.pane.run("echo lab=$LAB")
        await at.sees("\nlab=two")


@pytest.mark.skipif(shutil.which("zsh") is None, reason="no zsh here")
async def test_zsh(run_app: RunApp, home: Path) -> None:
    (home / ".zshrc").write_text("PS1='zmine$ '\npath=(/owner/bin $path)\n")
    async with run_app(start=False, shell="zsh") as at:
        await at.open()
        await at.sees("zmine$")
        await at.type("(exit 3)\n")
        await at.until(lambda: at.app.codes == [3])
        assert at.app.finished[0].command == "(exit 3)"
        at.pane.run("echo o''ne\necho ${path[1]} ${path[2]} ${HISTFILE-none}")
        await at.sees(f"{home}/labbin /owner/bin none")
        await at.prompt()
        await at.type("echo lab=$LAB")
        await at.open({"LAB": "two"})
        await at.pilot.press("enter")
        await at.sees("\nlab=two")


async def test_nothing_is_left_when_the_app_ends(run_app: RunApp, home: Path) -> None:
    pids, pane = home / "pids", home / "pane"
    async with run_app() as at:
        await at.type(f"echo $MESHLAB_PANE > {pane}; echo $$ > {pids}; sleep 1000 & echo $! >> {pids}; fg\n")
        await at.until(lambda: pids.exists() and len(pids.read_text().split()) == 2)
        directory = Path(pane.read_text().strip())
        assert at.exists(directory)
    running = [int(pid) for pid in pids.read_text().split()]
    async with asyncio.timeout(10):
        while any(map(at.alive, running)):
            await asyncio.sleep(0.01)
    assert not at.exists(directory)
