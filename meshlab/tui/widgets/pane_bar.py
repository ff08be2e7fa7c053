"""The row of tabs of a small screen: which panes there are, which one is shown, and by which key."""

from __future__ import annotations

from dataclasses import dataclass

from textual import events
from textual.content import Content
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget

PANES: tuple[tuple[str, str], ...] = (
    ("course", "Course"),
    ("lesson", "Lesson"),
    ("tasks", "Tasks"),
    ("terminal", "Terminal"),
)
"""(id, title) of the panes in their order; the position is the key."""


class PaneBar(Widget):
    """Tabs; a click, or the number's key, shows a pane."""

    DEFAULT_CSS = """
    PaneBar { height: 1; background: $surface; padding: 0 1; }
    """

    active: reactive[str] = reactive("lesson")
    """The id of the pane that is shown."""
    tasks: reactive[tuple[tuple[str, Content], ...]] = reactive(())
    """Names and marks of the tasks, so that a verdict is seen from every pane."""

    @dataclass
    class Picked(Message):
        """A pane was clicked."""

        bar: PaneBar
        pane: str

        @property
        def control(self) -> PaneBar:
            """The bar."""
            return self.bar

    def render(self) -> Content:
        """``1 Course  2 Lesson  3 Tasks  4 Terminal``, and the tasks' marks at the end, with names if there is room."""
        parts: list[Content | str] = []
        for number, (pane, title) in enumerate(PANES, 1):
            style = "bold $text-primary reverse" if pane == self.active else "$text-muted"
            parts += [Content.styled(f" {number} {title} ", style), " "]
        tabs = Content.assemble(*parts, " ")
        named = Content("  ").join(Content.assemble((f"{name} ", "$text-muted"), sign) for name, sign in self.tasks)
        fits = tabs.cell_length + named.cell_length <= self.content_size.width
        return Content.assemble(tabs, named if fits else Content(" ").join(sign for _, sign in self.tasks))

    def on_click(self, event: events.Click) -> None:
        """Find out which tab is under the pointer."""
        begin = self.styles.padding.left
        for number, (pane, title) in enumerate(PANES, 1):
            width = len(f" {number} {title} ")
            if begin <= event.x < begin + width:
                self.post_message(self.Picked(self, pane))
            begin += width + 1
