"""The contract of `Emulator`, on byte strings: an engine that is to stand behind the pane has to pass this file."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from meshlab.tui.terminal.emulator import Cursor, CursorShape, Emulator, EmulatorUnavailable, Look, Mode, Outlets
from meshlab.tui.terminal.engine import SWITCH, default_emulator, emulator_available

pytestmark = pytest.mark.skipif(not emulator_available(), reason="no emulator wheel for this machine")

MakeEmulator = Callable[..., Emulator]


@pytest.fixture
def make() -> Iterator[MakeEmulator]:
    made: list[Emulator] = []

    def make(columns: int = 20, rows: int = 4, **outlets: Callable[..., None]) -> Emulator:
        made.append(default_emulator(columns, rows, Outlets(**outlets)))
        return made[-1]

    yield make
    for emulator in made:
        emulator.close()


def lines(emulator: Emulator, rows: int) -> list[str]:
    emulator.damage()
    return ["".join(run.text for run in emulator.row(y)).rstrip() for y in range(rows)]


def look(emulator: Emulator, x: int = 0, y: int = 0) -> Look:
    emulator.damage()
    column = 0
    for run in emulator.row(y):
        column += run.cells
        if column > x:
            return run.look
    raise AssertionError(f"no cell {x}, {y}")


def test_text_wraps_and_scrolls_into_the_history(make: MakeEmulator) -> None:
    emulator = make(5, 2)
    emulator.feed(b"one\r\ntwo\r\nthree four")
    assert lines(emulator, 2) == ["three", " four"]
    assert (emulator.history.top, emulator.history.visible, emulator.history.total) == (2, 2, 4)
    assert emulator.history.at_bottom
    emulator.scroll(-2)
    assert lines(emulator, 2) == ["one", "two"]
    assert not emulator.history.at_bottom
    emulator.scroll_to_bottom()
    assert lines(emulator, 2) == ["three", " four"]


def test_every_row_accounts_for_every_cell(make: MakeEmulator) -> None:
    emulator = make(20, 2)
    emulator.feed("a日b👍🏽c e\u0301 \x1b[44mx\x1b[K".encode())
    emulator.damage()
    assert sum(run.cells for run in emulator.row(0)) == 20
    wide = [(run.text, run.cells) for run in emulator.row(0) if not run.text.isascii()]
    assert wide == [("日", 2), ("👍🏽", 2), ("e\u0301", 1)]


@pytest.mark.parametrize(
    ("sequence", "expected"),
    [
        (b"\x1b[1m", Look(bold=True)),
        (b"\x1b[2m", Look(dim=True)),
        (b"\x1b[3;9m", Look(italic=True, strike=True)),
        (b"\x1b[4m", Look(underline=True)),
        (b"\x1b[7m", Look(reverse=True)),
        (b"\x1b[8m", Look(conceal=True)),
        (b"\x1b[31;42m", Look(foreground=1, background=2)),
        (b"\x1b[91m", Look(foreground=9)),
        (b"\x1b[38;5;208m", Look(foreground=208)),
        (b"\x1b[38;2;1;2;3m", Look(foreground=(1, 2, 3))),
        (b"\x1b[1m\x1b[0m", Look()),
    ],
)
def test_looks(make: MakeEmulator, sequence: bytes, expected: Look) -> None:
    emulator = make()
    emulator.feed(sequence + b"x")
    assert look(emulator) == expected


def test_erased_cells_keep_the_background(make: MakeEmulator) -> None:
    emulator = make()
    emulator.feed(b"\x1b[48;2;9;8;7m\x1b[K\r\n\x1b[0m\x1b[43m\x1b[K")
    assert look(emulator, 5, 0) == Look(background=(9, 8, 7))
    assert look(emulator, 5, 1) == Look(background=3)


def test_damage_names_the_rows_that_changed(make: MakeEmulator) -> None:
    emulator = make(20, 4)
    emulator.feed(b"a\r\nb")
    emulator.damage()
    assert emulator.damage() == ()
    emulator.feed(b"c")
    assert emulator.damage() == [1]


def test_the_cursor_moves_changes_shape_and_hides(make: MakeEmulator) -> None:
    emulator = make()
    emulator.feed(b"ab")
    emulator.damage()
    assert emulator.cursor == Cursor(2, 0)
    emulator.feed(b"\x1b[6 q\x1b[3;5H")
    emulator.damage()
    assert emulator.cursor == Cursor(4, 2, CursorShape.BAR)
    emulator.feed(b"\x1b[?25l")
    emulator.damage()
    assert emulator.cursor is None


def test_a_resize_wraps_long_lines_anew(make: MakeEmulator) -> None:
    emulator = make(10, 4)
    emulator.feed(b"abcdefghijklmno\r\n")
    assert lines(emulator, 2) == ["abcdefghij", "klmno"]
    emulator.resize(20, 4)
    assert lines(emulator, 2) == ["abcdefghijklmno", ""]
    emulator.resize(1, 1)
    emulator.damage()
    emulator.resize(20, 4)
    assert "abcdefghijklmno" in emulator.text((0, 0), (19, 30))


def test_a_full_screen_program_leaves_no_trace(make: MakeEmulator) -> None:
    emulator = make()
    emulator.feed(b"before\x1b[?1049h\x1b[2J\x1b[Hinside")
    assert emulator.alternate
    assert lines(emulator, 1) == ["inside"]
    emulator.feed(b"\x1b[?1049l")
    assert not emulator.alternate
    assert lines(emulator, 1) == ["before"]


@pytest.mark.parametrize(
    "mode", [Mode.CURSOR_KEYS, Mode.MOUSE_ALL, Mode.MOUSE_SGR, Mode.FOCUS_EVENTS, Mode.BRACKETED_PASTE]
)
def test_modes_are_set_and_reset(make: MakeEmulator, mode: Mode) -> None:
    emulator = make()
    assert not emulator.mode(mode)
    emulator.feed(b"\x1b[?%dh" % mode)
    assert emulator.mode(mode)
    emulator.feed(b"\x1b[?%dl" % mode)
    assert not emulator.mode(mode)


def test_the_kitty_keyboard_is_asked_for(make: MakeEmulator) -> None:
    emulator = make()
    assert emulator.keyboard_flags == 0
    emulator.feed(b"\x1b[>1u")
    assert emulator.keyboard_flags == 1


def test_title(make: MakeEmulator) -> None:
    emulator = make()
    assert emulator.title == ""
    emulator.feed("\x1b]2;héllo\x07".encode())
    assert emulator.title == "héllo"


def test_queries_are_answered(make: MakeEmulator) -> None:
    replies: list[bytes] = []
    emulator = make(reply=replies.append)
    emulator.feed(b"ab\x1b[6n")
    assert replies == [b"\x1b[1;3R"]
    emulator.feed(b"\x1b[c")
    assert replies[1].startswith(b"\x1b[?")


def test_programs_hear_which_colours_are_shown(make: MakeEmulator) -> None:
    replies: list[bytes] = []
    emulator = make(reply=replies.append)
    emulator.recolor((255, 255, 255), (0, 0, 0), [(n, n, n) for n in range(16)])
    emulator.feed(b"\x1b]11;?\x07\x1b]4;1;?\x07")
    assert replies == [b"\x1b]11;rgb:0000/0000/0000\x07", b"\x1b]4;1;rgb:0101/0101/0101\x07"]


def test_the_clipboard_can_be_written_and_never_read(make: MakeEmulator) -> None:
    copied: list[str] = []
    replies: list[bytes] = []
    emulator = make(copy=copied.append, reply=replies.append)
    emulator.feed(b"\x1b]52;c;aGFsbG8=\x07\x1b]52;c;?\x07")
    assert copied == ["hallo"]
    assert replies == []


def test_the_bell_rings(make: MakeEmulator) -> None:
    rings: list[None] = []
    make(bell=rings.append).feed(b"\x07\x07")
    assert len(rings) == 2


def test_text_joins_wrapped_lines_and_reaches_into_the_history(make: MakeEmulator) -> None:
    emulator = make(5, 2)
    emulator.feed(b"abcdefgh\r\nij\r\nkl")
    assert emulator.text((0, 0), (4, 3)) == "abcdefgh\nij\nkl"
    assert emulator.text((1, 0), (3, 0)) == "bcd"
    assert emulator.text((0, 2), (900, 900)) == "ij\nkl"


PROMPT = b"\x1b]133;A\x07$ \x1b]133;B\x07"


def test_what_is_typed_at_the_prompt_can_be_read(make: MakeEmulator) -> None:
    emulator = make(12, 4)
    emulator.feed(b"old output\r\n" + PROMPT)
    assert emulator.typed() == ""
    emulator.feed(b"kubectl get pods")
    assert emulator.typed() == "kubectl get pods"
    emulator.feed(b"\r\n")
    assert emulator.typed() == "kubectl get pods"


def test_several_typed_lines_can_be_read(make: MakeEmulator) -> None:
    emulator = make(20, 4)
    emulator.feed(PROMPT + b"for i in 1; do\r\necho $i; done")
    assert emulator.typed() == "for i in 1; do\necho $i; done"


def test_no_bytes_make_it_raise(make: MakeEmulator) -> None:
    emulator = make(20, 5)
    chance = random.Random(7)
    pieces = [
        b"\x1b[",
        b"\x1b]",
        b"\x1bP",
        b"\x1b\\",
        b"\x07",
        b";",
        b"?",
        b"133;",
        b"1049h",
        b"m",
        b"\xe6\x97",
        b"\xff",
    ]
    for turn in range(3000):
        emulator.feed(b"".join(chance.choice([*pieces, chance.randbytes(2)]) for _ in range(8)))
        if turn % 50 == 0:
            emulator.resize(chance.randint(1, 60), chance.randint(1, 20))
            emulator.damage()
            emulator.typed()
    assert emulator.history.total >= emulator.history.visible


def test_the_switch_turns_it_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SWITCH, "1")
    assert not emulator_available()


def test_the_engine_is_imported_only_when_one_is_made() -> None:
    code = "import sys, meshlab.tui.terminal as t; t.emulator_available(); sys.exit('pyghostty' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_broken_engine_is_as_good_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    # What the import system does for a module that cannot be loaded.
    monkeypatch.setitem(sys.modules, "meshlab.tui.terminal.ghostty", None)
    with pytest.raises(EmulatorUnavailable):
        default_emulator(80, 24, Outlets())
