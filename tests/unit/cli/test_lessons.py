"""Reading the course on the command line: questions, predictions, what comes next, and the record of it."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from meshlab.cli.main import main
from meshlab.course.progress import Progress
from tests.support import schemas


class Terminal(io.StringIO):
    """A screen, or a keyboard on which lines were typed already."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("XDG_STATE_HOME", "XDG_DATA_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))
    return tmp_path


def kinds() -> list[str]:
    progress = Progress()
    try:
        return [event.record["kind"] for event in progress.events()]
    finally:
        progress.close()


def output_of(line: str, capsys: pytest.CaptureFixture[str], *, code: int = 0) -> str:
    assert main(line.split()) == code
    return capsys.readouterr().out


def json_of(line: str, capsys: pytest.CaptureFixture[str]) -> Any:
    return json.loads(output_of(f"{line} -o json", capsys))


def test_what_was_printed_counts_as_seen(capsys: pytest.CaptureFixture[str]) -> None:
    one = output_of("lesson canary --step subset", capsys)
    assert "What a subset is" in one
    assert "The module's route" not in one
    assert json_of("lesson canary --step route", capsys)["steps"][0]["id"] == "route"
    assert kinds() == ["lesson.opened", "step.seen"]
    output_of("lesson canary", capsys)
    said = json_of("progress", capsys)
    schemas.validate(said, "progress")
    (lesson,) = said["lessons"]
    assert (lesson["lesson"], lesson["state"]) == ("canary", "read")
    assert all(step["seen_at"] for step in lesson["steps"])


def test_a_lesson_shows_the_learners_own_draw(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    course = tmp_path / "course"
    output_of(f"course new course {course}", capsys)
    path = course / "lessons/01-first.md"
    path.write_text(path.read_text() + "\nThe word is {{word}}, in {{first.ns.app}}.\n")
    said = output_of(f"--course {course} lesson first --step foresee", capsys)
    assert [word for word in ("bonjour", "hola", "ciao") if f"The word is {word}, in mesh-first." in said]


def test_an_answer_is_judged_and_remembered(capsys: pytest.CaptureFixture[str]) -> None:
    wrong = output_of("quiz canary/weights b", capsys, code=1)
    assert wrong.startswith("✘ not so; it is: 20 %\n")
    assert "They are not per cent" in wrong
    assert output_of("quiz canary/weights A", capsys).startswith("✔ right\n")
    first, second = json_of("quiz canary", capsys)["questions"]
    assert (first["answered"]["right"], first["answered"]["tries"]) == (True, 2)
    assert second["answered"] is None
    assert "right" not in json.dumps(second)


def test_a_person_is_asked_each_question(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    screen = Terminal()
    monkeypatch.setattr(sys, "stdin", Terminal("q\na\nb\n"))
    monkeypatch.setattr(sys, "stdout", screen)
    assert main(["quiz", "canary"]) == 0
    said = screen.getvalue()
    assert '"q" is not a choice of weights' in said
    assert "✔ right" in said and "✘ not so" in said
    assert said.endswith("1 of 2 right\n")


@pytest.mark.parametrize(("typed", "answers"), [("\na\n", 1), ("", 0), ("a\n", 1)])
def test_a_question_may_be_left(typed: str, answers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal(typed))
    monkeypatch.setattr(sys, "stdout", Terminal())
    assert main(["quiz", "canary"]) == 0
    assert kinds() == ["quiz.answered"] * answers


def test_without_a_terminal_the_questions_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    said = output_of("quiz canary", capsys)
    assert "  -> meshlab quiz canary/scale ANSWER\n" in said
    assert kinds() == []


def test_a_prediction_is_locked_and_compared(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "no prediction yet" in output_of("predict canary/no-subsets", capsys)
    assert output_of("predict canary/no-subsets C", capsys) == "your prediction: c) 503\n"
    assert main(["predict", "canary/no-subsets", "a"]) == 0
    said = capsys.readouterr()
    assert (said.out, said.err) == ("your prediction: c) 503\n", "you chose c already, and that stays\n")
    monkeypatch.setattr(sys, "stdin", io.StringIO("503\n"))
    compared = output_of("predict canary/no-subsets --saw -", capsys)
    assert "the lab did:     c) 503  [503]  ✔" in compared
    assert "The proxy has no such cluster" in compared
    assert "none of the choices  [200]  ✘" in output_of("predict canary/no-subsets --saw 200", capsys)
    assert main(["predict", "canary/no-subsets", "--saw", "x"]) == 2
    assert "give the output of block ask-code" in capsys.readouterr().err
    assert kinds() == ["predict.answered"]


def test_next_follows_where_one_went(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    course = f"--course {tmp_path / 'course'}"
    output_of(f"course new course {tmp_path / 'course'}", capsys)
    assert json_of(f"{course} next", capsys)["command"] == "meshlab lesson first --step see"
    output_of(f"{course} course new lesson second", capsys)
    assert (
        output_of(f"{course} goto second", capsys)
        == "Go on reading Second: See it\n  meshlab lesson second --step see\n"
    )
    for lesson in ("first", "second"):
        output_of(f"{course} lesson {lesson}", capsys)
    following = json_of(f"{course} next", capsys)
    schemas.validate(following, "next")
    assert (following["exercise"], following["command"]) == ("first", "meshlab start first")


def test_progress_for_people_names_lessons(capsys: pytest.CaptureFixture[str]) -> None:
    assert "meshlab next says where to begin" in output_of("progress", capsys)
    output_of("lesson canary --step route", capsys)
    output_of("quiz canary/weights a", capsys)
    line = " ".join(output_of("progress", capsys).splitlines()[0].split())
    assert line == "lesson canary opened 1 of 5 steps, 1 of 2 questions right"


def test_the_record_is_exported_and_erased(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output_of("lesson canary", capsys)
    path = output_of("data path", capsys).strip()
    assert path == str(home / "XDG_DATA_HOME/meshlab/progress.db")
    lines = [json.loads(line) for line in output_of("data export", capsys).splitlines()]
    assert [line["kind"] for line in lines] == kinds()
    assert lines[0]["lab"] == "default"
    output_of("data erase", capsys, code=2)
    assert kinds() != []
    assert output_of("data erase --yes", capsys) == f"{path} is empty\n"
    assert kinds() == []


def test_erasing_asks_a_person(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    output_of("lesson canary --step route", capsys)
    monkeypatch.setattr(sys, "stdin", Terminal("n\n"))
    assert main(["data", "erase"]) == 2
    assert "Erase all 2 events" in capsys.readouterr().err
    monkeypatch.setattr(sys, "stdin", Terminal("y\n"))
    assert main(["data", "erase"]) == 0
    assert kinds() == []
