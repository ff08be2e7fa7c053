"""One line at the top: what is open, how the lab is, how long, how many points."""

from __future__ import annotations

import time

from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.content import Content
from textual.reactive import reactive
from textual.widgets import Label

TICK_S = 1.0


class TopBar(Horizontal):
    """The state of the course at a glance."""

    DEFAULT_CSS = """
    TopBar {
        height: 1;
        background: $panel;
        Label { padding: 0 1; }
        #bar-name { text-style: bold; color: $text-accent; }
        #bar-place { width: 1fr; text-wrap: nowrap; text-overflow: ellipsis; }
    }
    """

    place: reactive[str] = reactive("")
    """Which lesson or exercise is open."""
    lab: reactive[Content] = reactive(Content("○ lab"))
    """How the lab is, as text with its mark."""
    points: reactive[str] = reactive("")
    """Points earned so far, of all."""
    since: reactive[float | None] = reactive(None)
    """When the clock began, in seconds of `time.monotonic`; None hides it."""

    def compose(self) -> ComposeResult:
        """Name, place, lab, time, points."""
        yield Label("meshlab", id="bar-name")
        yield Label(id="bar-place")
        yield Label(id="bar-lab")
        clock = Label(id="bar-time")
        # Nothing yet, which is narrower than an empty label.
        clock.display = False
        yield clock
        yield Label(id="bar-points")

    def on_mount(self) -> None:
        """Let the clock run."""
        self.set_interval(TICK_S, self._tick)

    def watch_place(self, place: str) -> None:
        """Show what is open."""
        self._put("#bar-place", place)

    def watch_lab(self, lab: Content) -> None:
        """Show how the lab is."""
        self._put("#bar-lab", lab)

    def watch_points(self, points: str) -> None:
        """Show the points."""
        self._put("#bar-points", points)

    def watch_since(self) -> None:
        """Show the time at once, not only at the next tick."""
        self._tick()

    def _tick(self) -> None:
        self._put("#bar-time", "" if self.since is None else elapsed(time.monotonic() - self.since))

    def _put(self, selector: str, text: str | Content) -> None:
        if self.is_mounted:
            label = self.query_one(selector, Label)
            before = str(label.content)
            # The clock ticks every second: only a text of another width moves anything on the screen.
            label.update(text, layout=len(before) != len(str(text)))
            label.display = bool(str(text))


def elapsed(seconds: float) -> str:
    """``4:07``, or ``1:04:07``."""
    minutes, rest = divmod(max(0, int(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
