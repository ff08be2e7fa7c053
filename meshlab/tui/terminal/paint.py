"""A row of the emulator as a `Strip`: looks become styles, and every run fills the cells that the emulator gave it."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len, set_cell_size
from rich.color import Color as RichColor
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from meshlab.tui.terminal.emulator import Color, Look, Rgb, Row
from meshlab.tui.terminal.palette import mix

_DIM_SHARE = 0.4
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


class Painter:
    """Paints rows in one palette.

    Args:
        foreground: what the default foreground is.
        background: what the default background is.
        palette: the 256 colours.
    """

    def __init__(self, foreground: Rgb, background: Rgb, palette: Sequence[Rgb]) -> None:
        self._foreground = foreground
        self._background = background
        self._palette = palette
        self._styles: dict[Look, Style] = {}
        self.blank = self.style(Look())

    def strip(self, row: Row, width: int) -> Strip:
        """A row, cut or filled to a width."""
        segments = [Segment(fit(run.text, run.cells), self.style(run.look)) for run in row]
        return Strip(segments).adjust_cell_length(width, self.blank)

    def style(self, look: Look) -> Style:
        """A look with real colours."""
        if look not in self._styles:
            self._styles[look] = self._make_style(look)
        return self._styles[look]

    def _make_style(self, look: Look) -> Style:
        fore, back = self._rgb(look.foreground, self._foreground), self._rgb(look.background, self._background)
        if look.reverse:
            fore, back = back, fore
        if look.dim:
            fore = mix(fore, back, _DIM_SHARE)
        if look.conceal:
            fore = back
        return Style(
            color=RichColor.from_rgb(*fore),
            bgcolor=RichColor.from_rgb(*back),
            bold=look.bold,
            italic=look.italic,
            underline=look.underline,
            strike=look.strike,
        )

    def _rgb(self, color: Color, default: Rgb) -> Rgb:
        if color is None:
            return default
        return self._palette[color] if isinstance(color, int) else color


def fit(text: str, cells: int) -> str:
    """Text that fills `cells` cells, also where the emulator and rich differ about how wide a character is."""
    if text.isascii() or cell_len(text) == cells:
        return text
    if len(text) == cells:
        # A run of narrow characters, some of which rich holds to be wider or narrower.
        return "".join(character if cell_len(character) == 1 else _REPLACEMENT for character in text)
    return set_cell_size(text, cells)
