"""The course as a tree: lessons, their exercises, and how far the learner has come."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.content import Content
from textual.message import Message
from textual.widgets import Tree
from textual.widgets.tree import TreeNode

from meshlab.course.outline import ExerciseEntry, LessonEntry, Outline

_LESSON_MARKS = {"new": ("○", "$text-muted"), "opened": ("◐", "$text-warning"), "read": ("●", "$text-success")}
_EXERCISE_MARKS = {
    "new": ("○", "$text-muted"),
    "started": ("◐", "$text-warning"),
    "done": ("✔", "$text-success"),
    "changed": ("◑", "$text-warning"),
}


@dataclass(frozen=True, slots=True)
class Place:
    """What a node of the tree stands for: a lesson, or one of its exercises."""

    lesson: str
    exercise: str = ""


class CourseTree(Tree[Place]):
    """Lessons and exercises with marks; choosing one opens it."""

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
        self._nodes: dict[Place, TreeNode[Place]] = {}

    def show(self, outline: Outline) -> None:
        """Draw an outline; nodes that are there already are relabelled, so the cursor stays where it is."""
        for lesson in outline.lessons:
            place = Place(lesson.id)
            node = self._nodes.get(place)
            if node is None:
                node = self.root.add("", data=place, expand=True, allow_expand=bool(lesson.exercises))
                self._nodes[place] = node
            node.set_label(_lesson_label(lesson))
            for exercise in lesson.exercises:
                below = Place(lesson.id, exercise.id)
                leaf = self._nodes.get(below)
                if leaf is None:
                    leaf = self._nodes[below] = node.add_leaf("", data=below)
                leaf.set_label(_exercise_label(exercise))

    def point_at(self, place: Place) -> None:
        """Move the cursor to what is open now."""
        node = self._nodes.get(place)
        if node is not None:
            self.move_cursor(node)

    def on_tree_node_selected(self, event: Tree.NodeSelected[Place]) -> None:
        """Pass on which place was chosen."""
        event.stop()
        if event.node.data is not None:
            self.post_message(self.Chosen(self, event.node.data))


def _lesson_label(lesson: LessonEntry) -> Content:
    mark, colour = _LESSON_MARKS[lesson.state]
    return Content.assemble((mark, colour), " ", lesson.title, (f"  {lesson.minutes} min", "$text-muted"))


def _exercise_label(exercise: ExerciseEntry) -> Content:
    mark, colour = _EXERCISE_MARKS[exercise.state]
    return Content.assemble((mark, colour), " ", (exercise.title, "italic"))
