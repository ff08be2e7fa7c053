from __future__ import annotations

from pathlib import Path

import pytest

from meshlab.course.yamlfile import parse, read_text
from meshlab.errors import CourseError

HERE = Path("exercise.yaml")


def problem(text: str, *, first_line: int = 1) -> str:
    with pytest.raises(CourseError) as caught:
        parse(text, HERE, first_line=first_line)
    return caught.value.message


def test_a_syntax_error_names_file_and_line() -> None:
    assert problem("a: 1\nb: [1, 2\n").startswith("exercise.yaml:3: not YAML: ")


def test_lines_count_from_where_the_document_begins_in_its_file() -> None:
    assert problem("a: 1\nb: {\n", first_line=12).startswith("exercise.yaml:14: ")


@pytest.mark.parametrize(
    "text",
    ["on: 2026-13-01\n", "a: \x07\n", "{{key}}: 1\n", "a: &x [*x]\n", "a: 1\n---\nb: 2\n"],
    ids=["date", "control character", "placeholder as a key", "alias of itself", "two documents"],
)
def test_what_yaml_only_half_accepts_is_no_traceback(text: str) -> None:
    assert "not YAML" in problem(text)


def test_a_key_twice_names_the_second_line() -> None:
    assert problem("a: 1\nb: 2\na: 3\n") == "exercise.yaml:3: a: key stands here a second time"


def test_an_unknown_key_names_its_line_and_the_nearest_one() -> None:
    file = parse("tasks:\n- id: one\n  hint: no\n", HERE)
    with pytest.raises(CourseError) as caught:
        file.mapping(("tasks", 0), ["id", "hints", "text"])
    assert caught.value.message == "exercise.yaml:3: tasks.0.hint: unknown key"
    assert caught.value.hint == 'did you mean "hints"?'


def test_an_unknown_key_like_no_other_lists_the_known_ones() -> None:
    with pytest.raises(CourseError) as caught:
        parse("zzz: 1\n", HERE).mapping((), ["title", "id"])
    assert caught.value.hint == "known keys: id, title"


@pytest.mark.parametrize("text", ["title: x\n", "title: x\nid:\n"], ids=["absent", "empty"])
def test_a_required_key_must_have_a_value(text: str) -> None:
    with pytest.raises(CourseError, match=r'exercise\.yaml:1: key "id" is missing'):
        parse(text, HERE).mapping((), ["id", "title"], ["id"])


@pytest.mark.parametrize(
    ("text", "kind", "said"),
    [
        ("a: 1\n", str, "must be a string, not a number"),
        ("a: [x]\n", dict, "must be a mapping, not a list"),
        ("a: true\n", int, "must be a number, not true or false"),
        ("a: x\n", (dict, list), "must be a mapping or a list, not a string"),
    ],
)
def test_a_wrong_type_is_said_in_words(text: str, kind: type, said: str) -> None:
    with pytest.raises(CourseError, match=f"a: {said}"):
        parse(text, HERE).get(("a",), kind)


def test_get_defaults_only_what_is_absent_or_empty() -> None:
    file = parse("a:\nb: 0\n", HERE)
    assert [file.get((key,), int, 7) for key in "abc"] == [7, 0, 7]


def test_strings_names_the_item_that_is_none() -> None:
    with pytest.raises(CourseError, match=r":3: a\.1: must be a string, not a number"):
        parse("a:\n- x\n- 5\n", HERE).strings(("a",))


def test_at_never_fails() -> None:
    file = parse("a: [x]\n", HERE)
    assert [file.at(path) for path in (("a", 0), ("a", 3), ("a", "b"), ("b", 0, "c"))] == ["x", None, None, None]


def test_a_complaint_about_something_absent_points_at_what_encloses_it() -> None:
    file = parse("a:\n  b: 1\n", HERE)
    assert file.fail(("a", "c", 0), "no").message == "exercise.yaml:1: a.c.0: no"


def test_reading_a_file_fails_in_words(tmp_path: Path) -> None:
    binary = tmp_path / "binary"
    binary.write_bytes(b"ab\xff")
    with pytest.raises(CourseError, match="not UTF-8 at byte 2"):
        read_text(binary)
    with pytest.raises(CourseError, match="No such file"):
        read_text(tmp_path / "absent")
