"""``meshlab course lint``: what the loaders cannot refuse but a learner would stumble over."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from meshlab.course.catalogue import Course
from meshlab.course.exercises import ExerciseFile, load, render_file
from meshlab.course.lessons import load_lesson
from meshlab.course.model import Block, CheckCall, Exercise, Lesson
from meshlab.course.variables import values_for
from meshlab.errors import CourseError
from meshlab.grading.registry import Registry, load_checks

SEEDS = 2
MAX_LESSON_LINES = 150
QUIZ_KINDS = ("one", "many", "number", "order")


def lint_course(course: Course) -> list[str]:
    """Every finding, as ``file: what``; empty if the course is well-formed."""
    findings: list[str] = []
    try:
        registry = load_checks(course.root / "checks")
        files, lessons = course.exercise_files, course.lessons
    except CourseError as error:
        return [f"{error.message}" + (f" ({error.hint})" if error.hint else "")]
    for source in files.values():
        for seed in range(SEEDS):
            findings += _guarded(lambda source=source, seed=seed: _exercise(source, seed, registry, lessons))
    for lesson in lessons.values():
        findings += _guarded(lambda lesson=lesson: _lesson(lesson, course))
    return sorted(set(findings))


def variables_for(source: ExerciseFile, seed: int) -> dict[str, str]:
    """The draw that tests use: the choices in turn, so that two seeds differ wherever there is a choice."""
    return {name: choices[seed % len(choices)] for name, choices in source.choices.items()}


def _guarded(findings: Any) -> list[str]:
    try:
        return list(findings())
    except CourseError as error:
        return [f"{error.message}" + (f" ({error.hint})" if error.hint else "")]


def _exercise(source: ExerciseFile, seed: int, registry: Registry, lessons: dict[str, Lesson]) -> Iterator[str]:
    exercise = load(source, variables_for(source, seed))
    where = source.path
    if exercise.lesson not in lessons:
        yield f"{where}: lesson {exercise.lesson} does not exist"
    elif exercise.id not in lessons[exercise.lesson].exercises:
        yield f"{where}: lesson {exercise.lesson} does not name exercise {exercise.id}"
    calls = [*exercise.starts, *(call for task in exercise.tasks for call in task.checks)]
    for call in calls:
        yield from _call(call, exercise, registry, where)
    for task in exercise.tasks:
        if not task.guard:
            yield from _task_names_what_is_judged(exercise, task.id, where)
            if len(task.hints) < 3:
                yield f"{where}: task {task.id} has {len(task.hints)} hints; three tiers are wanted"
    if exercise.solutions and len(exercise.wrong) < 2:
        yield f"{where}: at least two wrong answers are wanted"
    for name in [*exercise.setup, *exercise.solutions]:
        render_file(exercise, name)
    for wrong in exercise.wrong:
        if wrong.apply or wrong.run:
            render_file(exercise, wrong.apply or wrong.run)
    yield from _hints_do_not_give_it_away(exercise, where)


def _call(call: CheckCall, exercise: Exercise, registry: Registry, where: Path) -> Iterator[str]:
    if call.name not in registry.checks:
        yield f"{where}: no check is called {call.name}; known: {', '.join(sorted(registry.checks))}"
        return
    check = registry.checks[call.name]
    for missing in sorted(check.required - call.params.keys()):
        yield f"{where}: check {call.name} lacks the parameter {missing}"
    for unknown in sorted(call.params.keys() - check.required - check.optional):
        yield f"{where}: check {call.name} has no parameter {unknown}"
    client = call.params.get("from")
    if client is not None and client not in exercise.clients:
        yield f"{where}: check {call.name} sends from {client}, which is not under clients"


def _task_names_what_is_judged(exercise: Exercise, task_id: str, where: Path) -> Iterator[str]:
    """Each parameter that a learner must hit occurs in the task's text."""
    task = exercise.task(task_id)
    for call in task.checks if task else ():
        for name in ("url", "by", "from"):
            value = call.params.get(name)
            if value is not None and task is not None and str(value) not in task.text:
                yield f"{where}: the text of task {task_id} does not name {value}, which {call.name} judges"


def _hints_do_not_give_it_away(exercise: Exercise, where: Path) -> Iterator[str]:
    lines = {
        line.strip() for name in exercise.solutions for line in render_file(exercise, name).splitlines() if line.strip()
    }
    for task in exercise.tasks:
        for hint in task.hints:
            shared = lines & {line.strip() for line in hint.splitlines()}
            if shared:
                yield f"{where}: a hint of task {task.id} shares a line with a solution: {shared.pop()}"


def _lesson(lesson: Lesson, course: Course) -> Iterator[str]:
    where = lesson.path
    length = len(where.read_text().splitlines())
    if length > MAX_LESSON_LINES:
        yield f"{where}: {length} lines; a lesson has at most {MAX_LESSON_LINES}"
    values: dict[str, str] = {}
    for identifier in lesson.exercises:
        source = course.exercise_files.get(identifier)
        if source is None:
            yield f"{where}: exercise {identifier} does not exist"
        else:
            values |= values_for(variables_for(source, 0), source.namespaces)
    load_lesson(where, values)
    runnable = {
        block.attributes.get("id") for step in lesson.steps for block in step.blocks if block.role in ("run", "file")
    }
    for step in lesson.steps:
        if f"step: {step.id}" not in where.read_text():
            yield f"{where}:{step.line}: step {step.id} has no id of its own (<!-- step: {step.id} -->)"
        for block in step.blocks:
            if block.role == "run" and "id" not in block.attributes:
                yield f"{where}:{block.line}: a run block needs an id"
            if block.role == "output" and block.attributes.get("of") not in runnable:
                yield f"{where}:{block.line}: output of={block.attributes.get('of')} names no run block"
            if block.role == "predict":
                wanted = {block.attributes.get("before"), (block.data.get("observe") or {}).get("run")} - {None}
                for missing in sorted(wanted - runnable, key=str):
                    yield f"{where}:{block.line}: predict names {missing}, which is no run block"
            if block.role == "exercise" and block.attributes["id"] not in lesson.exercises:
                yield f"{where}:{block.line}: exercise {block.attributes['id']} is not among the lesson's exercises"
            if block.role == "quiz":
                yield from (f"{where}:{block.line}: {problem}" for problem in _quiz(block))


def _quiz(block: Block) -> Iterator[str]:
    """Choices have a right one and say why of each; a question for a number or an order has an answer."""
    kind, choices = block.attributes.get("kind", "one"), block.data.get("choices") or []
    if kind not in QUIZ_KINDS:
        yield f"a quiz is of kind {', '.join(QUIZ_KINDS)}, not {kind}"
    elif kind in ("number", "order"):
        if "answer" not in block.data:
            yield f"a quiz of kind {kind} needs an answer"
    else:
        right = sum(bool(choice.get("right")) for choice in choices)
        if not right:
            yield "no choice of this quiz is right"
        elif kind == "one" and right > 1:
            yield f"{right} choices of this quiz are right; that is kind=many"
        yield from (f'choice "{choice["say"]}" has no why' for choice in choices if not choice.get("why"))
