"""An exercise as it stands in a lesson: what it is, how far it is, and the key that opens it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType
from textual.content import Content
from textual.message import Message
from textual.widgets import Static

if TYPE_CHECKING:
    from meshlab.course.outline import ExerciseEntry


_STATES = {
    "new": "not started",
    "started": "under way",
    "done": "done",
    "changed": "done, and changed since",
}


class ExerciseCard(Static, can_focus=True):
    """A card; Enter opens the exercise's tasks.

    Args:
        exercise: its id.
        entry: how far it is; None as long as that is not known.
    """

    DEFAULT_CSS = """
    ExerciseCard {
        height: auto;
        margin: 0 0 1 0;
        padding: 0 1;
        border: round $accent;
        &:focus { border: round $primary; background: $boost; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "open", "Open the exercise", tooltip="Show the tasks of this exercise", id="card.open"),
    ]

    @dataclass
    class Opened(Message):
        """The exercise is to be shown."""

        card: ExerciseCard
        exercise: str

        @property
        def control(self) -> ExerciseCard:
            """The card."""
            return self.card

    def __init__(self, exercise: str, entry: ExerciseEntry | None) -> None:
        # As high as it will be.
        super().__init__("\n\n")
        self.exercise = exercise
        if entry is not None:
            self.show(entry)

    def show(self, entry: ExerciseEntry) -> None:
        """Draw the exercise's present state."""
        verb = "start it" if entry.state == "new" else "see its tasks"
        self.update(
            Content.assemble(
                ("Exercise  ", "bold $text-accent"),
                (entry.title, "bold"),
                "\n",
                (f"{entry.minutes} min · {entry.points.normalize():f} points · {_STATES[entry.state]}", "$text-muted"),
                "\n",
                ("▶ enter opens it", "$text-accent"),
                (f"; then s to {verb}" if entry.state == "new" else "", "$text-muted"),
            )
        )

    def action_open(self) -> None:
        """Ask for it."""
        self.post_message(self.Opened(self, self.exercise))

    def on_click(self) -> None:
        """The same by mouse."""
        self.action_open()
