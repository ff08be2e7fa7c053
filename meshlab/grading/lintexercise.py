"""What lint finds in one exercise, for one draw of its variables."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Any

from meshlab.cluster.fidelity import CAPABILITIES
from meshlab.course.domains import known_domains
from meshlab.course.exercises import ExerciseFile, load, render_file
from meshlab.course.model import CheckCall, Lesson, Task
from meshlab.course.variables import render, values_for
from meshlab.course.yamlfile import KeyPath, parse
from meshlab.grading.registry import Registry

HINTS = 3
WRONG_ANSWERS = 2
TOLD = ("url", "by", "from", "host", "path", "port", "name", "key", "value", "weights", "percent", "header")
"""Parameters that a learner must hit, and so must be told; tolerances and sample sizes are the judge's own."""


class Rules:
    """The rules for one exercise.

    Args:
        source: the exercise's file.
        variables: one draw.
        registry: the course's checks.
        lessons: the course's lessons.

    Raises:
        CourseError: the exercise cannot be loaded.
    """

    def __init__(
        self, source: ExerciseFile, variables: Mapping[str, str], registry: Registry, lessons: Mapping[str, Lesson]
    ) -> None:
        self._source = source
        self._variables = variables
        self._registry = registry
        self._lessons = lessons

    def findings(self) -> Iterator[str]:
        """Every finding, as ``file:line: what``.

        Raises:
            CourseError: the exercise, or a file that it names, cannot be loaded.
        """
        self.exercise = load(self._source, self._variables)
        values = values_for(self.exercise.variables, self.exercise.namespaces)
        self._file = parse(render(self._source.text, values, where=str(self._source.path)), self._source.path)
        yield from self._belongs_to_its_lesson()
        yield from self._names_what_is_known()
        yield from self._calls_checks_that_exist()
        for index, task in enumerate(self.exercise.tasks):
            if not task.guard:
                yield from self._tells_what_is_judged(index, task)
                yield from self._has_three_tiers_of_hints(index, task)
        yield from self._can_be_proved()
        yield from self._files_can_be_rendered()
        yield from self._hints_do_not_give_it_away()

    def _at(self, where: KeyPath, message: str) -> str:
        return self._file.fail(where, message).message

    def _belongs_to_its_lesson(self) -> Iterator[str]:
        lesson = self._lessons.get(self.exercise.lesson)
        if lesson is None:
            yield self._at(("lesson",), f"lesson {self.exercise.lesson} does not exist")
        elif self.exercise.id not in lesson.exercises:
            yield self._at(("lesson",), f"lesson {lesson.id} does not name exercise {self.exercise.id}")
        if not self.exercise.minutes:
            yield self._at(("minutes",), "say how many minutes it takes")

    def _names_what_is_known(self) -> Iterator[str]:
        capabilities = [capability.name for capability in CAPABILITIES]
        for index, domain in enumerate(self.exercise.domains):
            if domain not in known_domains():
                yield self._at(("domains", index), f"no domain is called {domain}{_near(domain, known_domains())}")
        for index, name in enumerate(self.exercise.needs.capabilities):
            if name not in capabilities:
                where: KeyPath = ("needs", "capabilities", index)
                yield self._at(where, f"no capability is called {name}{_near(name, capabilities)}")

    def _calls_checks_that_exist(self) -> Iterator[str]:
        for call in self.exercise.before:
            yield from self._call(("before",), call)
        for call in self.exercise.starts:
            yield from self._call(("starts",), call)
        for index, task in enumerate(self.exercise.tasks):
            for call in task.checks:
                yield from self._call(("tasks", index, "check"), call)

    def _call(self, where: KeyPath, call: CheckCall) -> Iterator[str]:
        if call.name not in self._registry.checks:
            yield self._at(where, f"no check is called {call.name}; known: {', '.join(sorted(self._registry.checks))}")
            return
        check = self._registry.checks[call.name]
        for missing in sorted(check.required - call.params.keys()):
            yield self._at(where, f"check {call.name} lacks the parameter {missing}")
        for unknown in sorted(call.params.keys() - check.required - check.optional):
            yield self._at(where, f"check {call.name} has no parameter {unknown}")
        client = call.params.get("from")
        if isinstance(client, str) and client not in self.exercise.clients:
            yield self._at(where, f"check {call.name} sends from {client}, which is not under clients")

    def _tells_what_is_judged(self, index: int, task: Task) -> Iterator[str]:
        """Each parameter that a learner must hit occurs in the task's text."""
        for call in task.checks:
            for name in TOLD:
                for value in _leaves(call.params.get(name)):
                    if value not in task.text:
                        where: KeyPath = ("tasks", index, "text")
                        yield self._at(
                            where, f"the text of task {task.id} does not name {value}, which {call.name} judges"
                        )

    def _has_three_tiers_of_hints(self, index: int, task: Task) -> Iterator[str]:
        if len(task.hints) < HINTS:
            where: KeyPath = ("tasks", index, "hints")
            yield self._at(where, f"task {task.id} has {len(task.hints)} hints; three tiers are wanted")

    def _can_be_proved(self) -> Iterator[str]:
        """There is something to earn, a right answer, and wrong ones, of which one is no mere typo in a manifest."""
        if not self.exercise.possible:
            yield self._at(("tasks",), "no task earns points")
        if not self._file.strings(("solutions",)):
            yield self._at(("solutions",), "without a solution nobody can prove that the exercise can be done")
        if not self.exercise.solutions:
            return  # packed for learners
        wrong = self.exercise.wrong
        if len(wrong) < WRONG_ANSWERS:
            yield self._at(("wrong",), "at least two wrong answers are wanted")
        elif all(answer.apply and not answer.answer for answer in wrong):
            yield self._at(("wrong",), "every wrong answer is a manifest; one has to be a script (run) or an answer")

    def _files_can_be_rendered(self) -> Iterator[str]:
        for name in [*self.exercise.setup, *self.exercise.teardown, *self.exercise.solutions]:
            render_file(self.exercise, name)
        for wrong in self.exercise.wrong:
            if wrong.apply or wrong.run:
                render_file(self.exercise, wrong.apply or wrong.run)
        yield from ()

    def _hints_do_not_give_it_away(self) -> Iterator[str]:
        lines = {
            line.strip()
            for name in self.exercise.solutions
            for line in render_file(self.exercise, name).splitlines()
            if line.strip()
        }
        for index, task in enumerate(self.exercise.tasks):
            for tier, hint in enumerate(task.hints):
                for shared in sorted(lines & {line.strip() for line in hint.splitlines()}):
                    where: KeyPath = ("tasks", index, "hints", tier)
                    yield self._at(where, f"a hint of task {task.id} shares a line with a solution: {shared}")


def _leaves(value: Any) -> Iterator[str]:
    """The texts and numbers in a parameter, keys included."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from (str(key), *_leaves(inner))
    elif isinstance(value, list):
        for inner in value:
            yield from _leaves(inner)
    elif value is not None and not isinstance(value, bool):
        yield str(value)


def _near(name: str, known: Any) -> str:
    near = difflib.get_close_matches(name, sorted(known), n=1)
    return f" (did you mean {near[0]}?)" if near else ""
