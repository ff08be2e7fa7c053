"""What lint finds in one lesson, for one draw of its exercises' variables."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping

from markdown_it import MarkdownIt

from meshlab.course.blocks import Predict, Quiz
from meshlab.course.catalogue import Course
from meshlab.course.exercises import load
from meshlab.course.lessons import load_lesson
from meshlab.course.model import Block, Lesson, Step
from meshlab.course.variables import values_for, values_for_lesson
from meshlab.course.yamlfile import read_text

MAX_LESSON_LINES = 150
MAX_STEP_LINES = 45
"""As drawn: what fits a terminal of ordinary height, so that a step is read and not scrolled."""
COLUMNS = 78


class Rules:
    """The rules for one lesson.

    Args:
        unrendered: the lesson as its file says it.
        drawn: one draw for each of its exercises, by id.
        course: the course.
    """

    def __init__(self, unrendered: Lesson, drawn: Mapping[str, Mapping[str, str]], course: Course) -> None:
        self._unrendered = unrendered
        self._course = course
        self._drawn = {name: (variables, course.exercise_files[name].namespaces) for name, variables in drawn.items()}

    def findings(self) -> Iterator[str]:
        """Every finding, as ``file:line: what``.

        Raises:
            CourseError: the lesson cannot be loaded with these values.
        """
        self.lesson = load_lesson(self._unrendered.path, values_for_lesson(self._drawn))
        self._text = read_text(self.lesson.path)
        drawn = ((self._course.exercise_files[name], variables) for name, (variables, _) in self._drawn.items())
        self._clients = {client for source, variables in drawn for client in load(source, variables).clients}
        self._run_ids = [block.id for block in self.lesson.blocks if block.role == "run"]
        yield from self._is_short()
        yield from self._minutes_add_up()
        yield from self._shows_its_exercises()
        yield from self._placeholders_mean_one_thing()
        for block in self.lesson.blocks:
            yield from self._block(block)

    def _at(self, line: int, message: str) -> str:
        return f"{self.lesson.path}:{line}: {message}"

    def _front(self, key: str) -> int:
        """The line of a key of the front matter."""
        found = re.search(rf"^{key}:", self._text, re.M)
        return self._text.count("\n", 0, found.start()) + 1 if found else 1

    def _is_short(self) -> Iterator[str]:
        length = len(self._text.splitlines())
        if length > MAX_LESSON_LINES:
            yield self._at(1, f"{length} lines; a lesson has at most {MAX_LESSON_LINES}")
        for step in self.lesson.steps:
            if not step.has_id:
                yield self._at(step.line, f"step {step.id} has no id of its own (<!-- step: {step.id} -->)")
            lines = rendered_lines(step)
            if lines > MAX_STEP_LINES:
                yield self._at(
                    step.line, f"step {step.id} takes about {lines} lines on a screen; divide it ({MAX_STEP_LINES})"
                )

    def _minutes_add_up(self) -> Iterator[str]:
        minutes = [step.minutes for step in self.lesson.steps]
        total, stated = sum(minutes), self.lesson.minutes
        line = self._front("minutes")
        if not stated:
            yield self._at(line, "minutes: say how long it takes to read and type")
        elif total > stated:
            yield self._at(line, f"minutes: the steps take {total}, the lesson says {stated}")
        elif all(minutes) and total < stated * 0.75:
            yield self._at(line, f"minutes: the steps take {total} only, the lesson says {stated}")

    def _shows_its_exercises(self) -> Iterator[str]:
        line = self._front("exercises")
        shown = {block.id: block.line for block in self.lesson.blocks if block.role == "exercise"}
        for name in self.lesson.exercises:
            if name not in self._course.exercise_files:
                yield self._at(line, f"exercise {name} does not exist")
            if name not in shown:
                yield self._at(line, f"exercise {name} has no card: ```yaml exercise id={name}")
        for name, place in shown.items():
            if name not in self.lesson.exercises:
                yield self._at(place, f"exercise {name} is not among the lesson's exercises")

    def _placeholders_mean_one_thing(self) -> Iterator[str]:
        """A bare ``{{key}}`` is the first exercise's; where another has a ``key`` too, readers may be misled."""
        meanings: Counter[str] = Counter()
        for variables, namespaces in self._drawn.values():
            meanings.update({name for name in values_for(variables, {}) if name})
            meanings.update({f"ns.{role}" for role in namespaces})
        for found in re.finditer(r"\{\{\s*([\w.-]+)\s*\}\}", self._text):
            name = found[1]
            values = {values_for(*drawn).get(name) for drawn in self._drawn.values()} - {None}
            if meanings[name] > 1 and len(values) > 1:
                line = self._text.count("\n", 0, found.start()) + 1
                yield self._at(line, f"{{{{{name}}}}} is in {meanings[name]} exercises: write {{{{EXERCISE.{name}}}}}")

    def _block(self, block: Block) -> Iterator[str]:
        if not block.marked:
            yield self._at(block.line, "this fence neither runs nor is marked: write show after the language")
        if not block.language:
            yield self._at(block.line, "this fence names no language")
        if block.role == "output" and block.attributes["of"] not in self._before(block):
            yield self._at(block.line, f"output of={block.attributes['of']} names no run block before it")
        if "in" in block.attributes and block.attributes["in"] not in self._clients:
            yield self._at(block.line, f"in={block.attributes['in']} is no client of the lesson's exercises")
        if isinstance(block.question, Predict):
            yield from self._predict(block, block.question)
        if isinstance(block.question, Quiz):
            for option in block.question.options:
                if not option.why and block.question.kind != "order":
                    yield self._at(block.line, f'choice "{option.say}" has no why')

    def _predict(self, block: Block, question: Predict) -> Iterator[str]:
        observed = question.observe.run if question.observe else ""
        for name in dict.fromkeys(filter(None, (question.before, observed))):
            if name not in self._run_ids:
                yield self._at(block.line, f"predict names {name}, which is no run block")
            elif name in self._before(block):
                yield self._at(block.line, f"predict names {name}, which stands before it: nothing is left to foresee")

    def _before(self, block: Block) -> list[str]:
        """The run blocks that stand before a block."""
        return [each.id for each in self.lesson.blocks if each.role == "run" and each.line < block.line]


def rendered_lines(step: Step) -> int:
    """About how many lines a step takes when it is drawn: paragraphs wrapped, questions without their answers."""
    lines = 2
    blocks = iter(step.blocks)
    for token in MarkdownIt("commonmark").parse(step.markdown):
        if token.type == "inline":
            lines += -(-len(token.content) // COLUMNS) + 1
        elif token.type == "fence":
            lines += _block_lines(next(blocks))
    return lines


def _block_lines(block: Block) -> int:
    question = block.question
    if block.role == "instructor":
        return 0
    if block.role == "exercise":
        return 3
    if isinstance(question, Predict):
        return len(question.choices) + 3
    if isinstance(question, Quiz):
        return len(question.options) + 3
    return block.content.count("\n") + 2
