"""What docs/authoring.md shows is true: its examples load, its tables are those of the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from meshlab.cli.parser import build_parser
from meshlab.course.catalogue import Course
from meshlab.course.exercises import load, read
from meshlab.course.fences import QUIZ_KINDS, ROLES
from meshlab.course.model import Lesson
from meshlab.grading.lint import SEEDS, lint_course, variables_for
from meshlab.grading.registry import load_checks

GUIDE = (Path(__file__).parent.parent.parent / "docs/authoring.md").read_text()
FENCES = {token.info: token.content for token in MarkdownIt("commonmark").parse(GUIDE) if token.type == "fence"}


@pytest.fixture
def course(tmp_path: Path) -> Course:
    """The guide's lesson, exercise and check as a course."""
    files = {
        "lessons/01-retries.md": FENCES["markdown"],
        "exercises/retry/exercise.yaml": FENCES["yaml"],
        "checks/__init__.py": "",
        "checks/config.py": FENCES["python"],
    }
    for name in ("setup/app.yaml", "teardown/undo.sh", "solution/good.sh", "wrong/bad.yaml", "wrong/scale.sh"):
        files[f"exercises/retry/{name}"] = "# {{host}} in {{ns.app}} and {{ns.edge}}\n"
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return Course(tmp_path)


@pytest.fixture
def lesson(course: Course) -> Lesson:
    return course.lesson("retries")


def test_the_lesson_shows_every_role_and_kind_of_question(lesson: Lesson) -> None:
    assert {block.role for block in lesson.blocks} == set(ROLES)
    kinds = {block.attributes.get("kind", "one") for block in lesson.blocks if block.role == "quiz"}
    assert kinds == set(QUIZ_KINDS) - {"one"}
    assert [step.has_id for step in lesson.steps] == [True, True]


def test_the_exercise_uses_every_key_and_loads_for_both_draws(course: Course) -> None:
    source = read(course.root / "exercises/retry/exercise.yaml")
    for seed in range(SEEDS):
        exercise = load(source, variables_for(source, seed))
        assert exercise.possible == 12.5
        assert exercise.namespaces == {"app": "mesh-retry-app", "edge": "shop-edge"}
        assert [bool(wrong.answer) for wrong in exercise.wrong] == [False, False, True]
        assert len(exercise.tasks[1].checks) == 2
        assert (exercise.answers, exercise.teardown, len(exercise.before)) == (
            {"cost": "150"},
            ("teardown/undo.sh",),
            1,
        )


def test_the_only_findings_are_checks_that_the_guide_does_not_write_out(course: Course) -> None:
    assert set(load_checks(course.root / "checks").checks) == {"config.value"}
    unknown = re.compile(r"no check is called (http|answer|mesh)\.\w+; known: config\.value")
    assert [finding for finding in lint_course(course) if not unknown.search(finding)] == []


def test_the_table_of_roles_is_that_of_the_code() -> None:
    rows = re.findall(r"^\| `(\w+)(?:=NAME)?` \|([^|]*)\|", GUIDE, re.M)
    shown = {role: set(re.findall(r"`(\w+)`", attributes)) - set(QUIZ_KINDS) for role, attributes in rows}
    assert shown == {role: set(entry.attributes) - {"file"} for role, entry in ROLES.items()}


def test_the_commands_of_the_guide_exist() -> None:
    lines = [re.sub(r"\s*(#|\[).*", "", line) for line in FENCES["sh"].splitlines()]
    assert len(lines) == 5
    for line in lines:
        assert callable(build_parser().parse_args(line.split()[1:]).run)
