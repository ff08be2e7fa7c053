"""The tasks of one exercise, from the offer to start it to the debrief, with verdicts that follow the cluster."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from textual.app import ComposeResult
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.reactive import var
from textual.widgets import Static

from meshlab.course.model import Exercise
from meshlab.errors import MeshlabError
from meshlab.tui.redraw import redraw
from meshlab.tui.widgets.notice import Notice
from meshlab.tui.widgets.task_item import TaskItem

if TYPE_CHECKING:
    from meshlab.grading.live import LiveStatus


class TaskPane(VerticalScroll):
    """One exercise."""

    HELP = """\
# The tasks

Verdicts follow the cluster: do something in the terminal and watch them. Nothing has to be pressed.

A task climbs a ladder: **declared** (the object exists), **accepted** (it is valid), **pushed** (the proxies have it),
**observed** (traffic shows it). The rung where it stops tells where to look.
"""
    BINDING_GROUP_TITLE = "Tasks"
    DEFAULT_CSS = """
    TaskPane {
        padding: 0 1;
        Static { height: auto; width: 1fr; }
        #tasks-head { margin-bottom: 1; }
        #tasks-list { height: auto; }
        #tasks-done { display: none; margin-top: 1; padding: 0 1; border: round $success; }
        #tasks-done.-some { display: block; }
    }
    """

    exercise: var[Exercise | None] = var(None)
    """The exercise that is shown."""

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self.can_focus = True

    def compose(self) -> ComposeResult:
        """Trouble, what it is, the tasks, and what to take away."""
        yield Notice(id="tasks-notice")
        yield Static(Content("the exercise of this lesson appears here"), id="tasks-head")
        yield Vertical(id="tasks-list")
        yield Static(id="tasks-done")

    async def offer(self, exercise: Exercise, *, ready: bool) -> None:
        """Show an exercise that is not started.

        Args:
            exercise: as it will be drawn.
            ready: whether the cluster is there, so that it can be started now.
        """
        await self._clear(exercise)
        goals = [task for task in exercise.tasks if not task.guard]
        lines: list[Content | str] = [
            (_title(exercise)),
            "\n\n",
            # Above the text, which may be longer than the pane.
            Content.styled("▶ press s to start it", "bold $text-accent")
            if ready
            else Content.styled("the lab is coming up; then s starts it", "$text-warning"),
            "\n\n",
            Content("\n".join(f"• {task.text.strip()}" for task in goals)),
        ]
        self.query_one("#tasks-head", Static).update(Content.assemble(*lines))

    async def nothing(self, text: str) -> None:
        """Show that there is no exercise."""
        await self._clear(None)
        self.query_one("#tasks-head", Static).update(Content.styled(text, "$text-muted"))

    async def working(self, exercise: Exercise, stage: str) -> None:
        """Show what is being set up."""
        if self.exercise is not exercise:
            await self._clear(exercise)
        head = Content.assemble(_title(exercise), "\n\n", ("⋯ ", "$text-warning"), (stage, "$text-warning"))
        self.query_one("#tasks-head", Static).update(head)

    async def follow(self, status: LiveStatus, hints: Mapping[str, Sequence[str]]) -> None:
        """Show what the live check found.

        Args:
            status: the newest one.
            hints: those taken so far, by task.
        """
        exercise = status.exercise
        if exercise is None:
            return
        items = {item.asked.id: item for item in self.query(TaskItem)}
        if self.exercise != exercise or not items:
            await self._clear(exercise)
            items = {entry.task.id: TaskItem(entry.task) for entry in status.tasks}
            await self.query_one("#tasks-list").mount_all(items.values())
        self.query_one(Notice).show(status.error)
        redraw(
            self.query_one("#tasks-head", Static),
            Content.assemble(
                _title(exercise),
                (f"\n{status.earned.normalize():f} of {status.possible.normalize():f} points", "bold"),
                ("  ✔ done: g goes on" if status.done else "", "bold $text-success"),
                ("  · looking" if status.looking else "", "$text-muted"),
            ),
        )
        for entry in status.tasks:
            item = items[entry.task.id]
            item.show(entry)
            item.show_hints(hints.get(entry.task.id, ()))
        self._debrief(status)

    def trouble(self, error: MeshlabError | None) -> None:
        """Show an error above everything else, or none any more."""
        self.query_one(Notice).show(error)

    @property
    def selected(self) -> TaskItem | None:
        """The highlighted task, else the first that does not pass."""
        items = list(self.query(TaskItem))
        focused = next((item for item in items if item.has_focus or item.has_focus_within), None)
        return focused or next((item for item in items if not item.has_class("-pass")), None) or next(iter(items), None)

    def _debrief(self, status: LiveStatus) -> None:
        done = self.query_one("#tasks-done", Static)
        done.set_class(status.done, "-some")
        if status.done:
            parts: list[Content | str] = [Content.styled("✔ done", "bold $text-success")]
            for text in status.debrief:
                parts += ["\n\n", text.strip()]
            parts += ["\n\n", Content.styled("▶ g goes on with the course", "$text-accent")]
            redraw(done, Content.assemble(*parts))

    async def _clear(self, exercise: Exercise | None) -> None:
        self.exercise = exercise
        self.query_one(Notice).show(None)
        self.query_one("#tasks-done").remove_class("-some")
        await self.query_one("#tasks-list").remove_children()


def _title(exercise: Exercise) -> Content:
    return Content.assemble(
        (exercise.title, "bold $text-accent"),
        (f"\n{exercise.minutes} min · {exercise.possible.normalize():f} points", "$text-muted"),
    )
