"""What is selected with the mouse, in rows counted from the oldest one kept, so that scrolling does not change it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import takewhile

from meshlab.tui.terminal.emulator import Row

Cell = tuple[int, int]
"""Column and row; rows as in `History`."""

_BETWEEN_WORDS = frozenset(" \t\"'`|<>()[]{},;$&")
"""A path, a URL, `name=value`, `pod/name` and an image with a tag are one word each."""


@dataclass(frozen=True, slots=True)
class Selection:
    """From the cell where the button went down to the cell where the mouse is, in either direction."""

    anchor: Cell
    head: Cell

    @property
    def start(self) -> Cell:
        """The first cell."""
        return min(self.anchor, self.head, key=lambda cell: (cell[1], cell[0]))

    @property
    def end(self) -> Cell:
        """The last cell, included."""
        return max(self.anchor, self.head, key=lambda cell: (cell[1], cell[0]))

    def span(self, row: int, columns: int) -> tuple[int, int] | None:
        """The selected columns of a row, from and up to but without; None when there are none."""
        (start_x, start_y), (end_x, end_y) = self.start, self.end
        if not start_y <= row <= end_y:
            return None
        return start_x if row == start_y else 0, min(end_x + 1, columns) if row == end_y else columns


def word_at(row: Row, x: int) -> tuple[int, int]:
    """The first and the last column of the word around column `x`; that column alone when it is between words."""
    cells = [character for run in row for character in _by_cell(run.text, run.cells)]
    if x >= len(cells) or cells[x] in _BETWEEN_WORDS:
        return x, x
    before = sum(1 for _ in takewhile(lambda cell: cell not in _BETWEEN_WORDS, reversed(cells[:x])))
    after = sum(1 for _ in takewhile(lambda cell: cell not in _BETWEEN_WORDS, cells[x + 1 :]))
    return x - before, x + after


def _by_cell(text: str, cells: int) -> list[str]:
    """What each cell of a run shows; both cells of a wide character show it."""
    return list(text) if len(text) == cells else [text] * cells
