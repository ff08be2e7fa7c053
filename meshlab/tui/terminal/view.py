"""What of the emulator's screen is on display: rows as cached strips, the cursor, the selection."""

from __future__ import annotations

from dataclasses import dataclass

from rich.style import Style
from textual.strip import Strip

from meshlab.tui.terminal.emulator import Cursor, CursorShape, Emulator
from meshlab.tui.terminal.paint import Painter
from meshlab.tui.terminal.palette import ThemeColors, make_palette
from meshlab.tui.terminal.selection import Selection


@dataclass(frozen=True, slots=True)
class Highlights:
    """The styles of what lies over the text."""

    cursor: Style
    selection: Style


class ScreenView:
    """Strips of an emulator's viewport, made when they are asked for and kept until their row changes."""

    def __init__(self, emulator: Emulator, theme: ThemeColors, highlights: Highlights) -> None:
        self._emulator = emulator
        self._strips: dict[int, Strip] = {}
        self._cursor: Cursor | None = None
        self.restyle(theme, highlights)

    def restyle(self, theme: ThemeColors, highlights: Highlights) -> None:
        """Use other colours, and tell programs that ask which ones."""
        palette = make_palette(theme)
        self._painter = Painter(theme.foreground, theme.background, palette)
        self._highlights = highlights
        self._emulator.recolor(theme.foreground, theme.background, palette[:16])
        self._strips.clear()

    def take_changes(self) -> list[int] | None:
        """Rows to draw again since the last call; None means all."""
        damage = self._emulator.damage()
        cursor = self._emulator.cursor
        moved = {place.y for place in (cursor, self._cursor) if place is not None} if cursor != self._cursor else set()
        self._cursor = cursor
        if damage is None:
            self._strips.clear()
            return None
        for y in damage:
            self._strips.pop(y, None)
        return sorted({*damage, *moved})

    def strip(self, y: int, width: int, *, focused: bool, selection: Selection | None) -> Strip:
        """A row of the viewport, `width` cells wide."""
        strip = self._strips.get(y)
        if strip is None or strip.cell_length != width:
            strip = self._strips[y] = self._painter.strip(self._emulator.row(y), width)
        if self._cursor is not None and self._cursor.y == y and self._cursor.x < width:
            strip = _over(strip, self._cursor.x, self._cursor.x + 1, self._cursor_style(focused=focused))
        if selection is not None and (span := selection.span(self._emulator.history.top + y, width)) is not None:
            strip = _over(strip, *span, self._highlights.selection)
        return strip

    def _cursor_style(self, *, focused: bool) -> Style:
        """Cells have no edges to draw a bar at, so all but a block is an underline, as is a cursor without focus."""
        block = self._cursor is not None and self._cursor.shape is CursorShape.BLOCK
        return self._highlights.cursor if focused and block else Style(underline=True, bold=True)


def _over(strip: Strip, start: int, end: int, style: Style) -> Strip:
    """A strip with a style put over some of its cells."""
    before, cells, after = strip.crop(0, start), strip.crop(start, end), strip.crop(end)
    styled = Strip([type(segment)(segment.text, (segment.style or Style()) + style) for segment in cells])
    return Strip.join([before, styled, after])
