from __future__ import annotations

from pathlib import Path

import pytest

from meshlab.errors import CourseError
from meshlab.grading.evidence import Evidence
from meshlab.grading.registry import check, load_checks
from meshlab.grading.verdicts import passed

CHECK = """from meshlab.grading import check, passed
from . import words

@check("{name}", version=2, judge=lambda evidence, params: passed("a.b", words.WORD), required=("from",))
def collect(context, params, so_far):
    return so_far
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "__init__.py").write_text("")
    (tmp_path / "words.py").write_text("WORD = 'one'\n")
    (tmp_path / "first.py").write_text(CHECK.format(name="family.first"))
    return tmp_path


def test_checks_are_loaded_by_path_and_may_import_each_other(folder: Path) -> None:
    found = load_checks(folder).get("family.first")
    assert (found.name, found.version, found.required) == ("family.first", 2, frozenset({"from"}))
    assert found.judge(Evidence("objects", {}), {}) == passed("a.b", "one")


def test_each_course_gets_its_own_modules(folder: Path) -> None:
    assert load_checks(folder).get("family.first").judge(Evidence("objects", {}), {}) == passed("a.b", "one")
    (folder / "words.py").write_text("WORD = 'another'\n")
    assert load_checks(folder).get("family.first").judge(Evidence("objects", {}), {}) == passed("a.b", "another")


def test_two_checks_of_one_name_are_refused(folder: Path) -> None:
    (folder / "second.py").write_text(CHECK.format(name="family.first"))
    with pytest.raises(CourseError, match=r"two checks are called family\.first"):
        load_checks(folder)


@pytest.mark.parametrize(
    ("text", "said"),
    [("import absent_module\n", "ModuleNotFoundError"), ("def (:\n", "SyntaxError"), ("1 / 0\n", "ZeroDivisionError")],
)
def test_a_module_that_cannot_be_imported_is_named(folder: Path, text: str, said: str) -> None:
    (folder / "second.py").write_text(text)
    with pytest.raises(CourseError, match=rf"second\.py: {said}"):
        load_checks(folder)


def test_a_folder_without_init_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CourseError, match="is not a Python module"):
        load_checks(tmp_path)


def test_an_unknown_check_lists_the_known_ones(folder: Path) -> None:
    with pytest.raises(CourseError) as caught:
        load_checks(folder).get("family.frist")
    assert caught.value.hint == "the course has: family.first"


def test_outside_of_a_course_the_decorator_does_nothing() -> None:
    def collect(context: object, params: object, so_far: Evidence | None) -> Evidence:
        return Evidence("objects", {})

    assert check("a.b", judge=lambda evidence, params: passed("a.b", "x"))(collect) is collect
