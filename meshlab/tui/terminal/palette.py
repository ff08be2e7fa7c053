"""Which shades the 256 colours have: 0-15 follow the app's theme, the rest is xterm's cube and greys.

A program that prints "red" means the theme's red. Each hue is moved towards the foreground until it can be read on the
theme's background (a contrast ratio of 4.5, as WCAG 2 asks of text), so a light theme stays readable too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from meshlab.tui.terminal.emulator import Rgb

MIN_CONTRAST = 4.5
_STEPS = 12
_BLUE, _MAGENTA, _CYAN = (59, 130, 246), (192, 90, 200), (34, 170, 190)
"""Themes name an error, a success and a warning, but nothing that is sure to be blue, magenta or cyan."""


@dataclass(frozen=True, slots=True)
class ThemeColors:
    """What a palette is made of."""

    foreground: Rgb
    background: Rgb
    error: Rgb
    success: Rgb
    warning: Rgb


def make_palette(theme: ThemeColors) -> list[Rgb]:
    """The 256 colours for a theme."""
    fore, back = theme.foreground, theme.background
    hues = [readable(hue, theme) for hue in (theme.error, theme.success, theme.warning, _BLUE, _MAGENTA, _CYAN)]
    # Black is a shade of the background and white one of the foreground, whatever the theme, as programs pair them so.
    normal = [mix(back, fore, 0.12), *hues, readable(mix(fore, back, 0.15), theme)]
    bright = [mix(back, fore, 0.5), *(readable(mix(hue, fore, 0.3), theme) for hue in hues), fore]
    levels = (0, 95, 135, 175, 215, 255)
    cube = [(red, green, blue) for red in levels for green in levels for blue in levels]
    greys = [(grey, grey, grey) for grey in range(8, 248, 10)]
    return [*normal, *bright, *cube, *greys]


def readable(color: Rgb, theme: ThemeColors) -> Rgb:
    """The nearest shade towards the foreground that stands out from the background enough to be read."""
    for step in range(_STEPS + 1):
        shade = mix(color, theme.foreground, step / _STEPS)
        if contrast(shade, theme.background) >= MIN_CONTRAST:
            return shade
    return theme.foreground


def mix(color: Rgb, other: Rgb, share: float) -> Rgb:
    """A colour with a share (0 to 1) of another in it."""
    red, green, blue = (round(one + (two - one) * share) for one, two in zip(color, other, strict=True))
    return red, green, blue


def contrast(one: Rgb, two: Rgb) -> float:
    """The contrast ratio of two colours, 1 to 21 (WCAG 2.2, "contrast ratio")."""
    dark, light = sorted((_luminance(one), _luminance(two)))
    return (light + 0.05) / (dark + 0.05)


def _luminance(color: Sequence[int]) -> float:
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in (c / 255 for c in color)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
