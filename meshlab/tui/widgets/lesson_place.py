"""What a reader does in a lesson: turns steps, runs blocks, saves files, predicts and answers; all of it is recorded.

It stands around the pane that draws the step. A command is typed into the terminal by whoever handles `RunWanted`; what
a prediction observes is run here, out of sight, so that the answer does not depend on what a terminal looks like.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.message import Message
from textual.worker import WorkType

from meshlab.course.model import Block, Lesson, Step
from meshlab.course.reading import Reading
from meshlab.errors import MeshlabError
from meshlab.tui import workfolder
from meshlab.tui.desk import Desk, explain
from meshlab.tui.widgets.code_block import CodeBlock
from meshlab.tui.widgets.lesson_pane import LessonPane, Opening
from meshlab.tui.widgets.predict_card import PredictCard
from meshlab.tui.widgets.quiz_card import QuizCard

OBSERVE_S = 10.0
OBSERVE_POLL_S = 0.5
COMMAND_TIMEOUT_S = 30.0


class LessonPlace(Vertical):
    """The lesson, and the work that is done with it.

    Args:
        desk: where records are kept.
        first: what is shown from the start.
    """

    @dataclass
    class RunWanted(Message):
        """A command is to be typed into the terminal."""

        place: LessonPlace
        lesson: Lesson
        command: str

        @property
        def control(self) -> LessonPlace:
            """The place."""
            return self.place

    @dataclass
    class Saved(Message):
        """A file of the lesson was saved."""

        place: LessonPlace
        lesson: Lesson

        @property
        def control(self) -> LessonPlace:
            """The place."""
            return self.place

    @dataclass
    class Recorded(Message):
        """Something was added to the record of the lesson."""

        place: LessonPlace

        @property
        def control(self) -> LessonPlace:
            """The place."""
            return self.place

    @dataclass
    class Failed(Message):
        """Something went wrong."""

        place: LessonPlace
        error: MeshlabError

        @property
        def control(self) -> LessonPlace:
            """The place."""
            return self.place

    def __init__(self, desk: Desk, first: Opening | None = None, *, id: str, classes: str) -> None:
        super().__init__(id=id, classes=classes)
        self._desk = desk
        self._first = first
        self.environment: Mapping[str, str] | None = None
        """The variables of the terminal; None while there is no cluster."""
        self._opened = ""
        """The id of the lesson that was opened last."""
        self._unrecorded: list[tuple[Lesson, Step]] = []
        self._recording = asyncio.Lock()
        self._warned: set[tuple[str, str]] = set()
        self._observed: set[tuple[str, str]] = set()

    def compose(self) -> ComposeResult:
        """The step."""
        yield LessonPane(self._first)

    @property
    def pane(self) -> LessonPane:
        """The step that is drawn."""
        return self.query_one(LessonPane)

    def take_focus(self) -> None:
        """Give the keys to the step."""
        self.pane.focus()

    @on(LessonPane.Turned)
    def _turned(self, event: LessonPane.Turned) -> None:
        self.border_title = event.lesson.title
        self.border_subtitle = f"step {self.pane.index + 1} of {len(event.lesson.steps)}"
        self._unrecorded.append((event.lesson, event.step))
        # What is read is painted before it is recorded.
        self.call_after_refresh(self._do, lambda: self._note(event.lesson), "turned")

    async def record(self) -> None:
        """Record every step that was shown, also those that somebody quick has turned over."""
        async with self._recording:
            while self._unrecorded:
                lesson, step = self._unrecorded[0]
                await self._desk.read(partial(self._record, lesson=lesson, step=step))
                del self._unrecorded[0]
                self.post_message(self.Recorded(self))

    def _record(self, reading: Reading, lesson: Lesson, step: Step) -> None:
        if lesson.id != self._opened:
            reading.opened(lesson)
            self._opened = lesson.id
        reading.seen(lesson, step)

    async def _note(self, lesson: Lesson) -> None:
        await self.record()
        await self.pane.complete()
        for card in self.pane.query(PredictCard):
            choice = await self._desk.read(partial(Reading.prediction, lesson=lesson, block=card.block))
            if choice is not None:
                card.show_locked(choice)
        for quiz in self.pane.query(QuizCard):
            result = await self._desk.read(partial(Reading.last_quiz, lesson=lesson, block=quiz.block))
            if result is not None:
                quiz.show(result)

    @on(CodeBlock.Used)
    def _used(self, event: CodeBlock.Used) -> None:
        event.stop()
        lesson = self.pane.lesson
        if lesson is None:
            return
        use = self._save if event.block.role == "file" else self._run
        self._do(lambda: use(lesson, event.block), "used")

    async def _run(self, lesson: Lesson, block: Block) -> None:
        cards = self.pane.predictions(block.id)
        if cards and (lesson.id, block.id) not in self._warned:
            self._warned.add((lesson.id, block.id))
            cards[0].focus_choices()
            self.notify("Predict first: choose, then run it. Running it again skips the prediction.", timeout=6)
            return
        if self.environment is None:
            self.notify("the lab is not up yet", severity="warning", timeout=4)
            return
        self.post_message(self.RunWanted(self, lesson, block.content))
        self.pane.mark_used(block)
        await self._desk.read(lambda reading: reading.ran(lesson, block))

    async def _save(self, lesson: Lesson, block: Block) -> None:
        file = workfolder.lesson_file(lesson.id, block.attributes["file"], block.content)
        if file.would_overwrite:
            from meshlab.tui.screens.dialogs import Question

            question = Question(
                f"Overwrite {file.path.name}?", f"{file.path} is there already, with other content.", yes="Overwrite"
            )
            if not await self.app.push_screen_wait(question):
                return
        file.save()
        self.post_message(self.Saved(self, lesson))
        self.pane.mark_used(block)
        self.notify(str(file.path), title="saved", timeout=4)

    @on(PredictCard.Predicted)
    def _predicted(self, event: PredictCard.Predicted) -> None:
        event.stop()
        lesson = self.pane.lesson
        if lesson is not None:
            self._do(lambda: self._lock(lesson, event.card, event.choice), "predicted")

    async def _lock(self, lesson: Lesson, card: PredictCard, choice: str) -> None:
        await self._desk.read(lambda reading: reading.predict(lesson, card.block, choice))
        card.show_locked(choice)
        self.take_focus()

    @on(QuizCard.Answered)
    def _answered(self, event: QuizCard.Answered) -> None:
        event.stop()
        lesson = self.pane.lesson
        if lesson is not None:
            self._do(lambda: self._judge(lesson, event.card, event.answer), "answered")

    async def _judge(self, lesson: Lesson, card: QuizCard, answer: str) -> None:
        try:
            card.show(await self._desk.read(lambda reading: reading.answer_quiz(lesson, card.block, answer)))
        except MeshlabError as error:
            card.show_problem(f"{error.message}: {error.hint}" if error.hint else error.message)
            return
        self.post_message(self.Recorded(self))

    async def observe(self) -> None:
        """After a command: compare each locked prediction whose block was run with what the lab does now."""
        lesson = self.pane.lesson
        if lesson is None or self.environment is None:
            return
        for card in self.pane.query(PredictCard):
            locked = card.choice is not None and not card.is_compared
            if locked and card.question.observe is not None and self.pane.was_used(card.question.before):
                command = lesson.block("run", card.question.observe.run).content
                await self._compare(lesson, card, command, self.environment)

    async def _compare(self, lesson: Lesson, card: PredictCard, command: str, environment: Mapping[str, str]) -> None:
        """Run what shows the outcome until it shows one that the question names, or time is over."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + OBSERVE_S
        while True:
            output = await _output(command, environment, str(workfolder.folder(lesson.id)))
            seen = await self._desk.read(partial(Reading.observed, lesson=lesson, block=card.block, output=output))
            settled = seen is not None and seen.choice is not None
            late = loop.time() > deadline
            if seen is not None and (settled or late):
                card.compare(seen)
            if settled or late:
                return
            await asyncio.sleep(OBSERVE_POLL_S)

    def _do(self, call: Callable[[], Awaitable[None]], group: str) -> None:
        async def guarded() -> None:
            try:
                await call()
            except Exception as error:
                self.post_message(self.Failed(self, explain(error)))

        # Handed over uncalled: a screen that is closing never calls it.
        work: WorkType[None] = guarded
        self.run_worker(work, group=group)


async def _output(command: str, environment: Mapping[str, str], directory: str) -> str:
    """What a command prints, run apart from the terminal; empty if it does not end in time."""
    process = await asyncio.create_subprocess_exec(
        "sh",
        "-c",
        command,
        cwd=directory,
        env=os.environ | dict(environment),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        stdout, _ = await asyncio.wait_for(process.communicate(), COMMAND_TIMEOUT_S)
    except (TimeoutError, asyncio.CancelledError):
        process.kill()
        await process.wait()
        raise
    return stdout.decode(errors="replace")
