"""Begins a course, a lesson or an exercise from templates that lint clean and pass ``course test`` as they are.

The templates lie in ``templates/``; an author replaces what they say, piece by piece, and can run them after each.
Nothing is ever overwritten: if one file of what is to be made exists, none is made.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from pathlib import Path

from meshlab.course.catalogue import FOLDERS, Course
from meshlab.course.model import Lesson
from meshlab.course.yamlfile import IDENTIFIER
from meshlab.errors import UsageError

TEMPLATES = Path(__file__).parent / "templates"


def new_course(directory: Path) -> list[Path]:
    """A whole course: one lesson, one exercise, one check.

    Args:
        directory: where; it may exist, if it holds no course.

    Returns:
        The files that were made.

    Raises:
        UsageError: something is in the way.
    """
    for folder in FOLDERS:
        if (directory / folder).exists():
            raise UsageError(f"{directory / folder} exists already", hint="name an empty directory")
    files = _lesson(directory / "lessons/01-first.md", "first", "A first lesson", exercise="first")
    files |= _exercise(directory / "exercises/first", "first", "Change what a ConfigMap says", "first")
    return _write(files | _checks(directory))


def new_lesson(course: Course, identifier: str) -> list[Path]:
    """A lesson after the last one of a course.

    Raises:
        UsageError: the id is none, or is taken.
    """
    _free(identifier, course.lessons, "lesson")
    numbers = [int(found[0]) for path in course.root.glob("lessons/*.md") if (found := re.match(r"\d+", path.name))]
    path = course.root / f"lessons/{max(numbers, default=0) + 1:02}-{identifier}.md"
    return _write(_lesson(path, identifier, _title(identifier)))


def new_exercise(course: Course, identifier: str, lesson: Lesson) -> list[Path]:
    """An exercise of a lesson, and the check that it calls, if the course has it not yet.

    Raises:
        UsageError: the id is none, or is taken.
    """
    _free(identifier, course.exercise_files, "exercise")
    files = _exercise(course.root / f"exercises/{identifier}", identifier, _title(identifier), lesson.id)
    return _write(files | {path: text for path, text in _checks(course.root).items() if not path.exists()})


def lesson_for(course: Course, identifier: str | None) -> Lesson:
    """The lesson that a new exercise belongs to: the one named, else the last.

    Raises:
        UsageError: there is none.
    """
    if identifier:
        return course.lesson(identifier)
    if not course.lessons:
        raise UsageError("this course has no lesson yet", hint="meshlab course new lesson ID")
    return list(course.lessons.values())[-1]


def _free(identifier: str, taken: Mapping[str, object], what: str) -> None:
    if not IDENTIFIER.fullmatch(identifier):
        raise UsageError(f'"{identifier}" is no id', hint="lower-case words joined by dashes, such as retry-storm")
    if identifier in taken:
        raise UsageError(f"{what} {identifier} exists already", hint="ids never change; choose another")


def _title(identifier: str) -> str:
    return identifier.replace("-", " ").capitalize()


def _lesson(path: Path, identifier: str, title: str, *, exercise: str = "") -> dict[Path, str]:
    values = {
        "ID": identifier,
        "TITLE": title,
        "EXERCISES": exercise,
        "TODAY": date.today().isoformat(),
        "CARD": f"\n```yaml exercise id={exercise}\n```" if exercise else "",
    }
    return {path: _filled(TEMPLATES / "lesson.md", values).rstrip() + "\n"}


def _exercise(folder: Path, identifier: str, title: str, lesson: str) -> dict[Path, str]:
    values = {"ID": identifier, "TITLE": title, "LESSON": lesson}
    template = TEMPLATES / "exercise"
    found = (path for path in sorted(template.rglob("*")) if path.is_file())
    return {folder / path.relative_to(template): _filled(path, values) for path in found}


def _checks(root: Path) -> dict[Path, str]:
    found = sorted((TEMPLATES / "checks").glob("*.txt"))
    return {root / "checks" / path.stem: path.read_text(encoding="utf-8") for path in found}


def _filled(path: Path, values: Mapping[str, str]) -> str:
    text = path.read_text(encoding="utf-8")
    for name, value in values.items():
        text = text.replace(f"__{name}__", value)
    return text


def _write(files: Mapping[Path, str]) -> list[Path]:
    for path in files:
        if path.exists():
            raise UsageError(f"{path} exists already", hint="nothing was written")
    try:
        for path, text in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            # Exclusive, so that a file that appeared meanwhile is not overwritten either.
            with path.open("x", encoding="utf-8") as file:
                file.write(text)
    except OSError as error:
        raise UsageError(f"{error.filename} cannot be written: {error.strerror}") from error
    return list(files)
