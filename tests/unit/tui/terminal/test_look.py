"""Colours that can be read in any theme, and rows that fill their cells."""

from __future__ import annotations

import pytest
from rich.cells import cell_len
from textual.color import Color
from textual.theme import BUILTIN_THEMES

from meshlab.tui.terminal.emulator import Look, Run
from meshlab.tui.terminal.paint import Painter, fit
from meshlab.tui.terminal.palette import MIN_CONTRAST, ThemeColors, contrast, make_palette

PLAIN_THEME = ThemeColors((255, 255, 255), (0, 0, 0), (255, 0, 0), (0, 255, 0), (255, 255, 0))
READABLE = [1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14, 15]


def theme_colors(name: str) -> ThemeColors | None:
    generated = BUILTIN_THEMES[name].to_color_system().generate()
    parsed = [Color.parse(generated[part]) for part in ("foreground", "surface", "error", "success", "warning")]
    return None if any(color.ansi is not None for color in parsed) else ThemeColors(*(color.rgb for color in parsed))


@pytest.mark.parametrize("name", sorted(BUILTIN_THEMES))
def test_the_sixteen_colours_are_readable_in_every_theme(name: str) -> None:
    colors = theme_colors(name)
    if colors is None:
        pytest.skip("this theme leaves its colours to the terminal outside")
    palette = make_palette(colors)
    best = contrast(colors.foreground, colors.background)
    for index in READABLE:
        assert contrast(palette[index], colors.background) >= min(MIN_CONTRAST, best), index


def test_the_rest_is_xterms() -> None:
    palette = make_palette(PLAIN_THEME)
    assert len(palette) == 256
    assert (palette[16], palette[196], palette[231]) == ((0, 0, 0), (255, 0, 0), (255, 255, 255))
    assert (palette[232], palette[255]) == ((8, 8, 8), (238, 238, 238))


def test_reverse_conceal_and_dim_are_real_colours() -> None:
    painter = Painter((255, 255, 255), (0, 0, 0), make_palette(PLAIN_THEME))
    reverse = painter.style(Look(foreground=196, reverse=True))
    assert reverse.bgcolor is not None
    assert reverse.bgcolor.triplet == (255, 0, 0)
    conceal = painter.style(Look(conceal=True))
    assert conceal.color == conceal.bgcolor
    dim = painter.style(Look(dim=True))
    assert dim.color is not None
    assert dim.color.triplet == (153, 153, 153)


def test_a_strip_has_the_width_it_is_asked_for() -> None:
    painter = Painter((255, 255, 255), (0, 0, 0), make_palette(PLAIN_THEME))
    row = (Run("abc", 3), Run("日", 2))
    for width in (0, 1, 4, 5, 9):
        assert painter.strip(row, width).cell_length == width


@pytest.mark.parametrize(
    ("text", "cells"), [("abc", 3), ("日", 2), ("日", 1), ("é", 2), ("日本", 2), ("\u200b\u200b", 2), ("👍🏽", 2)]
)
def test_a_run_fills_its_cells_whatever_rich_thinks(text: str, cells: int) -> None:
    assert cell_len(fit(text, cells)) == cells
