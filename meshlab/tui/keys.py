"""The keys that work everywhere in the course, in one table; those of a pane stand with the pane.

Every key has an id, by which a person can give it another key, and a tooltip, which help and palette show. None has
priority: what is typed while the shell has the focus belongs to the shell.
"""

from __future__ import annotations

from textual.binding import Binding, BindingType

TERMINAL_KEY = "f6"
"""Into the terminal, and out of it: the one key that a shell does not get."""

COURSE_KEYS: list[BindingType] = [
    Binding("g", "go_on", "Go on", tooltip="What comes next in the course", id="course.next"),
    Binding("s", "start", "Start", tooltip="Set the exercise up on the cluster", id="exercise.start"),
    Binding("h", "hint", "Hint", tooltip="The next hint for the highlighted task", id="exercise.hint"),
    Binding("a", "answer", "Answer", tooltip="Go to the line for an answer", id="exercise.answer", show=False),
    Binding("c", "check", "Check", tooltip="Look at every task again now", id="exercise.check", show=False),
    Binding("x", "solve", "Solution", tooltip="Show the solution, and apply it", id="exercise.solve", show=False),
    Binding("z", "reset", "Reset", tooltip="Back to the exercise's start", id="exercise.reset", show=False),
    Binding("u", "bring_up", "Lab up", tooltip="Bring the lab up again", id="lab.up"),
    Binding(TERMINAL_KEY, "terminal", "Terminal", tooltip="Into the terminal, and back", id="pane.terminal"),
    Binding("1", "pane('course')", "Course", tooltip="Show the course", id="pane.course", show=False),
    Binding("2", "pane('lesson')", "Lesson", tooltip="Show the lesson", id="pane.lesson", show=False),
    Binding("3", "pane('tasks')", "Tasks", tooltip="Show the tasks", id="pane.tasks", show=False),
    Binding("4", "pane('terminal')", "Terminal", tooltip="Show the terminal", id="pane.shell", show=False),
    Binding("question_mark", "help", "Help", tooltip="Help on the focused pane", id="help", key_display="?"),
]
