"""The program with a screen: it wires the course, the desk and the screens, and owns what is true everywhere.

Textual's own priority keys are not inherited: Ctrl+Q and Ctrl+P belong to the shell while the terminal has the focus.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable
from pathlib import PurePath
from typing import TYPE_CHECKING, ClassVar

from textual.app import App, SystemCommand
from textual.binding import Binding, BindingType
from textual.screen import Screen

from meshlab.course.catalogue import Course
from meshlab.course.projection import Place
from meshlab.tui.desk import Desk
from meshlab.tui.screens.course import CourseScreen

if TYPE_CHECKING:
    from meshlab.cluster.providers.choice import Provider
    from meshlab.cluster.tools import Variables


class MeshlabApp(App[None], inherit_bindings=False):
    """The course on a screen.

    Args:
        course: the course.
        provider: where its exercises run.
        variables: what the terminal's shell gets, once the cluster is there.
        shell_command: what opens such a shell elsewhere.
        desk: where the work is done; one of its own by default.
    """

    TITLE = "meshlab"
    # The lowest screen's own style sheet is named here, because only pushed screens bring theirs.
    CSS_PATH: ClassVar[list[str | PurePath]] = ["app.tcss", "screens/course.tcss"]
    ENABLE_COMMAND_PALETTE = True
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+p", "command_palette", "Palette", tooltip="Every command by name", id="palette", show=False),
        Binding("ctrl+q", "quit", "Quit", tooltip="Leave; the lab keeps running", id="quit"),
        Binding("ctrl+c", "help_quit", show=False, system=True),
        Binding("tab", "app.focus_next", "Next", tooltip="The next thing that can be used", id="next", show=False),
        Binding("shift+tab", "app.focus_previous", "Previous", tooltip="The one before", id="previous", show=False),
    ]

    def __init__(
        self,
        course: Course,
        provider: Provider,
        *,
        variables: Callable[[], Variables],
        shell_command: str,
        desk: Desk | None = None,
    ) -> None:
        super().__init__()
        self.course = course
        self.desk = desk or Desk(course, provider, self._stage)
        self._course_screen = CourseScreen(course, self.desk, variables=variables, shell_command=shell_command)
        self._leaving = False

    def get_default_screen(self) -> Screen[None]:
        """The course is the first and lowest screen."""
        self._course_screen.expect(self.size)
        return self._course_screen

    async def on_load(self) -> None:
        """Read before anything is drawn."""
        await self._course_screen.prepare()

    def on_course_screen_opened(self) -> None:
        """Leave what start-up made to itself, and look for garbage in what comes after it."""
        if not gc.isenabled():
            gc.freeze()
            gc.enable()

    async def action_quit(self) -> None:
        """Leave once what is being done to the cluster is done, so that nothing is left half applied.

        A second time leaves at once.
        """
        if self._leaving:
            self.exit()
            return
        self._leaving = True
        if self.desk.is_acting:
            self.notify("finishing what is under way; ctrl+q again leaves at once", timeout=30)
        self.run_worker(self._leave(), exclusive=True, group="leave")

    async def _leave(self) -> None:
        await self._course_screen.leave()
        await self.desk.close()
        self.exit()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """While the shell has the keys, none is ours."""
        if action in ("quit", "command_palette") and self.screen is self._course_screen:
            return not self._course_screen.is_in_shell
        return True

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """Everything that keys do, by name, and every lesson and exercise."""
        course = self._course_screen
        if screen is course:
            for entry in course.active_bindings.values():
                binding = entry.binding
                if entry.enabled and entry.node is course and binding.tooltip:
                    yield SystemCommand(
                        binding.description, binding.tooltip, lambda action=binding.action: self._act(action)
                    )
            if course.outline is not None:
                for lesson in course.outline.lessons:
                    yield SystemCommand(
                        f"Lesson: {lesson.title}", lesson.id, lambda id=lesson.id: course.go_to(Place(id), "lesson")
                    )
                    for exercise in lesson.exercises:
                        place = Place(lesson.id, exercise.id)
                        yield SystemCommand(
                            f"Exercise: {exercise.title}", exercise.id, lambda to=place: course.go_to(to, "tasks")
                        )
        yield SystemCommand("Theme", "Change the colours", self.action_change_theme)
        yield SystemCommand("Screenshot", "Save this screen as SVG", self.deliver_screenshot)
        yield SystemCommand("Quit", "Leave; the lab keeps running", self.action_quit)

    async def _act(self, action: str) -> None:
        await self.run_action(action, default_namespace=self._course_screen)

    def _stage(self, text: str) -> None:
        """Called in the acting thread."""
        self._course_screen.post_message(CourseScreen.StageReached(text))


def run(course: Course, provider: Provider, *, variables: Callable[[], Variables], shell_command: str) -> int:
    """Open the course on this terminal; returns when the learner leaves."""
    app = MeshlabApp(course, provider, variables=variables, shell_command=shell_command)
    app.run()
    return app.return_code or 0
