"""The mouse as bytes for a program that tracks it (xterm's modes 9, 1000, 1002, 1003; encodings X10 and SGR 1006)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from meshlab.tui.terminal.emulator import Emulator, Mode

WHEEL_UP, WHEEL_DOWN = 64, 65
_X10_LIMIT = 223


class Action(Enum):
    """What the mouse did."""

    PRESS = "press"
    RELEASE = "release"
    MOVE = "move"


@dataclass(frozen=True, slots=True)
class MouseReport:
    """One thing that the mouse did.

    Args:
        action: what it did.
        button: 0 left, 1 middle, 2 right, `WHEEL_UP`, `WHEEL_DOWN`; None when it moved without one.
        x: the column, from 0.
        y: the row, from 0.
        shift: whether Shift was held.
        alt: whether Alt was held.
        ctrl: whether Ctrl was held.
    """

    action: Action
    button: int | None
    x: int
    y: int
    shift: bool = False
    alt: bool = False
    ctrl: bool = False


def tracks_mouse(emulator: Emulator) -> bool:
    """Whether the program wants to hear of the mouse, so that it is not the pane's for selecting."""
    modes = (Mode.MOUSE_PRESS_ONLY, Mode.MOUSE_BUTTONS, Mode.MOUSE_DRAG, Mode.MOUSE_ALL)
    return any(emulator.mode(mode) for mode in modes)


def encode_mouse(report: MouseReport, emulator: Emulator) -> bytes:
    """The bytes of a report; empty when the program did not ask for its kind."""
    wheel = report.button in {WHEEL_UP, WHEEL_DOWN}
    if not _asked_for(report, emulator) or (wheel and report.action is not Action.PRESS):
        return b""
    sgr = emulator.mode(Mode.MOUSE_SGR)
    code = 3 if report.button is None else report.button
    if report.action is Action.RELEASE and not sgr:
        code = 3
    code += 32 * (report.action is Action.MOVE)
    code += 4 * report.shift + 8 * report.alt + 16 * report.ctrl
    if sgr:
        end = "m" if report.action is Action.RELEASE else "M"
        return f"\x1b[<{code};{report.x + 1};{report.y + 1}{end}".encode()
    if report.x >= _X10_LIMIT or report.y >= _X10_LIMIT:
        return b""
    return b"\x1b[M" + bytes((32 + code, 33 + report.x, 33 + report.y))


def _asked_for(report: MouseReport, emulator: Emulator) -> bool:
    if emulator.mode(Mode.MOUSE_ALL):
        return True
    if emulator.mode(Mode.MOUSE_DRAG):
        return report.action is not Action.MOVE or report.button is not None
    if emulator.mode(Mode.MOUSE_BUTTONS):
        return report.action is not Action.MOVE
    return emulator.mode(Mode.MOUSE_PRESS_ONLY) and report.action is Action.PRESS
