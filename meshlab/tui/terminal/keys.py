"""A key as Textual reports it, as the bytes that a program expects of its terminal.

Two dialects: xterm's classic one (every terminfo entry `xterm-256color` describes it), and the kitty keyboard protocol
for programs that ask for it, which tells Ctrl+I from Tab and Escape from the beginning of a sequence.

xterm: https://invisible-island.net/xterm/ctlseqs/ctlseqs.html; kitty: https://sw.kovidgoyal.net/kitty/keyboard-protocol/
"""

from __future__ import annotations

from typing import Final

_LETTERS: Final = {"up": "A", "down": "B", "right": "C", "left": "D", "end": "F", "home": "H"}
"""`CSI letter`, or `SS3 letter` in application cursor mode."""
_TILDES: Final = {
    "insert": 2, "delete": 3, "pageup": 5, "pagedown": 6, "f5": 15, "f6": 17, "f7": 18, "f8": 19, "f9": 20,
    "f10": 21, "f11": 23, "f12": 24, "f13": 25, "f14": 26, "f15": 28, "f16": 29, "f17": 31, "f18": 32, "f19": 33,
    "f20": 34,
}  # fmt: skip
"""`CSI number ~`."""
_FUNCTIONS: Final = {"f1": "P", "f2": "Q", "f3": "R", "f4": "S"}
"""`SS3 letter`."""
_CHARACTERS: Final = {
    "enter": "\r", "return": "\r", "tab": "\t", "escape": "\x1b", "backspace": "\x7f", "space": " ", "at": "@",
    "backslash": "\\", "right_square_bracket": "]", "left_square_bracket": "[", "circumflex_accent": "^",
    "underscore": "_", "slash": "/", "question_mark": "?", "minus": "-", "full_stop": ".", "comma": ",", "plus": "+",
    "equals_sign": "=", "semicolon": ";", "apostrophe": "'", "grave_accent": "`", "less_than_sign": "<",
    "greater_than_sign": ">", "number_sign": "#", "tilde": "~", "colon": ":",
}  # fmt: skip
"""Named keys that are characters."""
_CONTROLS: Final = {" ": 0, "@": 0, "2": 0, "[": 27, "3": 27, "\\": 28, "4": 28, "]": 29, "5": 29, "^": 30, "6": 30,
                    "_": 31, "/": 31, "-": 31, "7": 31, "?": 127, "8": 127}  # fmt: skip
"""What Ctrl makes of a character that is no letter, as xterm does."""
_LEGACY_ALWAYS: Final = frozenset("\r\t\x7f")
"""Keys that stay classic under the kitty protocol's first flag, so that a crashed program leaves a usable shell."""

_DISAMBIGUATE, _REPORT_ALL = 1, 8


def encode_key(key: str, character: str | None, *, application_cursor: bool = False, keyboard_flags: int = 0) -> bytes:
    """The bytes of a key press.

    Args:
        key: Textual's name of it, such as `ctrl+shift+left`.
        character: the character that it makes, if it makes one.
        application_cursor: whether the program asked for cursor keys in application mode (DECCKM).
        keyboard_flags: the kitty keyboard protocol's flags that the program asked for.

    Returns:
        What to send; empty for a key that a terminal does not send.
    """
    *names, base = key.split("+") if key != "+" else ["+"]
    held = frozenset(names)
    modifiers = 1 + ("shift" in held) + 2 * bool(held & {"alt", "meta"}) + 4 * ("ctrl" in held) + 8 * ("super" in held)
    if sequence := _special(base, modifiers, application_cursor):
        return sequence.encode()

    plain = _CHARACTERS.get(base, base if len(base) == 1 else "")
    unmodified = not held - {"shift"}
    if keyboard_flags and plain and _wants_kitty(plain, character, modifiers, keyboard_flags):
        return f"\x1b[{ord(plain.lower())}{f';{modifiers}' if modifiers > 1 else ''}u".encode()
    if base == "tab" and "shift" in held:
        return b"\x1b[Z"
    escape = "\x1b" if held & {"alt", "meta"} else ""
    if "ctrl" in held:
        if base in {"enter", "return", "tab", "escape"}:
            return (escape + plain).encode()
        if base == "backspace":
            return (escape + "\x08").encode()
        return (escape + control).encode() if (control := _control(plain)) else (character or "").encode()
    if unmodified and character is not None and base not in {"enter", "return", "backspace"}:
        return character.encode()
    return (escape + (plain if base in _CHARACTERS else character or plain)).encode()


def _special(base: str, modifiers: int, application_cursor: bool) -> str:
    """Keys that are no characters; the same in both dialects."""
    if base in _LETTERS:
        if modifiers > 1:
            return f"\x1b[1;{modifiers}{_LETTERS[base]}"
        return ("\x1bO" if application_cursor else "\x1b[") + _LETTERS[base]
    if base in _TILDES:
        return f"\x1b[{_TILDES[base]};{modifiers}~" if modifiers > 1 else f"\x1b[{_TILDES[base]}~"
    if base in _FUNCTIONS:
        return f"\x1b[1;{modifiers}{_FUNCTIONS[base]}" if modifiers > 1 else f"\x1bO{_FUNCTIONS[base]}"
    return ""


def _control(plain: str) -> str:
    """The control character of a character, or nothing."""
    letter = plain.lower()
    if len(letter) == 1 and "a" <= letter <= "z":
        return chr(ord(letter) & 31)
    return chr(_CONTROLS[plain]) if plain in _CONTROLS else ""


def _wants_kitty(plain: str, character: str | None, modifiers: int, flags: int) -> bool:
    """Whether the kitty protocol writes this key as `CSI number u`."""
    if flags & _REPORT_ALL:
        return True
    if not flags & _DISAMBIGUATE:
        return False
    text = modifiers <= 2 and (character or plain).isprintable()
    return not text and not (modifiers == 1 and plain in _LEGACY_ALWAYS)


def encode_paste(text: str, *, bracketed: bool) -> bytes:
    """What pasted text is as input.

    Args:
        text: what was pasted.
        bracketed: whether the program asked for brackets around it (mode 2004). Then no escape may come through, or
            the text could end the brackets itself and type commands.
    """
    typed = text.replace("\r\n", "\r").replace("\n", "\r")
    if bracketed:
        return b"\x1b[200~" + typed.replace("\x1b", "").encode() + b"\x1b[201~"
    return typed.encode()
