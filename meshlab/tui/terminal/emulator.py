"""What the pane asks of a terminal emulator, as a protocol: bytes of a program in, rows of styled text out.

An emulator is a pure state machine. It owns no process, no clock and no widget: `feed` changes its state, `damage`
says which rows look different since the last time, `row` describes one of them in plain data. What a program wants of
its terminal beyond the screen (an answer to a query, the clipboard, the bell) leaves through `Outlets`. So the engine
can be exchanged, and `tests/unit/tui/terminal/test_emulator.py` is the contract that a new one has to pass, on byte
strings alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import Protocol

from meshlab.errors import MeshlabError

Rgb = tuple[int, int, int]
Color = int | Rgb | None
"""An index into the 256-colour palette, a colour as given, or None for the default."""


class EmulatorUnavailable(MeshlabError):
    """No emulator can run here; everything but the pane works without one."""

    title = "No terminal in this window"


class Mode(IntEnum):
    """Modes that a program may set, by their DEC private number (xterm's control sequences, "DECSET")."""

    CURSOR_KEYS = 1
    MOUSE_PRESS_ONLY = 9
    MOUSE_BUTTONS = 1000
    MOUSE_DRAG = 1002
    MOUSE_ALL = 1003
    FOCUS_EVENTS = 1004
    MOUSE_SGR = 1006
    ALTERNATE_SCROLL = 1007
    BRACKETED_PASTE = 2004
    SYNCHRONIZED = 2026


@dataclass(frozen=True, slots=True)
class Look:
    """How a run of text looks. Colours are the program's; which shade palette index 1 has is the pane's affair."""

    foreground: Color = None
    background: Color = None
    bold: bool = False
    dim: bool = False
    italic: bool = False
    underline: bool = False
    reverse: bool = False
    strike: bool = False
    conceal: bool = False


PLAIN = Look()


@dataclass(frozen=True, slots=True)
class Run:
    """Neighbouring cells of one look.

    Args:
        text: what stands in them; one character may be several code points, and fill two cells.
        cells: how many cells the emulator gives to it, whatever a library thinks how wide the text is.
        look: how it looks.
    """

    text: str
    cells: int
    look: Look = PLAIN


Row = tuple[Run, ...]


class CursorShape(Enum):
    """What a program asked its cursor to look like (DECSCUSR)."""

    BLOCK = "block"
    BAR = "bar"
    UNDERLINE = "underline"


@dataclass(frozen=True, slots=True)
class Cursor:
    """A visible cursor: column and row in the viewport, both from 0."""

    x: int
    y: int
    shape: CursorShape = CursorShape.BLOCK


@dataclass(frozen=True, slots=True)
class History:
    """Where the viewport stands in all rows there are: `top` is its first row, counted from the oldest one kept."""

    top: int
    visible: int
    total: int

    @property
    def at_bottom(self) -> bool:
        """Whether the newest row is in view."""
        return self.top + self.visible >= self.total


def _ignore(_: object) -> None:
    """The outlet of who does not care."""


@dataclass(frozen=True, slots=True)
class Outlets:
    """Where an emulator sends what is not for the screen; called from inside `Emulator.feed`."""

    reply: Callable[[bytes], None] = _ignore
    """Bytes that answer a program's query (cursor position, device attributes); they go to its input."""
    copy: Callable[[str], None] = _ignore
    """Text that a program puts on the clipboard (OSC 52). Requests to *read* the clipboard are never answered."""
    bell: Callable[[None], None] = _ignore
    """A program rang; the argument says nothing."""


class Emulator(Protocol):
    """A screen of `columns` x `rows` cells with scrollback. No method raises, whatever bytes come."""

    def feed(self, data: bytes) -> None:
        """Take what the program printed; sequences may be cut anywhere between two calls."""

    def resize(self, columns: int, rows: int) -> None:
        """Change the size, both at least 1; long lines of the primary screen are wrapped anew."""

    def damage(self) -> Sequence[int] | None:
        """Rows of the viewport that changed since the last call; None means all. Also takes the cursor anew."""

    def row(self, y: int) -> Row:
        """Row `y` of the viewport, as of the last `damage`."""

    @property
    def cursor(self) -> Cursor | None:
        """The cursor as of the last `damage`; None where it is hidden or scrolled out of view."""

    @property
    def title(self) -> str:
        """The window title that a program set, or an empty string."""

    @property
    def alternate(self) -> bool:
        """Whether a full-screen program has the alternate screen."""

    @property
    def keyboard_flags(self) -> int:
        """The kitty keyboard protocol's flags that the program asked for; 0 is the classic keyboard."""

    @property
    def history(self) -> History:
        """Where the viewport stands."""

    def mode(self, mode: Mode) -> bool:
        """Whether a mode is set."""

    def scroll(self, rows: int) -> None:
        """Move the viewport: negative towards the past."""

    def scroll_to_bottom(self) -> None:
        """Show the newest rows."""

    def text(self, start: tuple[int, int], end: tuple[int, int]) -> str:
        """The text between two cells, both included.

        Args:
            start: column and row; rows are counted as in `History`, from the oldest one kept.
            end: the same, not before `start`.

        Returns:
            Lines joined by newlines; a wrapped line is one line again, and blanks at the ends of lines are gone.
        """

    def typed(self) -> str:
        """What stands typed behind the last prompt, by the shell's own marks (OSC 133 A, B); best effort."""

    def recolor(self, foreground: Rgb, background: Rgb, palette: Sequence[Rgb]) -> None:
        """Tell which colours are shown (the first 16 of the palette), for programs that ask (OSC 4, 10, 11)."""

    def close(self) -> None:
        """Free what the emulator holds; nothing else may be called afterwards."""


EmulatorFactory = Callable[[int, int, Outlets], Emulator]
"""Makes an emulator of that many columns and rows, or raises `EmulatorUnavailable`."""
