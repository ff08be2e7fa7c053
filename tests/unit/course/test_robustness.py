"""Whatever stands in a file of a course, the loaders answer with a model or a `CourseError`, and nothing else."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from meshlab.course.catalogue import Course
from meshlab.course.exercises import load, read, render_file
from meshlab.course.lessons import load_lesson
from meshlab.course.variables import values_for
from meshlab.course.yamlfile import parse
from meshlab.errors import CourseError

ROOT = Path(__file__).parent.parent.parent.parent
EXERCISE = (ROOT / "exercises/canary/exercise.yaml").read_text()
LESSON = (ROOT / "lessons/08-canary.md").read_text()

AWKWARD = (
    "", "\n", "\t", "\0", "\x85", "\u2028", "\ufeff", "~", "null", "on", "yes", "12:30", "0x1f", "1e999", "-1", ".nan",
    "9" * 5000, "2026-13-01", "[]", "{}", "{[a]: b}", "? [x]\n: y", "- ", "&a [*a]", "*a", "<<: {a: b}", "!!python/x y",
    "!!binary x", "!!set {a}", "!!omap [a: b]", "{{", "{{{{", "{{x}}", "}}", "'", '"', "```", "~~~", "````sh run id=x",
    "```yaml quiz", "## ", "---\n", "<!-- step: -->", "<!-- step: a minutes=x -->", "> ", "    ", "(?P<", "(a*)*b", "x" * 400,
    "../../etc/passwd", "id=", "in=Client", "timeout=5", "kind=some",
)  # fmt: skip


@st.composite
def mutated(draw: st.DrawFn, text: str) -> str:
    """A file with lines deleted, doubled and swapped, and pieces replaced by awkward ones."""
    for _ in range(draw(st.integers(1, 4))):
        lines = text.split("\n")
        at = draw(st.integers(0, len(lines) - 1))
        other = draw(st.integers(0, len(lines) - 1))
        match draw(st.sampled_from(["delete", "double", "swap", "indent", "insert", "replace", "value", "char"])):
            case "delete":
                del lines[at]
            case "double":
                lines.insert(other, lines[at])
            case "swap":
                lines[at], lines[other] = lines[other], lines[at]
            case "indent":
                lines[at] = draw(st.sampled_from(["  ", "- ", "\t", "> "])) + lines[at]
            case "insert":
                lines.insert(at, draw(st.sampled_from(AWKWARD)))
            case "replace":
                lines[at] = draw(st.sampled_from(AWKWARD))
            case "value":
                lines[at] = lines[at].partition(":")[0] + ": " + draw(st.sampled_from(AWKWARD) | st.text(max_size=8))
            case "char":
                column = draw(st.integers(0, len(lines[at])))
                lines[at] = (
                    lines[at][:column] + draw(st.sampled_from(AWKWARD) | st.characters()) + lines[at][column + 1 :]
                )
        text = "\n".join(lines) or "\n"
    return text


def write(path: Path, text: str) -> None:
    path.write_bytes(text.encode("utf-8", "surrogatepass"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    root = tmp_path_factory.mktemp("course")
    for name in ("lessons", "checks"):
        (root / name).mkdir()
    shutil.copytree(ROOT / "exercises/canary", root / "exercises/canary")
    yield root


@pytest.mark.full
@given(text=mutated(EXERCISE))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_an_exercise_loads_or_is_refused_in_words(folder: Path, text: str) -> None:
    path = folder / "exercises/canary/exercise.yaml"
    write(path, text)
    try:
        source = read(path)
        for seed in (0, 1):
            exercise = load(source, {name: each[seed % len(each)] for name, each in source.choices.items()})
            values_for(exercise.variables, exercise.namespaces)
            f"{exercise.possible.normalize():f}"
            for name in (*exercise.setup, *exercise.solutions):
                render_file(exercise, name)
    except CourseError as error:
        assert str(path.parent) in error.message


@given(text=mutated(LESSON))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_lesson_loads_or_is_refused_in_words(folder: Path, text: str) -> None:
    path = folder / "lessons/08-canary.md"
    write(path, text)
    for values in (None, {"key": "track", "ns.app": "default"}):
        try:
            lesson = load_lesson(path, values)
        except CourseError as error:
            assert error.message.startswith(f"{path}")
        else:
            assert lesson.steps
            assert Course(folder).lesson(lesson.id).steps


@given(text=st.text(max_size=60) | st.lists(st.sampled_from(AWKWARD), max_size=6).map(" ".join))
@settings(max_examples=300, deadline=None)
def test_any_text_is_yaml_or_is_refused_in_words(text: str) -> None:
    try:
        file = parse(text, Path("x.yaml"))
    except CourseError as error:
        assert error.message.startswith("x.yaml:")
    else:
        file.fail(("a", 0), "x")


def test_aliases_do_not_multiply() -> None:
    levels = "\n".join(f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]" for n in range(1, 30))
    parse(f"l0: &l0 [x]\n{levels}\n", Path("x.yaml"))
