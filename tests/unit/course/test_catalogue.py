from __future__ import annotations

from pathlib import Path

import pytest

from meshlab.course.catalogue import Course, find_course
from meshlab.errors import CourseError, UnknownExercise, UsageError

EXERCISE = """schema: meshlab.exercise/1
id: {id}
version: 1
title: T
lesson: one
vars: {{key: {{pick: [a, b, c, d, e, f, g, h]}}}}
tasks: [{{id: t, text: "{{{{key}}}}", points: 1, check: {{a.b: {{}}}}}}]
"""
LESSON = "---\nschema: meshlab.lesson/1\nid: {id}\ntitle: T\nminutes: 1\naliases: [old-{id}]\n---\n## S\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for folder in ("lessons", "exercises/canary", "exercises/retry", "checks"):
        (tmp_path / folder).mkdir(parents=True)
    for name in ("canary", "retry"):
        (tmp_path / f"exercises/{name}/exercise.yaml").write_text(EXERCISE.format(id=name))
    (tmp_path / "lessons/02-one.md").write_text(LESSON.format(id="one"))
    (tmp_path / "lessons/01-two.md").write_text(LESSON.format(id="two"))
    return tmp_path


def test_lessons_come_in_the_order_of_their_files(root: Path) -> None:
    course = Course(root)
    assert list(course.lessons) == ["two", "one"]
    assert list(course.exercise_files) == ["canary", "retry"]


def test_a_directory_that_is_no_course_says_what_it_lacks(tmp_path: Path) -> None:
    (tmp_path / "lessons").mkdir()
    with pytest.raises(CourseError, match="it has no exercises and no checks"):
        find_course(str(tmp_path))
    with pytest.raises(CourseError, match="there is no directory"):
        find_course(str(tmp_path / "absent"))


def test_a_mistyped_id_gets_a_suggestion(root: Path) -> None:
    course = Course(root)
    with pytest.raises(UnknownExercise) as exercise:
        course.exercise_file("canray")
    assert exercise.value.hint == "did you mean canary?"
    with pytest.raises(UnknownExercise) as other:
        course.exercise_file("zzz")
    assert other.value.hint == "meshlab exercises lists them"
    with pytest.raises(UsageError) as lesson:
        course.lesson("onee")
    assert lesson.value.hint == "did you mean one?"


def test_a_renamed_lesson_is_found_by_its_old_id(root: Path) -> None:
    assert Course(root).lesson("old-two").id == "two"


@pytest.mark.parametrize(
    ("path", "text", "said"),
    [
        ("exercises/zzz/exercise.yaml", EXERCISE.format(id="retry"), "exercise retry exists already in"),
        ("lessons/03.md", LESSON.format(id="one"), "lesson one exists already in"),
    ],
)
def test_ids_are_unique(root: Path, path: str, text: str, said: str) -> None:
    (root / path).parent.mkdir(exist_ok=True)
    (root / path).write_text(text)
    with pytest.raises(CourseError, match=said):
        print(Course(root).exercise_files, Course(root).lessons)


def test_learners_and_rounds_get_different_draws(root: Path) -> None:
    course = Course(root)
    texts = {
        course.draw("canary", key=b"k", learner=learner, round_=round_).tasks[0].text
        for learner in ("r-1", "r-2", "r-3")
        for round_ in (1, 2, 3)
    }
    assert len(texts) > 2
    assert texts <= set("abcdefgh")


def test_the_digest_follows_the_files_and_nothing_else(root: Path) -> None:
    before = Course(root).digest
    (root / "checks/__pycache__").mkdir()
    (root / "checks/__pycache__/x.pyc").write_text("x")
    (root / "notes.txt").write_text("x")
    assert Course(root).digest == before
    (root / "checks/x.py").write_text("")
    assert Course(root).digest != before
    assert Course(root).reference.endswith(f"#sha256:{Course(root).digest[:12]}")
