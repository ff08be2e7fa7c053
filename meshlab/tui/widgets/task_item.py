"""One task: what is asked, how it stands on the ladder, what was found, and the hints taken so far."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget
from textual.widgets import Input, Static

from meshlab.course.model import Task
from meshlab.grading.verdicts import Verdict
from meshlab.tui.redraw import redraw
from meshlab.tui.verdict_text import WORDS, ladder_line, mark, sentence_table

if TYPE_CHECKING:
    # What judges brings the Kubernetes client with it, which the first frame must not wait for.
    from meshlab.grading.live import TaskStatus

ANSWER_PREFIX = "answer."
"""Checks of this family judge what the learner answers."""


class TaskItem(Widget, can_focus=True):
    """A task that follows its verdict; Enter folds its details away or shows them."""

    DEFAULT_CSS = """
    TaskItem {
        height: auto;
        padding: 0 1;
        margin-bottom: 1;
        border-left: outer $surface-lighten-2;
        &.-pass { border-left: outer $success; }
        &.-fail { border-left: outer $error; }
        &.-pending, &.-inconclusive { border-left: outer $warning; }
        &.-error { border-left: outer $accent; }
        &:focus { background: $boost; }
        Static { height: auto; width: 1fr; }
        .task-text { color: $text; }
        .task-hints { color: $text-accent; display: none; }
        .task-hints.-some { display: block; margin-top: 1; }
        .task-detail { display: none; }
        &.-open .task-detail { display: block; }
        Input { height: 3; margin-top: 1; border: round $accent; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "fold", "Details", tooltip="Show or hide what was found", id="task.fold"),
        Binding("escape", "leave_line", "Leave the line", tooltip="Out of the line for the answer", id="task.leave"),
    ]

    is_open: reactive[bool] = reactive(True)
    """Whether the details are shown."""

    @dataclass
    class Answered(Message):
        """The learner gave an answer."""

        item: TaskItem
        task: str
        value: str

        @property
        def control(self) -> TaskItem:
            """The item."""
            return self.item

    def __init__(self, task: Task) -> None:
        super().__init__(id=f"task-{task.id}")
        self._shown: TaskStatus | None = None
        self._hints: tuple[str, ...] = ()
        self.asked = task
        self.wants_answer = any(call.name.startswith(ANSWER_PREFIX) for call in task.checks)

    def compose(self) -> ComposeResult:
        """Head, text, verdict, hints, and a line for the answer where one is asked for."""
        yield Static(self._head(None), classes="task-head")
        yield Static(Content(self.asked.text.strip()), classes="task-text")
        if self.wants_answer:
            yield Input(placeholder="your answer, then enter", id=f"answer-{self.asked.id}")
        yield Static(classes="task-detail", id="ladder")
        yield Static(classes="task-detail", id="sentences")
        yield Static(classes="task-hints")

    def on_mount(self) -> None:
        """Show the details at first."""
        self.set_class(self.is_open, "-open")

    def show(self, status: TaskStatus) -> None:
        """Draw a status; what passes folds itself the moment it does."""
        before, self._shown = self._shown, status
        if status == before:
            return
        verdict = status.verdict
        outcome = verdict.outcome if verdict else None
        shown = outcome.lower() if outcome else ""
        self.update_classes(
            {f"-{name}": name == shown for name in ("pass", "fail", "pending", "inconclusive", "error")}
        )
        redraw(self.query_one(".task-head", Static), self._head(status))
        if verdict is not None:
            redraw(self.query_one("#ladder", Static), self._ladder(status, verdict))
            if before is None or before.verdict != verdict:
                self.query_one("#sentences", Static).update(sentence_table(verdict))
        changed = before is None or before.verdict is None or before.verdict.outcome != outcome
        if changed and outcome is not None:
            self.is_open = outcome != "PASS"

    def show_hints(self, hints: Sequence[str]) -> None:
        """Show the hints taken so far."""
        if tuple(hints) == self._hints:
            return
        self._hints = tuple(hints)
        widget = self.query_one(".task-hints", Static)
        total = len(self.asked.hints)
        lines = [f"hint {number} of {total}: {text.strip()}" for number, text in enumerate(hints, 1)]
        widget.update(Content("\n".join(lines)))
        widget.set_class(bool(lines), "-some")

    def watch_is_open(self, is_open: bool) -> None:
        """Fold or unfold."""
        self.set_class(is_open, "-open")

    def action_fold(self) -> None:
        """Fold or unfold."""
        self.is_open = not self.is_open

    def action_leave_line(self) -> None:
        """Out of the answer, so that keys are keys again."""
        self.focus()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Only a line that has the keys can be left."""
        return action != "leave_line" or (self.has_focus_within and not self.has_focus)

    def on_click(self) -> None:
        """The same by mouse."""
        self.action_fold()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Hand the answer in."""
        event.stop()
        if event.value.strip():
            # Out of the line, so that keys are keys again.
            self.focus()
            self.post_message(self.Answered(self, self.asked.id, event.value.strip()))

    def _head(self, status: TaskStatus | None) -> Content:
        verdict = status.verdict if status else None
        kind = "must stay true" if self.asked.guard else f"{self.asked.points.normalize():f} points"
        said = WORDS[verdict.outcome] if verdict else "not looked at yet"
        if status is not None and status.checking:
            said += " · looking"
        return Content.assemble(mark(verdict), " ", (self.asked.id, "bold"), (f"  {kind} · {said}", "$text-muted"))

    def _ladder(self, status: TaskStatus, verdict: Verdict) -> Content:
        """How far it got, what it waits for, and what stands in the way of its points."""
        parts: list[Content | str] = [ladder_line(verdict)]
        if verdict.outcome == "PENDING" and status.pending_s is not None:
            left = max(0, self.asked.within_s - status.pending_s)
            waits = f"waiting for: {verdict.wanted or verdict.why}; {left:.0f} s left"
            parts += ["\n", Content.styled(waits, "$text-warning")]
        if status.guarded and verdict.outcome == "PASS":
            parts += ["\n", Content.styled("earns nothing while a task that must stay true fails", "$text-warning")]
        return Content.assemble(*parts)
