from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from meshlab.errors import UsageError
from meshlab.grading import scripts
from meshlab.grading.lessontest import output_pattern
from meshlab.grading.session import read_value
from tests.fakes.grading import exercise


def test_a_solution_is_its_script_and_the_files_that_it_names(tmp_path: Path) -> None:
    folder = tmp_path / "solution"
    folder.mkdir()
    (folder / "module.sh").write_text("kubectl apply -n {{ns.app}} -f rule.yaml\n")
    (folder / "rule.yaml").write_text("labels: {{key}}\n")
    (folder / "other.yaml").write_text("unused: {{key}}\n")
    drawn = replace(exercise(folder=tmp_path), variables={"key": "track"})
    assert scripts.files(drawn, "solution/module.sh") == [
        scripts.File("solution/module.sh", "kubectl apply -n default -f rule.yaml\n"),
        scripts.File("solution/rule.yaml", "labels: track\n"),
    ]


@pytest.mark.parametrize(
    ("expected", "printed", "fits"),
    [
        ("503\n", "503\n", True),
        ("503\n", "  503  \n\n", True),
        ("503", "5030", False),
        ("v...", "v1 of myapp\nv2 of myapp\n", True),
        ("a...z", "a\nb\nz", True),
        ("(a|b).*", "(a|b).*", True),
        ("(a|b).*", "ab", False),
        ("...", "", True),
    ],
)
def test_dots_in_a_lessons_output_match_anything(expected: str, printed: str, fits: bool) -> None:
    assert bool(output_pattern(expected).fullmatch(printed)) is fits


def test_an_answer_may_be_a_file(tmp_path: Path) -> None:
    (tmp_path / "answer.txt").write_text("503\n")
    assert read_value("503") == "503"
    assert read_value(f"@{tmp_path}/answer.txt") == "503\n"
    (tmp_path / "binary").write_bytes(b"\xff")
    for name in ("absent", "binary"):
        with pytest.raises(UsageError, match="cannot be read"):
            read_value(f"@{tmp_path}/{name}")
