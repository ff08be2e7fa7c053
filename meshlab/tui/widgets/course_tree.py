"""The course as a tree: lessons, their exercises, and how far the learner has come."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from rich.style import Style
from rich.text import Text
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widgets import Tree
from textual.widgets.tree import TreeNode

from meshlab.course.projection import Place

if TYPE_CHECKING:
    from meshlab.course.outline import ExerciseState, LessonState, Outline

_LESSON_MARKS: dict[LessonState, tuple[str, str]] = {
    "new": ("○", "course--new"),
    "opened": ("◐", "course--begun"),
    "read": ("●", "course--done"),
}
_EXERCISE_MARKS: dict[ExerciseState, tuple[str, str]] = {
    "new": ("○", "course--new"),
    "started": ("◐", "course--begun"),
    "done": ("✔", "course--done"),
    "changed": ("◑", "course--begun"),
}


class CourseTree(Tree[Place]):
    """Lessons and exercises with marks; choosing one opens it."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"course--new", "course--begun", "course--done"}
    DEFAULT_CSS = """
    CourseTree {
        background: transparent;
        & > .course--new { color: $text-muted; }
        & > .course--begun { color: $text-warning; }
        & > .course--done { color: $text-success; }
    }
    """
    HELP = """\
# The course

Lessons in their order, and under each its exercises. **Enter** opens what is highlighted.

| mark | lesson | exercise |
|---|---|---|
| ○ | not opened yet | not started yet |
| ◐ | opened | under way |
| ● / ✔ | every step read | done |
| ◑ | | done, and changed since |
"""
    BINDING_GROUP_TITLE = "Course"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "select_cursor", "Open", tooltip="Open the highlighted lesson or exercise", id="course.open"),
    ]

    @dataclass
    class Chosen(Message):
        """A lesson, or an exercise of it, is to be opened."""

        tree: CourseTree
        place: Place

        @property
        def control(self) -> CourseTree:
            """The tree."""
            return self.tree

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__("Course", id=id, classes=classes)
        self.show_root = False
        self.guide_depth = 2
        self.auto_expand = False
        self._places: dict[Place, TreeNode[Place]] = {}
        self._marks: dict[Place, tuple[str, str]] = {}

    def show(self, outline: Outline) -> None:
        """Draw an outline; nodes that are there already are relabelled, so the cursor stays where it is."""
        for lesson in outline.lessons:
            place = Place(lesson.id)
            self._marks[place] = _LESSON_MARKS[lesson.state]
            node = self._places.get(place)
            if node is None:
                node = self.root.add(lesson.title, data=place, expand=True, allow_expand=bool(lesson.exercises))
                self._places[place] = node
            for exercise in lesson.exercises:
                below = Place(lesson.id, exercise.id)
                self._marks[below] = _EXERCISE_MARKS[exercise.state]
                if below not in self._places:
                    self._places[below] = node.add_leaf(exercise.title, data=below)
        # Labels are drawn with the marks of the moment: forget what was drawn before.
        self._updates += 1
        self.refresh()

    def render_label(self, node: TreeNode[Place], base_style: Style, style: Style) -> Text:
        """The mark in its colour, then the title."""
        title = node.label.plain if isinstance(node.label, Text) else str(node.label)
        if node.data is None:
            return Text(title)
        sign, component = self._marks[node.data]
        text = Text(f"{sign} ", style + Style(color=self.get_component_rich_style(component).color))
        text.append(title, style + Style(italic=bool(node.data.exercise)))
        return text

    def take_focus(self) -> None:
        """Take the keys."""
        self.focus()

    def point_at(self, place: Place) -> None:
        """Move the cursor to what is open now."""
        node = self._places.get(place)
        if node is not None:
            self.move_cursor(node)

    def on_tree_node_selected(self, event: Tree.NodeSelected[Place]) -> None:
        """Pass on which place was chosen."""
        event.stop()
        if event.node.data is not None:
            self.post_message(self.Chosen(self, event.node.data))
