"""The `Emulator` over libghostty-vt, Ghostty's engine; the only module that imports pyghostty.

Speed comes from reading a row as one array of 64-bit cells instead of asking for each cell. How those bits are laid out
is not part of the C interface's promise, but the library describes its own layout (`ghostty_type_json`), so the offsets
are read from the very library that is loaded and never written down here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from pyghostty import GhosttyError, Terminal
from pyghostty._ffi import ffi, lib, union_fn
from pyghostty.core import init_sized

from meshlab.tui.terminal.emulator import PLAIN, Color, Cursor, CursorShape, History, Look, Mode, Outlets, Rgb, Row, Run

SCROLLBACK_ROWS = 10_000
CLIPBOARD_BYTES = 1 << 20
GRAPHEME_CLUSTERS = 2027

# cffi cannot pass a union by value; this twin has GhosttyTerminalScrollViewport's layout (see pyghostty's _ffi.py).
ffi.cdef("typedef struct { GhosttyTerminalScrollViewportTag tag; uint64_t value[2]; } MeshlabScrollViewport;")
_scroll_viewport: Callable[[Any, Any], None] = union_fn(
    "ghostty_terminal_scroll_viewport", "void(*)(GhosttyTerminal, MeshlabScrollViewport)"
)

_LAYOUT = json.loads(ffi.string(lib.ghostty_type_json()))["types"]["GhosttyCell"]["bits"]
_SHAPES = {
    lib.GHOSTTY_RENDER_STATE_CURSOR_VISUAL_STYLE_BAR: CursorShape.BAR,
    lib.GHOSTTY_RENDER_STATE_CURSOR_VISUAL_STYLE_UNDERLINE: CursorShape.UNDERLINE,
}


class _Bits(NamedTuple):
    """Where a field stands in a cell."""

    shift: int
    mask: int

    def of(self, cell: int) -> int:
        """The field's value."""
        return (cell >> self.shift) & self.mask

    @property
    def in_place(self) -> int:
        """A mask of the field where it stands."""
        return self.mask << self.shift


def _bits(*path: str) -> _Bits:
    """A field of a cell, by the library's description of its bits."""
    shift, spec = 0, {"bits": _LAYOUT}
    for name in path:
        spec = spec["bits"][name] if "bits" in spec else spec["arms"][name]
        shift += spec.get("lsb", 0)
    return _Bits(shift, (1 << spec["width"]) - 1)


_TAG = _bits("content_tag")
_CONTENT = _bits("content")
_CODEPOINT = _bits("content", "CODEPOINT", "codepoint")
_STYLE_ID = _bits("style_id")
_WIDE = _bits("wide")
_SEMANTIC = _bits("semantic_content")
_PARTICULAR = _TAG.in_place | _WIDE.in_place
"""Bits that are 0 in a cell with one character of one code point and one cell; most cells are such."""


def _color(color: Any) -> Color:
    if color.tag == lib.GHOSTTY_STYLE_COLOR_PALETTE:
        return int(color.value.palette)
    if color.tag == lib.GHOSTTY_STYLE_COLOR_RGB:
        return color.value.rgb.r, color.value.rgb.g, color.value.rgb.b
    return None


