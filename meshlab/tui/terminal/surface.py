"""A widget that shows an emulator and has the mouse over it; what is typed, and what runs, is a subclass's affair.

Output only marks the surface dirty. One timer, set by the first output after a repaint, repaints what changed, so a
flood costs thirty repaints a second and silence costs nothing.
"""

from __future__ import annotations

import time
from typing import ClassVar

from rich.color import Color as RichColor
from textual import events
from textual.color import Color, ColorParseError
from textual.geometry import Region
from textual.strip import Strip
from textual.timer import Timer
from textual.widget import Widget

from meshlab.tui.terminal.emulator import Emulator, Mode, Rgb
from meshlab.tui.terminal.mouse import Action, MouseReport
from meshlab.tui.terminal.palette import ThemeColors
from meshlab.tui.terminal.pointer import Pointer
from meshlab.tui.terminal.view import Highlights, ScreenView

FRAME_S = 1 / 30
ECHO_S = 0.004
"""How long output is gathered after a pause: a typed character should show at once, but with all of its echo."""
HELD_FRAMES = 6
"""How many repaints a program may hold back with synchronized output before what there is gets drawn."""


class TerminalSurface(Widget):
    """Cells of an emulator, once there is one."""

    DEFAULT_CSS = """
    TerminalSurface {
        background: $surface;
        color: $foreground;
        .terminal--cursor { background: $foreground; color: $surface; }
        .terminal--selection { background: $primary; color: $text; }
    }
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = {"terminal--cursor", "terminal--selection"}
    ALLOW_SELECT = False

    def __init__(
        self,
        *,
        name: str | None = None,
        id: str | None = None,
        classes: str | None = None,
        disabled: bool = False,
    ) -> None:
        super().__init__(name=name, id=id, classes=classes, disabled=disabled)
        self.emulator: Emulator | None = None
        """The screen that is shown; None before it is made, and for good where none can be made."""
        self.pointer: Pointer | None = None
        """The mouse over it."""
        self._view: ScreenView | None = None
        self._repaint: Timer | None = None
        self._painted_at = 0.0
        self._held = 0

    @property
    def repaint_due(self) -> bool:
        """Whether something changed that is not drawn yet; no timer runs otherwise."""
        return self._repaint is not None

    @property
    def screen_text(self) -> str:
        """The visible rows as text."""
        if self.emulator is None:
            return ""
        top, rows = self.emulator.history.top, self.emulator.history.visible
        return self.emulator.text((0, top), (10_000, top + rows - 1))

    def show_emulator(self, emulator: Emulator) -> None:
        """Show an emulator from now on."""
        self.emulator = emulator
        self.pointer = Pointer(emulator, self.send, self.changed)

    def drop_emulator(self) -> None:
        """Show nothing any more, and free the emulator."""
        emulator, self.emulator, self.pointer, self._view = self.emulator, None, None, None
        if emulator is not None:
            emulator.close()

    def send(self, data: bytes) -> None:
        """Give the program input; for a subclass to say how."""

    def before_paint(self) -> None:
        """Called before every repaint, for what a subclass shows around the screen."""

    def copy(self, text: str) -> None:
        """Put text on the clipboard (OSC 52 to the terminal outside)."""
        if text:
            self.app.copy_to_clipboard(text)

    # Drawing

    def changed(self) -> None:
        """Something may look different: repaint soon, once."""
        if self._repaint is None and self.is_attached:
            pause = time.monotonic() - self._painted_at
            self._repaint = self.set_timer(max(FRAME_S - pause, ECHO_S), self._paint)

    def _paint(self) -> None:
        self._repaint = None
        if self.emulator is None or self.pointer is None:
            return
        if self.emulator.mode(Mode.SYNCHRONIZED) and self._held < HELD_FRAMES:
            self._held += 1
            self._repaint = self.set_timer(FRAME_S, self._paint)
            return
        self._held = 0
        self._painted_at = time.monotonic()
        self.before_paint()
        if self._view is None:
            self._view = ScreenView(self.emulator, *self._theme())
        rows = self._view.take_changes()
        if rows is None or self.pointer.take_moved():
            self.refresh()
        elif rows:
            self.refresh(*(Region(0, y, self.content_size.width, 1) for y in rows))

    def render_line(self, y: int) -> Strip:
        width = self.content_size.width
        if self._view is None or self.pointer is None:
            return Strip.blank(width, self.rich_style)
        return self._view.strip(y, width, focused=self.has_focus, selection=self.pointer.selection)

    def notify_style_update(self) -> None:
        super().notify_style_update()
        if self._view is not None:
            self._view.restyle(*self._theme())
            self.refresh()

    def _theme(self) -> tuple[ThemeColors, Highlights]:
        """The colours that the app's theme and style sheets give now."""
        dark = self.app.current_theme.dark
        foreground, background = ((224, 224, 224), (18, 18, 18)) if dark else ((32, 32, 32), (250, 250, 250))
        style = self.rich_style
        colors = ThemeColors(
            foreground=_rgb(style.color, foreground),
            background=_rgb(style.bgcolor, background),
            error=self._variable("error", (200, 50, 60)),
            success=self._variable("success", (60, 160, 80)),
            warning=self._variable("warning", (200, 150, 40)),
        )
        return colors, Highlights(
            cursor=self.get_component_rich_style("terminal--cursor"),
            selection=self.get_component_rich_style("terminal--selection"),
        )

    def _variable(self, name: str, default: Rgb) -> Rgb:
        """A colour of the theme; the default where the theme leaves it to the terminal outside."""
        try:
            color = Color.parse(self.app.theme_variables.get(name, ""))
        except ColorParseError:
            return default
        return default if color.ansi is not None else color.rgb

    # Mouse

    def _report(self, event: events.MouseEvent, action: Action) -> MouseReport:
        """A mouse event in cells of the screen, without the border."""
        x, y = event.offset - self.gutter.top_left
        button = event.button - 1 if event.button else None
        return MouseReport(action, button, x, y, shift=event.shift, alt=event.meta, ctrl=event.ctrl)

    def on_mouse_down(self, event: events.MouseDown) -> None:
        report = self._report(event, Action.PRESS)
        if self.pointer is not None and report.x >= 0 and report.y >= 0:
            event.stop()
            self.capture_mouse()
            self.pointer.press(report)

    def on_mouse_move(self, event: events.MouseMove) -> None:
        if self.pointer is not None:
            self.pointer.move(self._report(event, Action.MOVE), self.content_size)

    def on_mouse_up(self, event: events.MouseUp) -> None:
        self.release_mouse()
        if self.pointer is not None:
            event.stop()
            self.copy(self.pointer.release(self._report(event, Action.RELEASE)))

    def on_click(self, event: events.Click) -> None:
        if self.pointer is not None:
            event.stop()
            self.copy(self.pointer.click(self._report(event, Action.PRESS), event.chain, self.content_size.width))

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        self._wheel(event, -1)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        self._wheel(event, 1)

    def _wheel(self, event: events.MouseEvent, direction: int) -> None:
        if self.pointer is not None:
            event.stop()
            self.pointer.wheel(self._report(event, Action.PRESS), direction)


def _rgb(color: RichColor | None, default: Rgb) -> Rgb:
    """A colour of a style, or the default where it is the outside terminal's."""
    if color is None or color.triplet is None:
        return default
    return color.triplet.red, color.triplet.green, color.triplet.blue
