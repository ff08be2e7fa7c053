from __future__ import annotations

from pathlib import Path

import pytest

from meshlab.course import scaffold
from meshlab.course.catalogue import Course
from meshlab.errors import UsageError
from meshlab.grading.lint import lint_course


@pytest.fixture
def course(tmp_path: Path) -> Course:
    scaffold.new_course(tmp_path / "course")
    return Course(tmp_path / "course")


def test_a_new_course_lints_clean(course: Course) -> None:
    assert lint_course(course) == []
    assert list(course.lessons) == ["first"]
    assert list(course.exercise_files) == ["first"]


def test_a_new_lesson_comes_last_and_lints_clean(course: Course) -> None:
    (path,) = scaffold.new_lesson(course, "retry-storm")
    assert path.name == "02-retry-storm.md"
    grown = Course(course.root)
    assert list(grown.lessons) == ["first", "retry-storm"]
    assert grown.lessons["retry-storm"].title == "Retry storm"
    assert lint_course(grown) == []


def test_a_new_exercise_wants_to_be_named_by_its_lesson(course: Course) -> None:
    scaffold.new_exercise(course, "second", scaffold.lesson_for(course, None))
    (finding,) = lint_course(Course(course.root))
    assert finding.endswith("lesson first does not name exercise second")
    path = course.lessons["first"].path
    text = path.read_text().replace("exercises: [first]", "exercises: [first, second]")
    path.write_text(text + "\n```yaml exercise id=second\n```\n")
    assert lint_course(Course(course.root)) == []


def test_an_exercise_brings_its_check_where_the_course_lacks_it(course: Course) -> None:
    (course.root / "checks/config.py").unlink()
    own = course.root / "checks/__init__.py"
    own.write_text('"""My own."""\n')
    made = scaffold.new_exercise(course, "second", course.lessons["first"])
    assert course.root / "checks/config.py" in made
    assert own.read_text() == '"""My own."""\n'


@pytest.mark.parametrize("identifier", ["First", "two words", "", "-x", "../x"])
def test_an_id_is_an_id(course: Course, identifier: str) -> None:
    with pytest.raises(UsageError, match="is no id"):
        scaffold.new_lesson(course, identifier)
    with pytest.raises(UsageError, match="is no id"):
        scaffold.new_exercise(course, identifier, course.lessons["first"])


def test_nothing_is_overwritten(course: Course) -> None:
    with pytest.raises(UsageError, match="lessons exists already"):
        scaffold.new_course(course.root)
    with pytest.raises(UsageError, match="lesson first exists already"):
        scaffold.new_lesson(course, "first")
    with pytest.raises(UsageError, match="exercise first exists already"):
        scaffold.new_exercise(course, "first", course.lessons["first"])
    leftover = course.root / "exercises/second/solution/patch.sh"
    leftover.parent.mkdir(parents=True)
    leftover.write_text("mine")
    with pytest.raises(UsageError, match=r"patch\.sh exists already"):
        scaffold.new_exercise(course, "second", course.lessons["first"])
    assert [path.name for path in (course.root / "exercises/second").rglob("*") if path.is_file()] == ["patch.sh"]
    assert leftover.read_text() == "mine"


def test_a_course_without_lessons_says_what_comes_first(tmp_path: Path) -> None:
    for folder in ("lessons", "exercises", "checks"):
        (tmp_path / folder).mkdir()
    with pytest.raises(UsageError) as caught:
        scaffold.lesson_for(Course(tmp_path), None)
    assert caught.value.hint == "meshlab course new lesson ID"


def test_a_place_that_cannot_be_written_is_said_in_words(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot be written"):
        scaffold.new_course(tmp_path / "file")
