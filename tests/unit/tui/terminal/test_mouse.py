"""What a program that tracks the mouse hears, and what a person selects."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from meshlab.tui.terminal.emulator import Emulator, Outlets, Run
from meshlab.tui.terminal.engine import default_emulator, emulator_available
from meshlab.tui.terminal.mouse import WHEEL_DOWN, WHEEL_UP, Action, MouseReport, encode_mouse, tracks_mouse
from meshlab.tui.terminal.pointer import Pointer
from meshlab.tui.terminal.selection import Selection, word_at

pytestmark = pytest.mark.skipif(not emulator_available(), reason="no emulator wheel for this machine")

PRESS = MouseReport(Action.PRESS, 0, 2, 4)
RELEASE = MouseReport(Action.RELEASE, 0, 2, 4)
DRAG = MouseReport(Action.MOVE, 0, 2, 4)
HOVER = MouseReport(Action.MOVE, None, 2, 4)


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    emulator = default_emulator(20, 5, Outlets())
    yield emulator
    emulator.close()


def test_nothing_is_said_unasked(emulator: Emulator) -> None:
    assert not tracks_mouse(emulator)
    assert encode_mouse(PRESS, emulator) == b""


@pytest.mark.parametrize(
    ("mode", "heard"),
    [
        (9, [True, False, False, False]),
        (1000, [True, True, False, False]),
        (1002, [True, True, True, False]),
        (1003, [True, True, True, True]),
    ],
)
def test_each_mode_hears_its_own(emulator: Emulator, mode: int, heard: list[bool]) -> None:
    emulator.feed(b"\x1b[?%dh" % mode)
    assert tracks_mouse(emulator)
    assert [bool(encode_mouse(report, emulator)) for report in (PRESS, RELEASE, DRAG, HOVER)] == heard


def test_sgr_encoding(emulator: Emulator) -> None:
    emulator.feed(b"\x1b[?1003;1006h")
    assert encode_mouse(PRESS, emulator) == b"\x1b[<0;3;5M"
    assert encode_mouse(RELEASE, emulator) == b"\x1b[<0;3;5m"
    assert encode_mouse(DRAG, emulator) == b"\x1b[<32;3;5M"
    assert encode_mouse(HOVER, emulator) == b"\x1b[<35;3;5M"
    assert encode_mouse(MouseReport(Action.PRESS, WHEEL_UP, 299, 0, ctrl=True), emulator) == b"\x1b[<80;300;1M"
    assert encode_mouse(MouseReport(Action.RELEASE, WHEEL_DOWN, 0, 0), emulator) == b""


def test_old_encoding_has_a_limit(emulator: Emulator) -> None:
    emulator.feed(b"\x1b[?1000h")
    assert encode_mouse(PRESS, emulator) == b"\x1b[M\x20\x23\x25"
    assert encode_mouse(RELEASE, emulator) == b"\x1b[M\x23\x23\x25"
    assert encode_mouse(MouseReport(Action.PRESS, 0, 223, 0), emulator) == b""


def test_a_drag_selects_in_either_direction(emulator: Emulator) -> None:
    emulator.feed(b"one two\r\nthree")
    pointer = Pointer(emulator, lambda _: None, lambda: None)
    pointer.press(MouseReport(Action.PRESS, 0, 2, 1))
    pointer.move(MouseReport(Action.MOVE, 0, 4, 0), (20, 5))
    assert pointer.release(MouseReport(Action.RELEASE, 0, 4, 0)) == "two\nthr"


def test_a_click_selects_nothing(emulator: Emulator) -> None:
    pointer = Pointer(emulator, lambda _: None, lambda: None)
    pointer.press(PRESS)
    assert pointer.release(RELEASE) == ""
    assert pointer.selection is None


def test_twice_selects_a_word_and_three_times_a_line(emulator: Emulator) -> None:
    emulator.feed(b"get pod/web-1 -n x")
    emulator.damage()
    pointer = Pointer(emulator, lambda _: None, lambda: None)
    assert pointer.click(MouseReport(Action.PRESS, 0, 6, 0), 1, 20) == ""
    assert pointer.click(MouseReport(Action.PRESS, 0, 6, 0), 2, 20) == "pod/web-1"
    assert pointer.click(MouseReport(Action.PRESS, 0, 6, 0), 3, 20) == "get pod/web-1 -n x"


def test_dragging_over_the_edge_scrolls(emulator: Emulator) -> None:
    emulator.feed(b"\r\n".join(b"row %d" % n for n in range(12)))
    pointer = Pointer(emulator, lambda _: None, lambda: None)
    pointer.press(MouseReport(Action.PRESS, 0, 0, 0))
    pointer.move(MouseReport(Action.MOVE, 0, 0, -1), (20, 5))
    assert pointer.release(MouseReport(Action.RELEASE, 0, 0, -1)) == "row 6\nr"


def test_shift_takes_the_mouse_from_the_program(emulator: Emulator) -> None:
    emulator.feed(b"text\x1b[?1000;1006h")
    sent: list[bytes] = []
    pointer = Pointer(emulator, sent.append, lambda: None)
    pointer.press(MouseReport(Action.PRESS, 0, 0, 0, shift=True))
    pointer.move(MouseReport(Action.MOVE, 0, 3, 0, shift=True), (20, 5))
    assert pointer.release(MouseReport(Action.RELEASE, 0, 3, 0, shift=True)) == "text"
    assert sent == []


def test_a_release_goes_to_who_had_the_press(emulator: Emulator) -> None:
    emulator.feed(b"\x1b[?1000;1006h")
    sent: list[bytes] = []
    pointer = Pointer(emulator, sent.append, lambda: None)
    pointer.press(PRESS)
    pointer.release(RELEASE)
    assert sent == [b"\x1b[<0;3;5M", b"\x1b[<0;3;5m"]


def test_the_wheel_scrolls_or_sends(emulator: Emulator) -> None:
    sent: list[bytes] = []
    pointer = Pointer(emulator, sent.append, lambda: None)
    emulator.feed(b"\r\n" * 20)
    top = emulator.history.top
    pointer.wheel(PRESS, -1)
    assert emulator.history.top == top - 3
    emulator.feed(b"\x1b[?1049h\x1b[?1h")
    pointer.wheel(PRESS, 1)
    emulator.feed(b"\x1b[?1000;1006h")
    pointer.wheel(PRESS, 1)
    assert sent == [b"\x1bOB" * 3, b"\x1b[<65;3;5M"]


def test_spans_of_a_selection() -> None:
    selection = Selection((5, 3), (2, 1))
    assert [selection.span(row, 10) for row in range(5)] == [None, (2, 10), (0, 10), (0, 6), None]


def test_words_count_in_cells() -> None:
    row = (Run("a ", 2), Run("日", 2), Run("本", 2), Run(" b", 2))
    assert word_at(row, 3) == (2, 5)
    assert word_at(row, 1) == (1, 1)
    assert word_at(row, 99) == (99, 99)
