from __future__ import annotations

from pathlib import Path

import pytest

from meshlab.course.blocks import Predict, Quiz
from meshlab.course.fences import read_fence
from meshlab.course.lessons import load_lesson
from meshlab.course.model import Block
from meshlab.errors import CourseError

HERE = Path("08.md")
PREDICT = "ask: What?\nchoices: {a: x, b: y}\nbecause: So.\n"
QUIZ = "ask: What?\nchoices: [{say: x, right: true, why: z}, {say: y, why: z}]\n"


def fence(info: str, content: str = "") -> Block:
    return read_fence(info, content, HERE, 7, "seed")


def problem(info: str, content: str = "") -> tuple[str, str]:
    with pytest.raises(CourseError) as caught:
        fence(info, content)
    return caught.value.message, caught.value.hint


@pytest.mark.parametrize(
    ("info", "said", "hint"),
    [
        ("yaml quizz id=x", "08.md:7: quizz: unknown role", 'did you mean "quiz"?'),
        ("sh run ID=x", "08.md:7: ID: unknown attribute of run", "known: id, in, timeout"),
        ("sh run id=x timeuot=3s", "08.md:7: timeuot: unknown attribute of run", 'did you mean "timeout"?'),
        ("sh run", "08.md:7: run: id= is missing", ""),
        ("sh run id=", "08.md:7: run: id= is missing", ""),
        ("sh run id=Two_Words", "08.md:7: id: must be lower-case words joined by dashes, not 'Two_Words'", ""),
        ("sh run id=x timeout=5", "08.md:7: timeout: must be a duration such as \"30s\", not '5'", ""),
        ("sh run id=x id=y", "08.md:7: id: stands here a second time", ""),
        ("sh run output id=x", "08.md:7: run and output: a block has one role", ""),
        ("text output", "08.md:7: output: of= is missing", ""),
        ("yaml file", "08.md:7: file: file= is missing", ""),
        ("yaml file=../vs.yaml", "08.md:7: file: must be a plain file name, not '../vs.yaml'", ""),
        ("yaml predict before=x", "08.md:7: predict: id= is missing", ""),
        ("yaml quiz id=x kind=some", "08.md:7: kind: must be one of one, many, number, order, not 'some'", 'did you mean "one"?'),
        ("yaml exercise", "08.md:7: exercise: id= is missing", ""),
        ("text diagram", "08.md:7: diagram: alt= is missing", ""),
        ("text instructor note=x", "08.md:7: note: unknown attribute of instructor", "it has none"),
        ("sh id=x", "08.md:7: id=: a block without a role has no attributes", "known: show, run, output, file, predict, quiz, exercise, diagram, instructor"),
        ("run id=x", '08.md:7: "run" stands where the language belongs', "write ```text run ..."),
        ("sh run 'id=x", "08.md:7: the fence's words cannot be read: No closing quotation", ""),
    ],
)  # fmt: skip
def test_what_a_fence_gets_wrong(info: str, said: str, hint: str) -> None:
    assert problem(info) == (said, hint)


@pytest.mark.parametrize(
    ("info", "content", "said"),
    [
        ("yaml predict id=x", "ask: What?\n", '08.md:8: key "choices" is missing'),
        ("yaml predict id=x", PREDICT.replace("{a: x, b: y}", "{a: x}"), "08.md:9: choices: needs at least two choices"),
        ("yaml predict id=x", PREDICT.replace("b: y", "2: y"), "08.md:9: choices.2: the key must be a string, not a number"),
        ("yaml predict id=x", PREDICT + "observe: {run: a, match: '(', is: {a: x}}\n", "08.md:11: observe.match: not a regular expression: missing ), unterminated subpattern at position 0"),
        ("yaml predict id=x", PREDICT + "observe: {run: a, match: x, is: {z: x}}\n", "08.md:11: observe.is.z: is not a choice"),
        ("yaml predict id=x", PREDICT + "observe: {run: a, match: x, is: {}}\n", "08.md:11: observe.is: needs the value of at least one choice"),
        ("yaml predict id=x", "ask: [\n", "08.md:9: not YAML: "),
        ("yaml quiz id=x", "asks: x\n", "08.md:8: asks: unknown key"),
        ("yaml quiz id=x", QUIZ.replace("{say: y, why: z}", "y"), "08.md:9: choices.1: must be a mapping, not a string"),
        ("yaml quiz id=x", QUIZ.replace(", {say: y, why: z}", ""), "08.md:9: choices: needs two to 26 choices"),
        ("yaml quiz id=x", QUIZ.replace("right: true", "right: yes"), "08.md:9: choices.0.right: must be true or false, not a string"),
        ("yaml quiz id=x", QUIZ.replace("right: true, ", ""), "08.md:7: no choice of this quiz is right"),
        ("yaml quiz id=x", QUIZ.replace("{say: y,", "{say: y, right: true,"), "08.md:7: 2 choices of this quiz are right; that is kind=many"),
        ("yaml quiz id=x kind=number", "ask: x\nanswer: many\n", "08.md:9: answer: must be a number, not a string"),
        ("yaml quiz id=x kind=number", "ask: x\nanswer: 3\ntolerance: -1\n", "08.md:10: tolerance: must not be negative"),
        ("yaml quiz id=x kind=number", QUIZ, "08.md:9: choices: unknown key"),
        ("yaml quiz id=x kind=order", "ask: x\nanswer: [a]\n", "08.md:9: answer: needs two to 26 different items, in the right order"),
        ("yaml quiz id=x kind=order", "ask: x\nanswer: [a, a]\n", "08.md:9: answer: needs two to 26 different items, in the right order"),
        ("yaml exercise id=x", "title: x\n", "08.md:7: an exercise block is empty: its tasks stand in exercise.yaml"),
    ],
)  # fmt: skip
def test_what_a_question_gets_wrong(info: str, content: str, said: str) -> None:
    assert problem(info, content)[0].startswith(said)


