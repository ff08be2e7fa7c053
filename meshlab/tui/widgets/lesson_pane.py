"""The lesson: one step at a time, its prose and its blocks in order."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Markdown, Static

from meshlab.course.blocks import Predict, Quiz
from meshlab.course.model import Block, Lesson, Step
from meshlab.tui.segments import Segment, segments
from meshlab.tui.widgets.code_block import ACTIVE_ROLES, CodeBlock, Diagram
from meshlab.tui.widgets.exercise_card import ExerciseCard
from meshlab.tui.widgets.predict_card import PredictCard
from meshlab.tui.widgets.quiz_card import QuizCard

if TYPE_CHECKING:
    from meshlab.course.outline import ExerciseEntry


Opening = tuple[Lesson, int]
"""A lesson with its variables drawn, and the step to show of it."""


class LessonPane(VerticalScroll):
    """One step of one lesson.

    Args:
        first: what is shown from the start.
    """

    HELP = """\
# The lesson

One step at a time. **n** and **p** turn to the next and the previous step, the arrow keys scroll, **Tab** walks over
what can be used: blocks of code, predictions, questions, exercises.

**r** runs the next command of this step in the terminal, or saves the next file. Nothing runs by itself.
"""
    BINDING_GROUP_TITLE = "Lesson"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("n,right", "turn(1)", "Next", tooltip="The next step of the lesson", id="lesson.next"),
        Binding("p,left", "turn(-1)", "Back", tooltip="The step before", id="lesson.back"),
        Binding("r", "use_next", "Run", tooltip="Run or save the next block of this step", id="lesson.run"),
    ]
    DEFAULT_CSS = """
    LessonPane {
        padding: 0 1;
        Markdown { padding: 0; margin: 0; background: transparent; }
        #step-title { height: auto; text-style: bold; color: $text-accent; margin: 0 0 1 0; }
    }
    """

    @dataclass
    class Turned(Message):
        """Another step is shown now."""

        pane: LessonPane
        lesson: Lesson
        step: Step

        @property
        def control(self) -> LessonPane:
            """The pane."""
            return self.pane

    @dataclass
    class Ended(Message):
        """The reader turned past the last step."""

        pane: LessonPane
        lesson: Lesson

        @property
        def control(self) -> LessonPane:
            """The pane."""
            return self.pane

    def __init__(self, first: Opening | None = None, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self.can_focus = True
        self._first = first
        self.lesson: Lesson | None = None
        self.index = 0
        self._entries: Mapping[str, ExerciseEntry] = {}
        """The exercises by id, for their cards."""
        self._used: set[tuple[str, int]] = set()
        self._below: list[Segment] = []
        """What of the step is not drawn yet."""
        self._drawing = asyncio.Lock()

    @property
    def step(self) -> Step | None:
        """The step that is shown."""
        return self.lesson.steps[self.index] if self.lesson else None

    def compose(self) -> ComposeResult:
        """The first step, if it is known."""
        if self._first is None:
            yield Static("Choose a lesson in the course.", id="step-title")
        else:
            yield from self._begin(*self._first)

    def on_mount(self) -> None:
        """The first step is there."""
        if self._first is not None:
            self._tell()

    async def show(self, lesson: Lesson, index: int = 0) -> None:
        """Show a step of a lesson.

        Args:
            lesson: with its variables drawn.
            index: which step.
        """
        async with self._drawing:
            widgets = self._begin(lesson, index)
            async with self.batch():
                await self.remove_children()
                await self.mount_all(widgets)
        self.scroll_home(animate=False)
        self._tell()

    def _begin(self, lesson: Lesson, index: int) -> list[Widget]:
        """Take a step for the one that is shown; what draws its first screenful."""
        self.lesson = lesson
        self.index = min(max(0, index), len(lesson.steps) - 1)
        step = lesson.steps[self.index]
        widgets: list[Widget] = [Static(step.title, id="step-title")]
        self._below = list(segments(step))
        rows = self.size.height or self.app.size.height
        if self.index == 0 and lesson.intro:
            widgets.insert(0, Markdown(lesson.intro))
            rows -= self._rows(lesson.intro)
        while self._below and rows > 0:
            segment = self._below.pop(0)
            rows -= self._rows(segment)
            widgets += self._drawn(segment)
        return widgets

    def _tell(self) -> None:
        """Say that a step is shown, and draw the rest of it when the first screenful is painted."""
        assert self.lesson is not None
        self.post_message(self.Turned(self, self.lesson, self.lesson.steps[self.index]))
        self.call_after_refresh(self.complete)

    async def complete(self) -> None:
        """Draw what stands below the first screenful; whoever needs the whole step calls this first."""
        async with self._drawing:
            below, self._below = self._below, []
            if below:
                await self.mount_all([widget for segment in below for widget in self._drawn(segment)])

    def _rows(self, segment: Segment) -> int:
        """At least so many rows a segment takes."""
        text = segment if isinstance(segment, str) else segment.content
        width = self.size.width or self.app.size.width
        return sum(1 + len(line) // width for line in text.splitlines())

    async def turn(self, by: int) -> None:
        """Show the step ``by`` steps further; past the end, say so."""
        if self.lesson is None:
            return
        if self.index + by >= len(self.lesson.steps):
            self.post_message(self.Ended(self, self.lesson))
        elif self.index + by >= 0:
            await self.show(self.lesson, self.index + by)

    async def action_turn(self, by: int) -> None:
        """Turn to another step."""
        await self.turn(by)

    def action_scroll_up(self) -> None:
        """A line up, at once: an animation of one line would only come late."""
        self.scroll_up(animate=False, immediate=True)

    def action_scroll_down(self) -> None:
        """A line down, likewise."""
        self.scroll_down(animate=False, immediate=True)

    async def action_use_next(self) -> None:
        """Run or save the first block that was not used yet; the last one again when all were."""
        await self.complete()
        blocks = [code for code in self.query(CodeBlock) if code.block.role in ACTIVE_ROLES]
        if not blocks:
            self.notify("this step has nothing to run", timeout=3)
            return
        code = next((code for code in blocks if not code.done), blocks[-1])
        code.scroll_visible()
        code.action_use()

    def mark_used(self, block: Block) -> None:
        """Show that a block was run or saved."""
        if self.lesson is not None:
            self._used.add((self.lesson.id, block.line))
        for code in self.query(CodeBlock):
            if code.block is block:
                code.done = True

    def update_cards(self, entries: Mapping[str, ExerciseEntry]) -> None:
        """Draw the exercises' present states."""
        self._entries = entries
        for card in self.query(ExerciseCard):
            if entry := entries.get(card.exercise):
                card.show(entry)

    def predictions(self, before: str) -> list[PredictCard]:
        """The cards that ask about a block and are not answered yet."""
        return [card for card in self.query(PredictCard) if card.question.before == before and card.choice is None]

    def was_used(self, block_id: str) -> bool:
        """Whether a block of the lesson was run in this session."""
        return self.lesson is not None and any(
            (self.lesson.id, block.line) in self._used for block in self.lesson.blocks if block.id == block_id
        )

    def _drawn(self, segment: Segment) -> Iterator[Widget]:
        """What draws a segment."""
        if isinstance(segment, str):
            yield Markdown(segment)
        elif isinstance(segment.question, Predict):
            yield PredictCard(segment, segment.question)
        elif isinstance(segment.question, Quiz):
            yield QuizCard(segment, segment.question)
        elif segment.role == "exercise":
            identifier = segment.attributes["id"]
            yield ExerciseCard(identifier, self._entries.get(identifier))
        elif segment.role == "diagram":
            yield Diagram(segment)
        else:
            code = CodeBlock(segment)
            if self.lesson is not None and (self.lesson.id, segment.line) in self._used:
                code.set_reactive(CodeBlock.done, True)
                code.add_class("-done")
            yield code
