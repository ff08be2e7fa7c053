"""Keys and pastes as bytes."""

from __future__ import annotations

import pytest

from meshlab.tui.terminal.keys import encode_key, encode_paste


@pytest.mark.parametrize(
    ("key", "character", "expected"),
    [
        ("a", "a", b"a"),
        ("A", "A", b"A"),
        ("space", " ", b" "),
        ("slash", "/", b"/"),
        ("plus", "+", b"+"),
        ("é", "é", "é".encode()),
        ("日", "日", "日".encode()),
        ("enter", "\r", b"\r"),
        ("enter", None, b"\r"),
        ("tab", "\t", b"\t"),
        ("shift+tab", None, b"\x1b[Z"),
        ("escape", "\x1b", b"\x1b"),
        ("backspace", "\x7f", b"\x7f"),
        ("ctrl+a", "\x01", b"\x01"),
        ("ctrl+p", None, b"\x10"),
        ("ctrl+q", None, b"\x11"),
        ("ctrl+c", None, b"\x03"),
        ("ctrl+@", "\x00", b"\x00"),
        ("ctrl+space", None, b"\x00"),
        ("ctrl+backslash", "\x1c", b"\x1c"),
        ("ctrl+right_square_bracket", "\x1d", b"\x1d"),
        ("ctrl+circumflex_accent", None, b"\x1e"),
        ("ctrl+underscore", "\x1f", b"\x1f"),
        ("ctrl+slash", None, b"\x1f"),
        ("alt+b", "b", b"\x1bb"),
        ("alt+b", None, b"\x1bb"),
        ("alt+enter", None, b"\x1b\r"),
        ("alt+backspace", None, b"\x1b\x7f"),
        ("alt+full_stop", None, b"\x1b."),
        ("ctrl+alt+a", None, b"\x1b\x01"),
        ("up", None, b"\x1b[A"),
        ("home", None, b"\x1b[H"),
        ("shift+up", None, b"\x1b[1;2A"),
        ("ctrl+left", None, b"\x1b[1;5D"),
        ("ctrl+shift+right", None, b"\x1b[1;6C"),
        ("alt+down", None, b"\x1b[1;3B"),
        ("pageup", None, b"\x1b[5~"),
        ("delete", None, b"\x1b[3~"),
        ("ctrl+delete", None, b"\x1b[3;5~"),
        ("f1", None, b"\x1bOP"),
        ("shift+f3", None, b"\x1b[1;2R"),
        ("f5", None, b"\x1b[15~"),
        ("f12", None, b"\x1b[24~"),
        ("<ignore>", None, b""),
        ("caps_lock", None, b""),
    ],
)
def test_classic_keyboard(key: str, character: str | None, expected: bytes) -> None:
    assert encode_key(key, character) == expected


def test_application_cursor_keys() -> None:
    assert encode_key("up", None, application_cursor=True) == b"\x1bOA"
    assert encode_key("shift+up", None, application_cursor=True) == b"\x1b[1;2A"


@pytest.mark.parametrize(
    ("key", "character", "expected"),
    [
        ("a", "a", b"a"),
        ("A", "A", b"A"),
        ("enter", "\r", b"\r"),
        ("tab", "\t", b"\t"),
        ("backspace", "\x7f", b"\x7f"),
        ("escape", "\x1b", b"\x1b[27u"),
        ("ctrl+i", None, b"\x1b[105;5u"),
        ("ctrl+c", "\x03", b"\x1b[99;5u"),
        ("alt+b", "b", b"\x1b[98;3u"),
        ("shift+tab", None, b"\x1b[9;2u"),
        ("shift+enter", None, b"\x1b[13;2u"),
        ("up", None, b"\x1b[A"),
    ],
)
def test_kitty_keyboard_disambiguates(key: str, character: str | None, expected: bytes) -> None:
    assert encode_key(key, character, keyboard_flags=1) == expected


def test_kitty_keyboard_reports_all_keys() -> None:
    assert encode_key("a", "a", keyboard_flags=9) == b"\x1b[97u"


def test_paste() -> None:
    assert encode_paste("one\ntwo", bracketed=False) == b"one\rtwo"
    assert encode_paste("one\r\ntwo", bracketed=True) == b"\x1b[200~one\rtwo\x1b[201~"


def test_a_paste_cannot_close_its_own_brackets() -> None:
    pasted = encode_paste("ls\x1b[201~\nrm -rf /\n", bracketed=True)
    assert pasted.count(b"\x1b[201~") == 1
    assert pasted.endswith(b"\x1b[201~")