def test_a_question_becomes_a_value() -> None:
    observe = "observe: {run: ask, match: 'code ([0-9]+)', is: {b: 503}}\n"
    predict = fence("yaml predict id=p before=apply", PREDICT + observe).question
    assert isinstance(predict, Predict)
    assert (predict.before, predict.choices, predict.because) == ("apply", {"a": "x", "b": "y"}, "So.")
    assert predict.observe is not None
    assert (predict.observe.run, predict.observe.is_) == ("ask", {"b": "503"})
    quiz = fence("yaml quiz id=q", QUIZ).question
    assert isinstance(quiz, Quiz)
    assert (quiz.kind, quiz.answer, [option.say for option in quiz.options]) == ("one", ("a",), ["x", "y"])


@pytest.mark.parametrize("text", ["yes", "no", "on", "12:30", "2026-11-23x", "0x10", "1_000"])
def test_choices_are_texts_even_where_old_yaml_saw_something_else(text: str) -> None:
    quiz = fence("yaml quiz id=q", QUIZ.replace("say: y", f"say: {text}")).question
    assert isinstance(quiz, Quiz)
    assert quiz.options[1].say == text


def test_show_is_a_mark_and_no_mark_shows_too() -> None:
    assert (fence("yaml show").role, fence("yaml show").marked) == ("show", True)
    assert (fence("yaml").role, fence("yaml").marked) == ("show", False)
    assert fence('text diagram alt="two boxes"').attributes == {"alt": "two boxes"}


FRONT = "---\nschema: meshlab.lesson/1\nid: one\ntitle: One\nminutes: 5\n---\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (FRONT + "## A\n```sh run id=x\n```\n```yaml quiz id=x\n" + QUIZ + "```\n", ":10: block id x stands in line 8 already"),
        (FRONT + "## A\n```yaml exercise id=x\n```\n## B\n```yaml exercise id=x\n```\n", ":11: exercise id x stands in line 8 already"),
        (FRONT + "```sh run id=x\n```\n## A\n", ":7: run: this block stands before the first step"),
        (FRONT + "## A\n```sh show\nls\n", ":8: this fence is not closed"),
        (FRONT + "## A <!-- step: a minute=3 -->\n", ":7: minute=3: a step's mark is <!-- step: id minutes=4 -->"),
        (FRONT + "## A <!-- step: A b -->\n", ":7: A: a step's mark is <!-- step: id minutes=4 -->"),
        (FRONT.replace("id: one", "id: One") + "## A\n", ":3: id: must be lower-case words joined by dashes"),
        (FRONT.replace("title: One", "title: ''") + "## A\n", ":4: title: must be one line of text"),
        (FRONT.replace("5\n", "-5\n") + "## A\n", ":5: minutes: must be a number from 0 to 9999"),
        (FRONT.replace("---\n#", "").replace("5\n", "5\nsources: [wiki]\n") + "## A\n", ":6: sources.0: must be an address that begins with https://"),
        (FRONT.replace("5\n", "5\nexercises: [a, a]\n") + "## A\n", ":6: exercises.1: a stands here a second time"),
        (FRONT.replace("5\n", "5\nchecked: {on: soon}\n") + "## A\n", ":6: checked.on: must be a date, not a string"),
        (FRONT.replace("5\n", "5\naliases: [Old One]\n") + "## A\n", ":6: aliases.0: must be lower-case words joined by dashes"),
    ],
)  # fmt: skip
def test_what_a_lesson_gets_wrong(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "01.md"
    path.write_text(text)
    with pytest.raises(CourseError) as caught:
        load_lesson(path)
    assert caught.value.message == f"{path}{said}"


def test_a_heading_that_is_underlined_or_quoted(tmp_path: Path) -> None:
    path = tmp_path / "01.md"
    path.write_text(FRONT + "First\n-----\nText.\n\n> ## Quoted\n\n## Second\n")
    steps = load_lesson(path).steps
    assert [(step.id, step.markdown) for step in steps] == [("first", "Text.\n\n> ## Quoted"), ("second", "")]


def test_a_file_of_another_editor_loads_too(tmp_path: Path) -> None:
    path = tmp_path / "01.md"
    path.write_bytes(b"\xef\xbb\xbf" + (FRONT + "## A\nText.\n").replace("\n", "\r\n").encode())
    assert load_lesson(path).steps[0].markdown == "Text."