class GhosttyEmulator:
    """See `meshlab.tui.terminal.emulator.Emulator`, whose docstrings hold here."""

    def __init__(self, columns: int, rows: int, outlets: Outlets) -> None:
        self._terminal = Terminal(columns, rows, scrollback=SCROLLBACK_ROWS)
        self._handle = self._terminal._t[0]
        self._outlets = outlets
        self._terminal.on_reply(outlets.reply)
        # The C side keeps bare pointers to these: they have to live as long as the terminal.
        self._on_copy = ffi.callback("GhosttyTerminalClipboardWriteFn", self._copy)
        self._on_bell = ffi.callback("GhosttyTerminalBellFn", lambda *_: outlets.bell(None))
        self._set("CLIPBOARD_WRITE", self._on_copy)
        self._set("CLIPBOARD_WRITE_MAX_BYTES", ffi.new("size_t*", CLIPBOARD_BYTES))
        self._set("BELL", self._on_bell)
        # As in Ghostty itself: an emoji with a modifier is one character of two cells, not two of them.
        grapheme_clusters = ffi.new("GhosttyTerminalModeConfig*", {"mode": GRAPHEME_CLUSTERS, "value": True})
        self._set("MODE_DEFAULT", grapheme_clusters)
        self._set("MODE", grapheme_clusters)
        self._state = self._new("GhosttyRenderState", lib.ghostty_render_state_new, lib.ghostty_render_state_free)
        self._iterator = self._new(
            "GhosttyRenderStateRowIterator",
            lib.ghostty_render_state_row_iterator_new,
            lib.ghostty_render_state_row_iterator_free,
        )
        self._cells = self._new(
            "GhosttyRenderStateRowCells",
            lib.ghostty_render_state_row_cells_new,
            lib.ghostty_render_state_row_cells_free,
        )
        self._view = ffi.new("GhosttyCellsView*")
        self._style = init_sized("GhosttyStyle")
        self._cursor_state = init_sized("GhosttyRenderStateCursor")
        self._grapheme = ffi.new("uint32_t[64]")
        self._count = ffi.new("uint32_t*")
        self._y = ffi.new("uint16_t*")
        self._dirty = ffi.new("int*")
        self._looks: dict[bytes, Look] = {}
        self._rows: dict[int, Row] = {}
        self._cursor: Cursor | None = None

    @staticmethod
    def _new(kind: str, make: Any, free: Any) -> Any:
        """A pointer to a new native object, freed with its last reference here."""
        pointer = ffi.new(f"{kind}*")
        make(ffi.NULL, pointer)
        return ffi.gc(pointer, lambda owned: free(owned[0]))

    def _set(self, option: str, value: Any) -> None:
        lib.ghostty_terminal_set(self._handle, getattr(lib, f"GHOSTTY_TERMINAL_OPT_{option}"), value)

    def _copy(self, _terminal: Any, _userdata: Any, write: Any) -> None:
        for index in range(write.contents_len):
            content = write.contents[index]
            if content.data.len:
                data = bytes(ffi.buffer(content.data.ptr, content.data.len))
                self._outlets.copy(data.decode("utf-8", "replace"))
                return

    def feed(self, data: bytes) -> None:
        self._terminal.feed(data)

    def resize(self, columns: int, rows: int) -> None:
        self._terminal.resize(columns, rows)

    def damage(self) -> Sequence[int] | None:
        state = self._state[0]
        lib.ghostty_render_state_update(state, self._handle)
        lib.ghostty_render_state_get(state, lib.GHOSTTY_RENDER_STATE_DATA_DIRTY, self._dirty)
        lib.ghostty_render_state_get(state, lib.GHOSTTY_RENDER_STATE_DATA_CURSOR, self._cursor_state)
        cursor = self._cursor_state
        self._cursor = None
        if cursor.visible and cursor.viewport_has_value:
            shape = _SHAPES.get(cursor.visual_style, CursorShape.BLOCK)
            self._cursor = Cursor(cursor.viewport_x - cursor.wide_tail, cursor.viewport_y, shape)
        if self._dirty[0] == lib.GHOSTTY_RENDER_STATE_DIRTY_FALSE:
            return ()
        lib.ghostty_render_state_get(state, lib.GHOSTTY_RENDER_STATE_DATA_ROW_ITERATOR, self._iterator)
        iterator = self._iterator[0]
        changed: list[int] | None = None
        if self._dirty[0] == lib.GHOSTTY_RENDER_STATE_DIRTY_FULL:
            self._rows.clear()
            while lib.ghostty_render_state_row_iterator_next(iterator):
                self._rows[len(self._rows)] = self._read_row(iterator)
        else:
            changed = []
            while lib.ghostty_render_state_row_iterator_next_dirty(iterator, self._y):
                self._rows[self._y[0]] = self._read_row(iterator)
                changed.append(self._y[0])
        lib.ghostty_render_state_clean(state)
        return changed

    def _read_row(self, iterator: Any) -> Row:
        """The row under the iterator, neighbours of one style joined."""
        lib.ghostty_render_state_row_get(iterator, lib.GHOSTTY_RENDER_STATE_ROW_DATA_CELLS_RAW, self._view)
        cells = ffi.unpack(self._view.ptr, self._view.len)
        lib.ghostty_render_state_row_get(iterator, lib.GHOSTTY_RENDER_STATE_ROW_DATA_CELLS, self._cells)
        starts: list[int] = []
        style, particular = _STYLE_ID.in_place, _PARTICULAR
        last = -1
        for x, cell in enumerate(cells):
            # Styles are counted from 0 in place; keys below 0 are for cells that no neighbour joins.
            key = cell & style if not cell & particular else self._particular_key(cell, x)
            if key is not None and key != last:
                starts.append(x)
                last = key
        return tuple(
            Run(self._text(cells, start, end), end - start, self._look(cells[start], start))
            for start, end in pairwise([*starts, len(cells)])
        )

    @staticmethod
    def _particular_key(cell: int, x: int) -> int | None:
        """What tells a cell that is no plain character from others; None if it belongs to the one before."""
        tag, wide = _TAG.of(cell), _WIDE.of(cell)
        if wide == lib.GHOSTTY_CELL_WIDE_SPACER_TAIL:
            return None
        # What may be wider or narrower than a library thinks is a run of its own, so that no neighbour moves.
        if wide or tag == lib.GHOSTTY_CELL_CONTENT_CODEPOINT_GRAPHEME:
            return -2 - x
        return cell & (_STYLE_ID.in_place | _CONTENT.in_place | _TAG.in_place)

    def _text(self, cells: Sequence[int], start: int, end: int) -> str:
        if _TAG.of(cells[start]) == lib.GHOSTTY_CELL_CONTENT_CODEPOINT_GRAPHEME:
            self._select(start)
            self._cell("GRAPHEMES_LEN", self._count)
            if self._count[0] <= len(self._grapheme):
                self._cell("GRAPHEMES_BUF", self._grapheme)
                return "".join(map(chr, self._grapheme[0 : self._count[0]]))
        if _TAG.of(cells[start]) >= lib.GHOSTTY_CELL_CONTENT_BG_COLOR_PALETTE:
            return " " * (end - start)
        if _WIDE.of(cells[start]):
            return chr(_CODEPOINT.of(cells[start]) or 32)
        shift, mask = _CODEPOINT
        return "".join([chr((cell >> shift) & mask or 32) for cell in cells[start:end]])

    def _select(self, x: int) -> None:
        lib.ghostty_render_state_row_cells_select(self._cells[0], x)

    def _cell(self, key: str, into: Any) -> None:
        lib.ghostty_render_state_row_cells_get(
            self._cells[0], getattr(lib, f"GHOSTTY_RENDER_STATE_ROW_CELLS_DATA_{key}"), into
        )

    def _look(self, cell: int, x: int) -> Look:
        tag, content = _TAG.of(cell), _CONTENT.of(cell)
        if tag == lib.GHOSTTY_CELL_CONTENT_BG_COLOR_PALETTE:
            return Look(background=content & 0xFF)
        if tag == lib.GHOSTTY_CELL_CONTENT_BG_COLOR_RGB:
            return Look(background=(content & 0xFF, content >> 8 & 0xFF, content >> 16 & 0xFF))
        if not _STYLE_ID.of(cell):
            return PLAIN
        self._select(x)
        self._cell("STYLE", self._style)
        style, key = self._style, bytes(ffi.buffer(self._style))
        if key not in self._looks:
            if len(self._looks) > 4096:
                self._looks.clear()
            self._looks[key] = Look(
                _color(style.fg_color),
                _color(style.bg_color),
                bold=style.bold,
                dim=style.faint,
                italic=style.italic,
                underline=bool(style.underline),
                reverse=style.inverse,
                strike=style.strikethrough,
                conceal=style.invisible,
            )
        return self._looks[key]

    def row(self, y: int) -> Row:
        return self._rows.get(y, ())

    @property
    def cursor(self) -> Cursor | None:
        return self._cursor

    @property
    def title(self) -> str:
        title = self._terminal.get("title", "GhosttyString")
        return bytes(ffi.buffer(title.ptr, title.len)).decode("utf-8", "replace") if title.len else ""

    @property
    def alternate(self) -> bool:
        screen = self._terminal.get("active_screen", "GhosttyTerminalScreen")
        return bool(screen == lib.GHOSTTY_TERMINAL_SCREEN_ALTERNATE)

    @property
    def keyboard_flags(self) -> int:
        return int(self._terminal.get("kitty_keyboard_flags", "uint8_t"))

    @property
    def history(self) -> History:
        bar = self._terminal.get("scrollbar", "GhosttyTerminalScrollbar")
        return History(bar.offset, bar.len, bar.total)

    def mode(self, mode: Mode) -> bool:
        return bool(self._terminal.mode(mode))

    def scroll(self, rows: int) -> None:
        self._scroll(lib.GHOSTTY_SCROLL_VIEWPORT_DELTA, rows)

    def scroll_to_bottom(self) -> None:
        self._scroll(lib.GHOSTTY_SCROLL_VIEWPORT_BOTTOM, 0)

    def _scroll(self, tag: int, rows: int) -> None:
        behavior = ffi.new("MeshlabScrollViewport*")
        behavior.tag = tag
        behavior.value[0] = rows % (1 << 64)
        _scroll_viewport(self._handle, behavior[0])

    def text(self, start: tuple[int, int], end: tuple[int, int]) -> str:
        columns, _ = self._terminal.size
        last = self.history.total - 1
        selection = init_sized("GhosttySelection")
        try:
            for name, (x, y) in (("start", start), ("end", end)):
                inside = min(max(x, 0), columns - 1), min(max(y, 0), last)
                setattr(selection, name, self._terminal.ref(*inside, "screen")[0])
            return str(self._terminal._format_sel(selection, unwrap=True))
        except GhosttyError:
            return ""

    def typed(self) -> str:
        columns, _ = self._terminal.size
        _, y = self._terminal.cursor
        lines: list[str] = []
        cell = ffi.new("GhosttyCell*")
        while y >= 0:
            row = []
            for x in range(columns):
                lib.ghostty_grid_ref_cell(self._terminal.ref(x, y), cell)
                row.append(cell[0])
            marked = [c for c in row if _SEMANTIC.of(c) == lib.GHOSTTY_CELL_SEMANTIC_INPUT]
            # A shell says "a command starts" from the row below what was typed.
            if not marked and (lines or y < self._terminal.cursor[1]):
                break
            if marked:
                text = "".join(chr(_CODEPOINT.of(c) or 32) for c in marked if not _WIDE.of(c) & 2)
                # A line that fills its row goes on in the next one.
                full = _SEMANTIC.of(row[-1]) == lib.GHOSTTY_CELL_SEMANTIC_INPUT and _CODEPOINT.of(row[-1])
                lines.append(text if full else f"{text.rstrip()}\n")
            if any(_SEMANTIC.of(c) == lib.GHOSTTY_CELL_SEMANTIC_PROMPT for c in row):
                break
            y -= 1
        return "".join(reversed(lines)).strip()

    def recolor(self, foreground: Rgb, background: Rgb, palette: Sequence[Rgb]) -> None:
        names = ("r", "g", "b")
        colors = ffi.new("GhosttyColorRgb[256]")
        lib.ghostty_color_palette_default(colors)
        for index, rgb in enumerate(palette):
            colors[index] = dict(zip(names, rgb, strict=True))
        self._set("COLOR_PALETTE", colors)
        self._set("COLOR_FOREGROUND", ffi.new("GhosttyColorRgb*", dict(zip(names, foreground, strict=True))))
        self._set("COLOR_BACKGROUND", ffi.new("GhosttyColorRgb*", dict(zip(names, background, strict=True))))

    def close(self) -> None:
        self._terminal.close()
