"""Where a learner's files lie: a folder for each lesson, in which the terminal works and lessons save their files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import platformdirs

from meshlab.errors import CourseError, LabError


def folder(lesson_id: str) -> Path:
    """The folder of a lesson, made if necessary.

    Raises:
        LabError: it cannot be made.
    """
    path = platformdirs.user_data_path("meshlab", appauthor=False) / "work" / lesson_id
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LabError(
            f"{path} cannot be made: {error.strerror}", hint="set XDG_DATA_HOME to a directory of your own"
        ) from error
    return path


@dataclass(frozen=True, slots=True)
class LessonFile:
    """A file that a lesson offers to save."""

    path: Path
    content: str

    @property
    def would_overwrite(self) -> bool:
        """Whether a file of another content is there already."""
        try:
            return self.path.read_text() != self.content
        except FileNotFoundError:
            return False
        except (OSError, UnicodeDecodeError):
            return True

    def save(self) -> None:
        """Write it.

        Raises:
            LabError: it cannot be written.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.write_text(self.content)
        except OSError as error:
            raise LabError(f"{self.path} cannot be written: {error.strerror}") from error


def lesson_file(lesson_id: str, name: str, content: str) -> LessonFile:
    """The file of a ``file=NAME`` block.

    Raises:
        CourseError: the name leads out of the lesson's folder.
    """
    relative = PurePosixPath(name)
    if relative.is_absolute() or ".." in relative.parts or not name:
        raise CourseError(f"lesson {lesson_id} wants to save {name}, which is outside its folder")
    return LessonFile(folder(lesson_id) / relative, content)
