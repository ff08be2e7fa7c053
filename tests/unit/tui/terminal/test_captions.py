"""The words around the screen."""

from __future__ import annotations

from meshlab.tui.terminal.captions import notes, title


def test_the_title_is_what_runs_else_the_windows() -> None:
    assert title("for i in 1\ndo", busy=True, window_title="vim") == "$ for i in 1"
    assert title("", busy=True, window_title="vim") == "vim"
    assert title("ls", busy=False, window_title="") == "Terminal"


def test_the_leave_key_is_always_shown() -> None:
    assert notes(scrolled=False, waiting=0, leave_key="f6") == "F6 leaves the terminal"
    shown = notes(scrolled=True, waiting=2, leave_key="f12")
    assert shown == "2 commands wait for the prompt · scrolled back, any key returns · F12 leaves the terminal"
