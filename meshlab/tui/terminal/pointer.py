"""Whose the mouse is: the program's while it tracks it, else the pane's, for selecting and for scrolling.

Shift always means the pane, as in every terminal. Whoever got the press gets what follows until the release, even when
the program changes its mind in between.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from meshlab.tui.terminal.emulator import Emulator, Mode
from meshlab.tui.terminal.keys import encode_key
from meshlab.tui.terminal.mouse import WHEEL_DOWN, WHEEL_UP, MouseReport, encode_mouse, tracks_mouse
from meshlab.tui.terminal.selection import Cell, Selection, word_at

WHEEL_ROWS = 3


class Pointer:
    """The mouse over one emulator.

    Args:
        emulator: the screen below it.
        send: sends bytes to the program.
        changed: called when the selection or the viewport changed.
    """

    def __init__(self, emulator: Emulator, send: Callable[[bytes], object], changed: Callable[[], None]) -> None:
        self._emulator = emulator
        self._send = send
        self._changed = changed
        self._selecting = False
        self._reporting: int | None = None
        self._shown: Selection | None = None
        self.selection: Selection | None = None
        """What is selected."""

    def press(self, report: MouseReport) -> None:
        """A button went down."""
        self.clear()
        if tracks_mouse(self._emulator) and not report.shift:
            self._reporting = report.button
            self._send(encode_mouse(report, self._emulator))
        elif report.button == 0:
            self._selecting = True
            cell = self._cell(report)
            self.selection = Selection(cell, cell)

    def move(self, report: MouseReport, size: tuple[int, int]) -> None:
        """The mouse moved; `report` may lie outside the screen while a button is held."""
        if self._selecting and self.selection is not None:
            columns, rows = size
            if report.y < 0 or report.y >= rows:
                self._emulator.scroll(-1 if report.y < 0 else 1)
            inside = replace(report, x=min(max(report.x, 0), columns - 1), y=min(max(report.y, 0), rows - 1))
            self.selection = Selection(self.selection.anchor, self._cell(inside))
            self._changed()
        elif tracks_mouse(self._emulator) and not report.shift:
            columns, rows = size
            if 0 <= report.x < columns and 0 <= report.y < rows:
                self._send(encode_mouse(replace(report, button=self._reporting), self._emulator))

    def release(self, report: MouseReport) -> str:
        """A button went up.

        Returns:
            The text to copy, when this ends a selection.
        """
        if self._selecting:
            self._selecting = False
            if self.selection is not None and self.selection.start != self.selection.end:
                return self.selected_text()
            self.clear()
        elif self._reporting is not None:
            self._send(encode_mouse(replace(report, button=self._reporting), self._emulator))
            self._reporting = None
        return ""

    def click(self, report: MouseReport, chain: int, columns: int) -> str:
        """A second or third click in the same place selects a word or a line.

        Returns:
            The text to copy, if any.
        """
        if chain < 2 or report.button != 0 or (tracks_mouse(self._emulator) and not report.shift):
            return ""
        _, y = self._cell(report)
        first, last = word_at(self._emulator.row(report.y), report.x) if chain == 2 else (0, columns - 1)
        self.selection = Selection((first, y), (last, y))
        self._changed()
        return self.selected_text()

    def wheel(self, report: MouseReport, direction: int) -> None:
        """The wheel turned, -1 away from the person and 1 towards them."""
        if tracks_mouse(self._emulator) and not report.shift:
            self._send(encode_mouse(replace(report, button=WHEEL_UP if direction < 0 else WHEEL_DOWN), self._emulator))
        elif self._emulator.alternate:
            if self._emulator.mode(Mode.ALTERNATE_SCROLL):
                key = "up" if direction < 0 else "down"
                application = self._emulator.mode(Mode.CURSOR_KEYS)
                self._send(encode_key(key, None, application_cursor=application) * WHEEL_ROWS)
        else:
            self._emulator.scroll(direction * WHEEL_ROWS)
            self._changed()

    def take_moved(self) -> bool:
        """Whether the selection is another one than when this was last asked."""
        moved = self.selection != self._shown
        self._shown = self.selection
        return moved

    def selected_text(self) -> str:
        """The selected text, or nothing."""
        return self._emulator.text(self.selection.start, self.selection.end) if self.selection else ""

    def clear(self) -> None:
        """Select nothing."""
        if self.selection is not None:
            self.selection = None
            self._changed()

    def _cell(self, report: MouseReport) -> Cell:
        return report.x, self._emulator.history.top + report.y
