"""``meshlab course lint``: what the loaders cannot refuse but a learner, or a gradebook, would stumble over.

A rule is a generator in `lintexercise` or `lintlesson` that yields findings as ``file:line: what``. Exercises and
lessons are examined for two draws of the variables.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from meshlab.course.catalogue import Course
from meshlab.course.exercises import ExerciseFile
from meshlab.errors import CourseError
from meshlab.grading import lintexercise, lintlesson
from meshlab.grading.registry import load_checks

SEEDS = 2


def lint_course(course: Course) -> list[str]:
    """Every finding, as ``file:line: what``; empty if the course is well-formed."""
    findings: list[str] = []
    try:
        registry = load_checks(course.root / "checks")
        files, lessons = course.exercise_files, course.lessons
    except CourseError as error:
        return [_words(error)]
    for source in files.values():
        for seed in range(SEEDS):
            variables = variables_for(source, seed)
            rules = lintexercise.Rules(source, variables, registry, lessons)
            findings += _guarded(rules.findings)
    for lesson in lessons.values():
        for seed in range(SEEDS):
            drawn = {name: variables_for(files[name], seed) for name in lesson.exercises if name in files}
            findings += _guarded(lintlesson.Rules(lesson, drawn, course).findings)
    return sorted(set(findings), key=_place)


def variables_for(source: ExerciseFile, seed: int) -> dict[str, str]:
    """The draw that tests use: the choices in turn, so that two seeds differ wherever there is a choice."""
    return {name: choices[seed % len(choices)] for name, choices in source.choices.items()}


def _guarded(findings: Callable[[], Iterable[str]]) -> list[str]:
    found: list[str] = []
    try:
        found.extend(findings())
    except CourseError as error:
        found.append(_words(error))
    return found


def _words(error: CourseError) -> str:
    return error.message + (f" ({error.hint})" if error.hint else "")


def _place(finding: str) -> tuple[str, int, str]:
    """By file, then by line as a number."""
    path, _, rest = finding.partition(":")
    line = rest.partition(":")[0]
    return path, int(line) if line.isdigit() else 0, rest
