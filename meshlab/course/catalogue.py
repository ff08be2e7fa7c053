"""A course as a whole: where it lies, and its lessons and exercises by id."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

from meshlab import __version__
from meshlab.course import exercises, lessons
from meshlab.course.model import Exercise, Lesson
from meshlab.course.variables import draw
from meshlab.errors import CourseError, UnknownExercise, UsageError

FOLDERS = ("lessons", "exercises", "checks")


class Course:
    """One course: ``lessons/``, ``exercises/`` and ``checks/`` under a directory.

    Args:
        root: that directory.
        name: what records call it; the directory's name if absent.

    Raises:
        CourseError: it lacks one of the three folders.
    """

    def __init__(self, root: Path, name: str = "") -> None:
        missing = [name for name in FOLDERS if not (root / name).is_dir()]
        if missing:
            raise CourseError(
                f"{root} is not a course: it has no {' and no '.join(missing)}",
                hint="a course is a directory with lessons/, exercises/ and checks/",
            )
        self.root = root
        self.name = name or root.name
        self._samples: dict[str, Exercise] = {}
        self._lessons: dict[str, Lesson] = {}

    @cached_property
    def exercise_files(self) -> dict[str, exercises.ExerciseFile]:
        """All exercises by id, in the order of their folders' names."""
        found: dict[str, exercises.ExerciseFile] = {}
        for path in sorted((self.root / "exercises").glob("*/exercise.yaml")):
            source = exercises.read(path)
            if source.id in found:
                raise CourseError(f"{path}: exercise {source.id} exists already in {found[source.id].path}")
            found[source.id] = source
        return found

    @cached_property
    def lesson_files(self) -> dict[str, Path]:
        """The files of all lessons by id, in the order of their names."""
        found: dict[str, Path] = {}
        for path in sorted((self.root / "lessons").glob("*.md")):
            identifier = lessons.lesson_id(path)
            if identifier in found:
                raise CourseError(f"{path}: lesson {identifier} exists already in {found[identifier]}")
            found[identifier] = path
        return found

    @cached_property
    def lessons(self) -> dict[str, Lesson]:
        """All lessons by id, in the order of their file names."""
        return {identifier: self._lesson(identifier) for identifier in self.lesson_files}

    @cached_property
    def digest(self) -> str:
        """A digest of every file of the course, for records."""
        sha = hashlib.sha256()
        for folder in FOLDERS:
            for path in sorted((self.root / folder).rglob("*")):
                if path.is_file() and "__pycache__" not in path.parts:
                    sha.update(str(path.relative_to(self.root)).encode() + b"\0" + path.read_bytes() + b"\0")
        return sha.hexdigest()

    @property
    def reference(self) -> str:
        """``default@1.4.0#sha256:...``: which course a record speaks of."""
        return f"{self.name}@{__version__}#sha256:{self.digest[:12]}"

    def exercise_file(self, identifier: str) -> exercises.ExerciseFile:
        """An exercise by id.

        Raises:
            UnknownExercise: the course has none of that id.
        """
        if identifier not in self.exercise_files:
            near = difflib.get_close_matches(identifier, self.exercise_files, n=1)
            hint = f"did you mean {near[0]}?" if near else "meshlab exercises lists them"
            raise UnknownExercise(f'there is no exercise "{identifier}"', hint=hint)
        return self.exercise_files[identifier]

    def lesson(self, identifier: str) -> Lesson:
        """A lesson by id, or by an id that it had before.

        Raises:
            UsageError: the course has none.
        """
        if identifier in self.lesson_files:
            return self._lesson(identifier)
        for lesson in self.lessons.values():
            if identifier in lesson.aliases:
                return lesson
        near = difflib.get_close_matches(identifier, self.lessons, n=1)
        hint = f"did you mean {near[0]}?" if near else "meshlab lessons lists them"
        raise UsageError(f'there is no lesson "{identifier}"', title="Unknown lesson", hint=hint)

    def _lesson(self, identifier: str) -> Lesson:
        if identifier not in self._lessons:
            self._lessons[identifier] = lessons.load_lesson(self.lesson_files[identifier])
        return self._lessons[identifier]

    def draw(
        self,
        identifier: str,
        *,
        key: bytes,
        learner: str,
        round_: int = 1,
        namespaces: Mapping[str, str] | None = None,
    ) -> Exercise:
        """An exercise with its variables drawn for a learner."""
        variables = self.variables(identifier, key=key, learner=learner, round_=round_)
        return exercises.load(self.exercise_file(identifier), variables, namespaces)

    def variables(self, identifier: str, *, key: bytes, learner: str, round_: int = 1) -> dict[str, str]:
        """What is drawn for a learner: the same for the same learner, exercise, version and round."""
        source = self.exercise_file(identifier)
        return draw(source.choices, key=key, learner=learner, exercise=source.id, version=source.version, round_=round_)

    def sample(self, identifier: str) -> Exercise:
        """An exercise with the first choice of each variable: for all that is the same in every draw."""
        if identifier not in self._samples:
            source = self.exercise_file(identifier)
            self._samples[identifier] = exercises.load(source, {name: each[0] for name, each in source.choices.items()})
        return self._samples[identifier]


def find_course(directory: str | None) -> Course:
    """The course that the user named, else the one shipped with meshlab.

    The wheel carries the default course inside the package; in an editable install it is the checkout's own folders.

    Raises:
        CourseError: the directory is not a course.
    """
    if directory is not None:
        root = Path(directory).expanduser()
        if not root.is_dir():
            raise CourseError(f"there is no directory {root}", hint="name a course with --course DIR")
        return Course(root.resolve())
    package = Path(__file__).resolve().parent.parent
    shipped = package / "_course"
    return Course(shipped if shipped.is_dir() else package.parent, "default")
