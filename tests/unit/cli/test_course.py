"""What the course's commands print, for people and for programs."""

from __future__ import annotations

import argparse
import io
import json
import sys
from pathlib import Path

import pytest

from meshlab.cli import console, exercises
from meshlab.cli.main import main
from meshlab.cli.render import lesson_text
from meshlab.course.catalogue import find_course
from meshlab.course.lessons import load_lesson
from meshlab.course.progress import Progress
from meshlab.errors import LabError, UsageError
from meshlab.grading.reports import ReportContext, build_report
from tests.fakes.grading import ERROR, FAIL, PASS, result, results, task
from tests.support import schemas

CONTEXT = ReportContext("r-1", "default@1", {"cluster": "v1", "mesh": None})


class Terminal(io.StringIO):
    """A screen, or a keyboard with an answer typed already."""

    def isatty(self) -> bool:
        return True


def test_a_verdict_shows_how_far_it_came(capsys: pytest.CaptureFixture[str]) -> None:
    exercises._print_task(result(task("split"), FAIL))
    assert capsys.readouterr().out.splitlines() == [
        "✘ FAIL         split  [a.wrong]",
        "    ladder  declared ✔ > accepted ✔ > pushed ✘",
        "    found   it is not",
        "    wanted  it is",
        "    why     so it is",
        "    try     look there",
    ]


def test_a_right_answer_is_short(capsys: pytest.CaptureFixture[str]) -> None:
    exercises._print_task(result(task("split"), PASS))
    assert capsys.readouterr().out.splitlines() == [
        "✔ PASS         split  [a.right]",
        "    ladder  declared ✔ > accepted ✔ > pushed ✔ > observed ✔",
        "    found   all is well",
    ]


def test_the_score_says_what_was_not_judged(capsys: pytest.CaptureFixture[str]) -> None:
    judged = results(one=PASS, two=ERROR)
    exercises._print_score(judged, build_report([judged], CONTEXT))
    assert capsys.readouterr().out == "\n10 of 20 points (10 not judged)\n"


def test_progress_leaves_no_rest_on_the_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    # The last "waiting for ..." stayed under the first line of the result.
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    with pytest.raises(LabError), console.progress_line_cleared():
        console.progress_line("waiting for default/client")
        raise LabError("it broke")
    assert screen.getvalue().endswith("waiting for default/client\r\r\x1b[2K")


def test_without_a_terminal_there_is_no_progress(capsys: pytest.CaptureFixture[str]) -> None:
    with console.progress_line_cleared():
        console.progress_line("waiting")
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("typed", "goes_on"), [("y\n", True), ("YES\n", True), ("n\n", False), ("\n", False), ("", False)]
)
def test_a_person_is_asked(typed: str, goes_on: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal(typed))
    if goes_on:
        console.confirm(argparse.Namespace(yes=False), "Really?")
    else:
        with pytest.raises(UsageError, match="nothing was changed"):
            console.confirm(argparse.Namespace(yes=False), "Really?")


def test_yes_and_scripts_are_not_asked(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal("n\n"))
    console.confirm(argparse.Namespace(yes=True), "Really?")
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    console.confirm(argparse.Namespace(yes=False), "Really?")
    assert capsys.readouterr() == ("", "")


@pytest.fixture
def progress(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A progress file with one exercise that was done and then changed."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    kept = Progress()
    kept.append("exercise.started", exercise="canary", attempt="a-1")
    kept.append("hint.taken", exercise="canary", attempt="a-1", task="split", tier=1)
    for outcome in ("PASS", "FAIL"):
        verdicts = {"split": {"verdict": outcome, "code": "split.agrees"}}
        kept.append("check.ran", exercise="canary", done=outcome == "PASS", verdicts=verdicts)
    kept.close()
    return kept.path


def test_progress_fits_its_schema(progress: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["progress", "-o", "json"]) == 0
    said = json.loads(capsys.readouterr().out)
    schemas.validate(said, "progress")
    assert said["intact"]
    assert said["exercises"][0]["changed_since"]


def test_progress_for_people(progress: Path, capsys: pytest.CaptureFixture[str]) -> None:
    course = find_course(None)
    possible = sum(course.sample(name).possible for name in course.exercise_files)
    assert main(["progress"]) == 0
    assert [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()] == [
        "exercise canary done, and since changed 2 checks, 1 hints",
        f"10 of {possible:f} points",
    ]


def test_lint_finds_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for folder in ("lessons", "exercises", "checks"):
        (tmp_path / folder).mkdir()
    (tmp_path / "checks/__init__.py").write_text("")
    (tmp_path / "lessons/01.md").write_text("no front matter\n")
    assert main(["course", "lint", "--course", str(tmp_path)]) == 1
    assert "01.md:1: a lesson begins with front matter" in capsys.readouterr().out


LESSON = """---
schema: meshlab.lesson/1
id: one
title: One
minutes: 1
---
Intro.

## A step

```yaml quiz id=q
ask: Which?
choices: [{say: This, right: true, why: y}, {say: That, why: n}]
```

```yaml predict id=p before=ask
ask: What comes?
choices: {a: nothing, b: "503"}
because: So it is.
```

```yaml instructor
secret: true
```

```sh run id=ask
curl http://myapp/
```

```yaml exercise id=canary
```

```
plain
```
"""


def test_a_reader_sees_questions_and_no_answers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "01.md").write_text(LESSON)
    lesson = load_lesson(tmp_path / "01.md")
    lesson_text(lesson, lesson.steps)
    said = capsys.readouterr().out
    for shown in ("Intro.", "Which?", "This", "That", "a) nothing", "b) 503", "curl http://myapp/", "plain"):
        assert shown in said
    assert "meshlab start canary" in said
    for hidden in ("secret", "right", "So it is", "ask:", "run id"):
        assert hidden not in said
