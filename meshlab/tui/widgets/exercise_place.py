"""One exercise at a time: it is offered, set up, followed live, hinted at, solved and put back.

It stands around the pane that draws the tasks, and owns the live check; what that reports comes in as a message, so
that everything on the screen happens in the screen's own thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.message import Message
from textual.widgets import Input
from textual.worker import WorkType

from meshlab.course.exercises import load
from meshlab.course.model import Exercise
from meshlab.errors import MeshlabError
from meshlab.tui.desk import Desk, explain
from meshlab.tui.widgets.task_item import TaskItem
from meshlab.tui.widgets.task_pane import TaskPane

if TYPE_CHECKING:
    from meshlab.course.reading import Reading
    from meshlab.grading.live import LiveCheck, LiveStatus
    from meshlab.grading.session import Session


class ExercisePlace(Vertical):
    """The exercise, and the work that is done on it.

    Args:
        desk: where the work is done.
    """

    @dataclass
    class Reported(Message, bubble=False):
        """A live check reports; only the newest report counts."""

        live: LiveCheck
        status: LiveStatus

        def can_replace(self, message: Message) -> bool:
            return isinstance(message, ExercisePlace.Reported) and message.live is self.live

    @dataclass
    class Shown(Message):
        """Another status is on the screen; ``before`` is the one that was there."""

        place: ExercisePlace
        status: LiveStatus
        before: LiveStatus | None

        @property
        def control(self) -> ExercisePlace:
            """The place."""
            return self.place

    @dataclass
    class Moved(Message):
        """The exercise was started, solved or put back: what is known of the cluster may be old."""

        place: ExercisePlace

        @property
        def control(self) -> ExercisePlace:
            """The place."""
            return self.place

    @dataclass
    class Failed(Message):
        """Something went wrong."""

        place: ExercisePlace
        error: MeshlabError

        @property
        def control(self) -> ExercisePlace:
            """The place."""
            return self.place

    def __init__(self, desk: Desk, *, id: str, classes: str) -> None:
        super().__init__(id=id, classes=classes)
        self._desk = desk
        self._live: LiveCheck | None = None
        self._hints: dict[str, Sequence[str]] = {}
        self.exercise_id = ""
        self.is_ready = False
        """Whether there is a cluster."""
        self.is_working = False
        """Whether the exercise is being set up or put back."""
        self.status: LiveStatus | None = None

    def compose(self) -> ComposeResult:
        """The tasks."""
        yield TaskPane()

    def on_mount(self) -> None:
        """Let the frame name the exercise."""
        self.watch(self.pane, "exercise", self._name_frame)

    def _name_frame(self, exercise: Exercise | None) -> None:
        self.border_title = f"Tasks: {exercise.id}" if exercise else "Tasks"

    @property
    def pane(self) -> TaskPane:
        """The tasks that are drawn."""
        return self.query_one(TaskPane)

    @property
    def is_started(self) -> bool:
        """Whether the exercise stands on the cluster, as far as is known."""
        return self._live is not None

    def take_focus(self) -> None:
        """Give the keys to the highlighted task."""
        (self.pane.selected or self.pane).focus()

    async def choose(self, exercise_id: str) -> None:
        """Show an exercise: follow it if it is under way on the cluster, else offer it.

        Raises:
            MeshlabError: it cannot be read.
        """
        if exercise_id == self.exercise_id and self._live is not None:
            return
        await self.leave()
        self.exercise_id = exercise_id
        exercise = await self._drawn()
        if exercise is None:
            return
        await self.pane.offer(exercise, ready=self.is_ready)
        if self.is_ready:
            source = self._desk.course.exercise_file(exercise_id)
            record = await self._desk.act(lambda session: session.workbench.record(source))
            if record is not None and self.exercise_id == exercise_id:
                self._follow()

    async def choose_none(self, text: str) -> None:
        """Show that there is nothing to do here."""
        await self.leave()
        await self.pane.nothing(text)

    async def leave(self) -> None:
        """Stop following."""
        live, self._live, self.status, self.exercise_id = self._live, None, None, ""
        if live is not None:
            await asyncio.to_thread(live.stop)

    def start(self) -> None:
        """Set the exercise up."""
        self._do(self._start, exclusive=True)

    async def _start(self) -> None:
        if self.is_working or self.is_started or not self.exercise_id:
            return
        exercise = await self._drawn()
        if exercise is None:
            return

        def started(session: Session) -> None:
            session.prepare(exercise.id, self._desk.provider, self._desk.on_stage)
            session.start(exercise.id)

        self.is_working = True
        try:
            await self.pane.working(exercise, "getting the cluster ready")
            await self._desk.act(started)
        except MeshlabError as error:
            await self.pane.offer(exercise, ready=self.is_ready)
            self.pane.trouble(error)
            raise
        finally:
            self.is_working = False
        self._follow()
        self.post_message(self.Moved(self))

    async def stage(self, text: str) -> None:
        """Show what is being done to the exercise."""
        if self.is_working and self.pane.exercise is not None:
            await self.pane.working(self.pane.exercise, text)

    def nudge(self, reason: str) -> None:
        """Look again soon."""
        if self._live is not None:
            self._live.nudge(reason)

    def hint(self) -> None:
        """Take the next hint for the highlighted task."""
        self._do(self._hint)

    async def _hint(self) -> None:
        item = self.pane.selected
        if item is None or not self.is_started:
            return
        exercise_id, task = self.exercise_id, item.asked
        taken = await self._desk.act(lambda session: session.hint(exercise_id, task.id if task.hints else None))
        self._hints[taken.task.id] = taken.task.hints[: taken.tier]
        if self.status is not None:
            await self.pane.follow(self.status, self._hints)
        self.notify(taken.text.strip(), title=f"{taken.task.id}: hint {taken.tier} of {taken.tiers}", timeout=12)

    def ask_for_answer(self) -> bool:
        """Go to the line for an answer; False if no task asks for one."""
        item = self.pane.selected
        lines = list(item.query(Input)) if item else []
        lines = lines or list(self.pane.query(Input))
        if lines:
            if lines[0].is_on_screen:
                # At once, not with the next message: who is quick has begun to type.
                self.screen.set_focus(lines[0])
            else:
                lines[0].focus()
        return bool(lines)

    @on(TaskItem.Answered)
    def _answered(self, event: TaskItem.Answered) -> None:
        event.stop()
        exercise_id, task, value = self.exercise_id, event.task, event.value

        async def answer() -> None:
            await self._desk.act(lambda session: session.answer(exercise_id, task, value))
            self.notify("handed in", timeout=2)
            self.nudge("an answer")

        self._do(answer)

    def solve(self) -> None:
        """Show the solution, after a try or a confirmation, and apply it if wanted."""
        self._do(self._solve)

    async def _solve(self) -> None:
        from meshlab.tui.screens.dialogs import Solution

        if not self.is_started:
            return
        exercise_id = self.exercise_id
        tried = await self._desk.act(lambda session: session.tried(exercise_id))
        if not tried and not await self._ask(
            "Show the solution?", "Nothing was tried yet. A hint (h) gives less away.", yes="Show it"
        ):
            return
        files = await self._desk.act(lambda session: session.solution(exercise_id))
        if await self.app.push_screen_wait(Solution(exercise_id, files)):
            self.notify("applying the solution; watch the tasks", timeout=4)
            await self._desk.act(lambda session: session.apply_solution(exercise_id))
            self.nudge("the solution")
            self.post_message(self.Moved(self))

    def reset(self) -> None:
        """Put the exercise back to its start, if the learner says so."""
        self._do(self._reset)

    async def _reset(self) -> None:
        if self.is_working or not self.is_started:
            return
        exercise_id = self.exercise_id
        doomed = await self._desk.act(lambda session: session.to_be_deleted(exercise_id))
        text = (
            "These go:\n" + "\n".join(f"  {name}" for name in doomed) if doomed else "Nothing of yours is in the way."
        )
        if not await self._ask(f"Put {exercise_id} back to its start?", text, yes="Reset"):
            return
        self.is_working = True
        try:
            if self.pane.exercise is not None:
                await self.pane.working(self.pane.exercise, "putting it back")
            await self._desk.act(lambda session: session.reset(exercise_id))
        finally:
            self.is_working = False
            self.nudge("reset")
            if self.status is not None:
                await self.pane.follow(self.status, self._hints)
        self.post_message(self.Moved(self))

    @on(Reported)
    async def _reported(self, event: Reported) -> None:
        if event.live is not self._live:
            # A check that was told to stop may have reported a moment before.
            return
        before, self.status = self.status, event.status
        status = event.status
        if status.exercise is None or status.record is None:
            self.pane.trouble(status.error)
        elif not self.is_working:
            if before is None or before.record != status.record:
                await self._read_hints(status.exercise, status.record.attempt)
            await self.pane.follow(status, self._hints)
        self.post_message(self.Shown(self, status, before))

    def _follow(self) -> None:
        if self._live is not None:
            # Started while it was being looked up: one check is enough, and a second would go on unseen.
            return

        def report(status: LiveStatus) -> None:
            self.post_message(self.Reported(live, status))

        self._hints = {}
        self._live = live = self._desk.live_check(self.exercise_id, report)
        live.start()

    async def _drawn(self) -> Exercise | None:
        exercise_id = self.exercise_id
        source = self._desk.course.exercise_file(exercise_id)

        def drawn(reading: Reading) -> Exercise:
            return load(source, reading.variables(exercise_id))

        exercise = await self._desk.read(drawn)
        return exercise if self.exercise_id == exercise_id else None

    async def _read_hints(self, exercise: Exercise, attempt: str) -> None:
        def taken(reading: Reading) -> Mapping[str, Sequence[str]]:
            progress = reading.progress
            return {task.id: task.hints[: progress.hints_taken(attempt, task.id)] for task in exercise.tasks}

        self._hints = dict(await self._desk.read(taken))

    async def _ask(self, title: str, text: str, *, yes: str) -> bool:
        from meshlab.tui.screens.dialogs import Question

        return await self.app.push_screen_wait(Question(title, text, yes=yes))

    def _do(self, call: Callable[[], Awaitable[None]], *, exclusive: bool = False) -> None:
        async def guarded() -> None:
            try:
                await call()
            except Exception as error:
                self.post_message(self.Failed(self, explain(error)))

        # Handed over uncalled: a screen that is closing never calls it.
        work: WorkType[None] = guarded
        self.run_worker(work, group="exercise", exclusive=exclusive)
