"""The course: tree, lesson, tasks and terminal on one screen, laid out for whatever size the terminal has.

Wide screens show all four panes; middling ones the lesson (or the tree) beside tasks and terminal; small ones one pane
at a time, with tabs. It wires the places to each other; what they do is theirs, and what is decided is decided below.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.geometry import Size
from textual.message import Message
from textual.reactive import var
from textual.screen import Screen
from textual.widgets import Footer
from textual.worker import WorkType

from meshlab.cluster.tools import Variables
from meshlab.course.catalogue import Course
from meshlab.course.projection import Place
from meshlab.errors import MeshlabError
from meshlab.tui.desk import Desk, explain
from meshlab.tui.keys import COURSE_KEYS, TERMINAL_KEY
from meshlab.tui.verdict_text import mark
from meshlab.tui.widgets.course_tree import CourseTree
from meshlab.tui.widgets.exercise_card import ExerciseCard
from meshlab.tui.widgets.exercise_place import ExercisePlace
from meshlab.tui.widgets.lesson_pane import LessonPane, Opening
from meshlab.tui.widgets.lesson_place import LessonPlace
from meshlab.tui.widgets.pane_bar import PANES, PaneBar
from meshlab.tui.widgets.terminal_place import TerminalPlace
from meshlab.tui.widgets.top_bar import TopBar

if TYPE_CHECKING:
    from meshlab.course.outline import Outline
    from meshlab.course.reading import Reading
    from meshlab.grading.live import LiveStatus

NO_EXERCISE = "This lesson has no exercise.\n\ng goes on with the course."


class CourseScreen(Screen[None]):
    """The whole course.

    Args:
        course: the course.
        desk: where the work is done.
        variables: what the terminal's shell gets; called off the screen's thread once the cluster is there.
        shell_command: what opens such a shell elsewhere.
    """

    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (100, "-medium"), (160, "-wide")]  # noqa: RUF012 - so Textual declares it
    VERTICAL_BREAKPOINTS = [(0, "-short"), (30, "-tall")]  # noqa: RUF012
    AUTO_FOCUS = ""
    # An empty one: None would mean the app's, which is the first pane there is, and a small screen would show that.
    BINDING_GROUP_TITLE = "Everywhere"
    BINDINGS: ClassVar[list[BindingType]] = COURSE_KEYS

    active: var[str] = var("lesson")
    """The pane that a small screen shows, and that keys go to."""

    class StageReached(Message, bubble=False):
        """Something is being done to the cluster; ``text`` says what."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

        def can_replace(self, message: Message) -> bool:
            return isinstance(message, CourseScreen.StageReached)

    class Opened(Message):
        """The lesson is painted, for the first time."""

    def __init__(self, course: Course, desk: Desk, *, variables: Callable[[], Variables], shell_command: str) -> None:
        super().__init__(classes="-at-lesson")
        self.course = course
        self.desk = desk
        self.outline: Outline | None = None
        self._variables = variables
        self._shell_command = shell_command
        self._before_terminal = "lesson"
        self._lab_problem = False
        self._place: Place | None = None
        """Where the learner was at the start; None if that cannot be read."""
        self._first: Opening | None = None
        self._unread: MeshlabError | None = None

    def expect(self, size: Size) -> None:
        """Take the layout for a size before anything is drawn, so that it is not styled for another one first."""
        for breakpoints, cells in ((self.HORIZONTAL_BREAKPOINTS, size.width), (self.VERTICAL_BREAKPOINTS, size.height)):
            self.add_class(max(entry for entry in breakpoints if entry[0] <= cells)[1])

    def compose(self) -> ComposeResult:
        """Bars above and below, panes between."""
        yield TopBar()
        yield PaneBar()
        with Horizontal(id="body"):
            yield CourseTree(id="course", classes="pane")
            yield LessonPlace(self.desk, self._first, id="lesson", classes="pane")
            with Vertical(id="work"):
                yield ExercisePlace(self.desk, id="tasks", classes="pane")
                yield TerminalPlace(
                    leave_key=TERMINAL_KEY, command_line=self._shell_command, id="terminal", classes="pane"
                )
        yield Footer(show_command_palette=False)

    @property
    def lesson(self) -> LessonPlace:
        """Where the lesson is."""
        return self.query_one(LessonPlace)

    @property
    def exercise(self) -> ExercisePlace:
        """Where the exercise is."""
        return self.query_one(ExercisePlace)

    @property
    def terminal(self) -> TerminalPlace:
        """Where the terminal is."""
        return self.query_one(TerminalPlace)

    async def prepare(self) -> None:
        """Read where the learner is before anything is drawn, so that the first thing painted is the lesson."""

        def read(reading: Reading) -> tuple[Place, Opening | None]:
            place = reading.place()
            return place, _opening(reading, place.lesson) if place.lesson else None

        try:
            self._place, self._first = await self.desk.read(read)
        except Exception as error:
            self._unread = explain(error)

    def on_mount(self) -> None:
        """Everything that is slower than reading comes after the first frame."""
        if self._unread is not None:
            self.show_error(self._unread)
        self.call_after_refresh(self._opened)

    # Reading

    def _opened(self) -> None:
        self.post_message(self.Opened())
        # Who is quick has pressed a key already, and is elsewhere.
        if self.active == "lesson":
            self.lesson.take_focus()

        async def complete() -> None:
            await self.refresh_outline()
            place, shown = self._place, self.lesson.pane.lesson
            # Who is quick may have gone on already.
            if place is not None and (shown is None or shown.id == place.lesson):
                await self._open_exercise(place)
            self.action_bring_up()

        self._do(complete, "opening")

    async def refresh_outline(self) -> None:
        """Read how far the learner is, and show it."""
        from meshlab.course.outline import outline

        self.outline = await self.desk.read(lambda reading: outline(reading.course, reading.progress))
        self.query_one(CourseTree).show(self.outline)
        self.lesson.pane.update_cards({entry.id: entry for entry in self.outline.exercises})
        earned, possible = self.outline.points_earned, self.outline.points_possible
        self.query_one(TopBar).points = f"{earned.normalize():f}/{possible.normalize():f} points"

    async def _open(self, place: Place) -> None:
        await self._open_lesson(place)
        await self._open_exercise(place)

    async def _open_lesson(self, place: Place) -> None:
        if not place.lesson:
            return

        lesson, step = await self.desk.read(lambda reading: _opening(reading, place.lesson))
        if lesson != self.lesson.pane.lesson:
            await self.lesson.pane.show(lesson, step)

    async def _open_exercise(self, place: Place) -> None:
        """The one that is named, else the lesson's first one that is not done."""
        if self.outline is None:
            await self.refresh_outline()
            assert self.outline is not None
        self.query_one(CourseTree).point_at(place)
        within = [each for lesson in self.outline.lessons if lesson.id == place.lesson for each in lesson.exercises]
        undone = next((each.id for each in within if each.state in ("new", "started")), "")
        exercise = place.exercise or undone or next((each.id for each in within), "")
        if exercise:
            await self.exercise.choose(exercise)
        else:
            await self.exercise.choose_none(NO_EXERCISE)

    def go_to(self, place: Place, pane: str) -> None:
        """Open a lesson or an exercise, and show a pane of it."""

        async def go() -> None:
            await self._open(place)
            self.action_pane(pane)

        self._do(go, "reading")

    @on(CourseTree.Chosen)
    def _chosen(self, event: CourseTree.Chosen) -> None:
        self.go_to(event.place, "tasks" if event.place.exercise else "lesson")

    @on(ExerciseCard.Opened)
    def _card_opened(self, event: ExerciseCard.Opened) -> None:
        lesson = self.lesson.pane.lesson
        if lesson is not None:
            self.go_to(Place(lesson.id, event.exercise), "tasks")

    @on(LessonPane.Ended)
    def action_go_on(self) -> None:
        """Open what comes next."""

        async def go_on() -> None:
            # What was read a moment ago counts.
            await self.lesson.record()
            await self.refresh_outline()
            assert self.outline is not None
            ahead = self.outline.next()
            self.notify(ahead.sentence, timeout=4)
            if ahead.lesson:
                await self._open(Place(ahead.lesson, ahead.exercise))
                self.action_pane("tasks" if ahead.exercise else "lesson")

        self._do(go_on, "reading")

    @on(LessonPane.Turned)
    def _turned(self, event: LessonPane.Turned) -> None:
        # A small screen has no frame around the lesson that could tell the step.
        position = f"{event.pane.index + 1}/{len(event.lesson.steps)}"
        self.query_one(TopBar).place = f"{position} · {event.lesson.title}"

    @on(LessonPlace.Recorded)
    def _recorded(self) -> None:
        if self.outline is not None:
            self._do(self.refresh_outline, "outline")

    @on(LessonPlace.RunWanted)
    def _run_wanted(self, event: LessonPlace.RunWanted) -> None:
        if not self.terminal.run(event.command, event.lesson.id):
            self.notify("the lab is not up yet", severity="warning", timeout=4)
        elif self.has_class("-narrow"):
            self.action_pane("terminal")

    @on(LessonPlace.Saved)
    def _saved(self, event: LessonPlace.Saved) -> None:
        self.terminal.enter(event.lesson.id)

    # The lab

    def action_bring_up(self) -> None:
        """Bring the lab up, or find the cluster again."""
        self._do(self._bring_up, "lab")

    async def _bring_up(self) -> None:
        self._show_lab("…", "$text-warning", "coming up")
        try:
            await self.desk.bring_up()
        except Exception as error:
            problem = explain(error)
            self._lab_problem = True
            self._show_lab("✘", "$text-error", "down: u brings it up")
            self.exercise.pane.trouble(problem)
            return
        self._lab_problem = False
        exercise = self.exercise
        exercise.is_ready = True
        variables = await self.desk.compute(self._variables)
        lesson = self.lesson.pane.lesson
        self.lesson.environment = variables
        await self.terminal.open(variables, lesson.id if lesson else "")
        await self._show_mesh()
        if exercise.exercise_id and not exercise.is_started:
            await exercise.choose(exercise.exercise_id)

    async def _show_mesh(self) -> None:
        mesh = await self.desk.mesh()
        self._show_lab("●", "$text-success", mesh.text if mesh else "no mesh yet")

    def _show_lab(self, sign: str, colour: str, text: str) -> None:
        self.query_one(TopBar).lab = Content.assemble((sign, colour), f" {self.desk.provider.name}: {text}")
        self.refresh_bindings()

    @on(StageReached)
    async def _stage_reached(self, event: StageReached) -> None:
        exercise = self.exercise
        if exercise.is_working:
            await exercise.stage(event.text)
        elif not exercise.is_ready:
            self._show_lab("…", "$text-warning", event.text)

    # The exercise

    @on(ExercisePlace.Shown)
    def _shown(self, event: ExercisePlace.Shown) -> None:
        status, before = event.status, event.before
        self.query_one(PaneBar).tasks = tuple((entry.task.id, mark(entry.verdict)) for entry in status.tasks)
        if before is None:
            # What the footer offers depends on whether there is an exercise to follow.
            self.refresh_bindings()
            if status.record is not None:
                self.query_one(TopBar).since = time.monotonic()
        if status.error is not None and status.exercise is not None:
            self._lab_problem = True
            self._show_lab("✘", "$text-error", "no answer: u brings it up")
        elif self._lab_problem:
            self._lab_problem = False
            self._do(self._show_mesh, "mesh")
        if before is not None and status.done and not before.done and status.exercise is not None:
            self.notify(f"{status.exercise.title}: all tasks pass", title="✔ Done", timeout=8)
        if before is None or _outcomes(before) != _outcomes(status) or before.done != status.done:
            self._do(self.refresh_outline, "outline")

    @on(ExercisePlace.Moved)
    def _moved(self) -> None:
        async def moved() -> None:
            await self._show_mesh()
            # The lesson may speak of what was drawn just now.
            pane, shown = self.lesson.pane, self.lesson.pane.lesson
            await self.refresh_outline()
            if shown is not None:
                lesson = await self.desk.read(lambda reading: reading.lesson(shown.id))
                if lesson != shown:
                    await pane.show(lesson, pane.index)

        self._do(moved, "moved")

    def action_start(self) -> None:
        """Set the exercise up."""
        self.exercise.start()
        self.action_pane("tasks")

    def action_hint(self) -> None:
        """Take a hint."""
        self.exercise.hint()

    def action_solve(self) -> None:
        """Show the solution and apply it."""
        self.exercise.solve()

    def action_reset(self) -> None:
        """Put the exercise back."""
        self.exercise.reset()

    def action_check(self) -> None:
        """Look again."""
        self.exercise.nudge("asked for")

    def action_answer(self) -> None:
        """Go to the line for an answer."""
        if self.exercise.ask_for_answer():
            self.active = "tasks"
        else:
            self.notify("no task here asks for an answer", timeout=3)

    @on(TerminalPlace.Finished)
    def _command_finished(self) -> None:
        self.exercise.nudge("a command ended")

        async def look_around() -> None:
            await self._show_mesh()
            await self.lesson.observe()

        self._do(look_around, "after-command")

    # Panes

    @on(TerminalPlace.Left)
    def action_terminal(self) -> None:
        """Into the terminal, and back."""
        self.action_pane("terminal" if self.active != "terminal" else self._before_terminal)

    def action_pane(self, pane: str) -> None:
        """Show a pane and give it the keys."""
        self.active = pane
        place: Any = self.query_one(f"#{pane}")
        # A pane that was hidden until now takes the focus only after the layout knows it.
        self.call_after_refresh(place.take_focus)

    def watch_active(self, before: str, active: str) -> None:
        """Move the mark of the active pane."""
        if active == "terminal" and before != "terminal":
            self._before_terminal = before
        self.update_classes({f"-at-{pane}": pane == active for pane, _ in PANES})
        if self.is_mounted:
            self.query_one(PaneBar).active = active

    def on_descendant_focus(self) -> None:
        """The active pane is the one with the focus, however it got it."""
        for node in self.focused.ancestors_with_self if self.focused else ():
            if node.id in dict(PANES):
                self.active = str(node.id)

    @on(PaneBar.Picked)
    def _picked(self, event: PaneBar.Picked) -> None:
        self.action_pane(event.pane)

    @property
    def is_in_shell(self) -> bool:
        """Whether what is typed goes to the shell."""
        return self.is_mounted and self.terminal.has_keys

    def action_help(self) -> None:
        """Help on the focused pane."""
        from meshlab.tui.screens.dialogs import help_on

        self.app.push_screen(help_on(self))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Only keys that do something now."""
        if not self.is_mounted:
            return True
        if self.is_in_shell:
            return False
        exercise = self.exercise
        match action:
            case "start":
                offered = exercise.is_ready and bool(exercise.exercise_id)
                return offered and not (exercise.is_started or exercise.is_working)
            case "hint" | "check" | "solve" | "reset" | "answer":
                return exercise.is_started
            case "bring_up":
                return self._lab_problem
        return True

    async def leave(self) -> None:
        """Stop following the exercise."""
        await self.exercise.leave()

    # Errors

    @on(LessonPlace.Failed)
    @on(ExercisePlace.Failed)
    def _failed(self, event: LessonPlace.Failed | ExercisePlace.Failed) -> None:
        self.show_error(event.error)

    def show_error(self, problem: MeshlabError) -> None:
        """Say what went wrong and what to do."""
        hint = f"\n→ {problem.hint}" if problem.hint else ""
        self.notify(f"{problem.message}{hint}", title=problem.title, severity="error", timeout=10, markup=False)
        self.refresh_bindings()

    def _do(self, call: Callable[[], Awaitable[None]], group: str) -> None:
        """Run something of which only the newest counts; an error is drawn and nothing else happens."""

        async def guarded() -> None:
            try:
                await call()
            except Exception as error:
                self.show_error(explain(error))

        # Handed over uncalled: a screen that is closing never calls it.
        work: WorkType[None] = guarded
        self.run_worker(work, group=group, exclusive=True)


def _opening(reading: Reading, lesson_id: str) -> Opening:
    lesson = reading.lesson(lesson_id)
    return lesson, reading.resume(lesson)


def _outcomes(status: LiveStatus) -> list[str]:
    return [entry.verdict.outcome if entry.verdict else "" for entry in status.tasks]
