"""Reading: steps, blocks, predictions and questions, and what is recorded of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual.widgets import Input, OptionList

from meshlab.course.projection import Place
from meshlab.tui.widgets.code_block import CodeBlock
from meshlab.tui.widgets.course_tree import CourseTree
from meshlab.tui.widgets.exercise_card import ExerciseCard
from meshlab.tui.widgets.predict_card import PredictCard
from meshlab.tui.widgets.quiz_card import QuizCard
from tests.functional.tui.conftest import Drive, Driven


def kinds(driven: Driven) -> list[str]:
    """The kinds of all events, in order."""
    progress = driven.desk.open_progress()
    try:
        return [event.record["kind"] for event in progress.events()]
    finally:
        progress.close()


@pytest.mark.full
async def test_it_opens_where_the_course_begins(drive: Drive) -> None:
    async with drive() as driven:
        await driven.says("Every kind of block stands in this lesson.")
        await driven.says("step 1 of 3")
        assert kinds(driven)[:2] == ["lesson.opened", "step.seen"]


@pytest.mark.full
async def test_turning_steps_to_the_end_and_on_to_what_comes_next(drive: Drive) -> None:
    async with drive() as driven:
        await driven.press("n")
        await driven.says("Predict and answer")
        await driven.press("p")
        await driven.says("Run and save")
        await driven.press("p")  # there is nothing before
        await driven.press("n", "n")
        await driven.says("step 3 of 3")
        await driven.until(lambda: driven.screen.outline and driven.screen.outline.lessons[0].state == "read")
        await driven.press("n")
        # All is read, so the exercise comes next.
        await driven.until(lambda: driven.screen.active == "tasks")


@pytest.mark.full
async def test_a_file_is_saved_and_overwritten_only_when_confirmed(drive: Drive, tmp_path: Path) -> None:
    async with drive() as driven:
        file = tmp_path / "data" / "meshlab" / "work" / "tour" / "thing.yaml"
        await driven.press("r", "r")  # the command goes to the clipboard, then the file
        await driven.until(file.exists)
        assert file.read_text() == 'kind: Thing\nname: "ada"\n'
        file.write_text("mine")
        await driven.press("r")
        await driven.says("Overwrite thing.yaml?")
        await driven.press("enter")  # no has the focus
        await driven.until(lambda: driven.app.screen is driven.screen)
        assert file.read_text() == "mine"
        await driven.press("r")
        await driven.says("Overwrite thing.yaml?")
        await driven.press("y")
        await driven.until(lambda: file.read_text() != "mine")


async def test_a_command_goes_to_the_terminal_and_is_recorded(drive: Drive) -> None:
    async with drive() as driven:
        await driven.press("r")
        await driven.until(lambda: "block.run" in kinds(driven))
        await driven.says("echo hello")
        assert driven.app.clipboard == "echo hello"
        assert driven.one(CodeBlock).done


@pytest.mark.full
async def test_a_block_can_be_copied(drive: Drive) -> None:
    async with drive() as driven:
        shown = list(driven.screen.query(CodeBlock))[-1]
        shown.focus()
        await driven.press("y")
        assert driven.app.clipboard == "kubectl get pods   # shown only\n"


@pytest.mark.full
async def test_a_prediction_is_asked_for_first_then_locked_then_compared(drive: Drive) -> None:
    async with drive() as driven:
        await driven.press("n")
        card = await driven.until(lambda: next(iter(driven.screen.query(PredictCard)), None))
        await driven.press("r")
        await driven.says("Predict first")
        assert "block.run" not in kinds(driven)
        await driven.until(lambda: card.query_one(OptionList).has_focus)
        await driven.press("down", "enter")
        await driven.until(lambda: card.choice == "b")
        await driven.press("r")
        await driven.until(lambda: "block.run" in kinds(driven))
        await driven.screen.lesson.observe()
        assert card.is_compared
        assert card.has_class("-right")
        await driven.says("as you said")
        # It stays locked when one comes back.
        await driven.press("p", "n")
        again = await driven.until(lambda: next((c for c in driven.screen.query(PredictCard) if c.choice), None))
        assert again.choice == "b"
        assert kinds(driven).count("predict.answered") == 1


@pytest.mark.full
async def test_a_block_runs_unpredicted_when_asked_twice(drive: Drive) -> None:
    async with drive() as driven:
        await driven.press("n")
        await driven.until(lambda: list(driven.screen.query(PredictCard)))
        await driven.press("r")
        await driven.says("Predict first")
        await driven.press("r")
        await driven.until(lambda: "block.run" in kinds(driven))


@pytest.mark.full
async def test_questions_of_every_kind(drive: Drive) -> None:
    async with drive() as driven:
        await driven.press("n")
        one, many, number = await driven.until(lambda: list(driven.screen.query(QuizCard)))
        one.query_one(OptionList).focus()
        await driven.press("down", "enter")
        await driven.until(lambda: one.has_class("-wrong"))
        await driven.says("That is the other.")
        assert "Because it is." not in driven.text  # a wrong answer does not give the right one away
        await driven.press("up", "enter")
        await driven.until(lambda: one.has_class("-right"))

        many.query_one(Input).focus()
        await driven.press("a", "z", "enter")
        await driven.says('"z" is not a choice')
        many.query_one(Input).value = "a c"
        await driven.press("enter")
        await driven.until(lambda: many.has_class("-right"))

        number.query_one(Input).focus()
        await driven.press("2", "0", "enter")
        await driven.until(lambda: number.has_class("-right"))
        assert kinds(driven).count("quiz.answered") == 4
        # Answers are there again when the step is.
        await driven.press("escape")
        driven.screen.lesson.take_focus()
        await driven.press("p", "n")
        await driven.until(lambda: all(card.has_class("-right") for card in driven.screen.query(QuizCard)) or None)


@pytest.mark.full
async def test_the_exercise_card_opens_the_tasks(drive: Drive) -> None:
    async with drive() as driven:
        await driven.press("n", "n")
        card = await driven.until(lambda: next(iter(driven.screen.query(ExerciseCard)), None))
        assert "nobody sees this" not in driven.text
        card.focus()
        await driven.press("enter")
        await driven.until(lambda: driven.screen.active == "tasks")


@pytest.mark.full
async def test_the_tree_opens_lessons_and_exercises(drive: Drive) -> None:
    async with drive(80, 24) as driven:
        await driven.press("1")
        await driven.until(lambda: driven.one(CourseTree).has_focus)
        await driven.press("down", "down", "enter")
        await driven.says("Nothing more.")
        assert driven.screen.active == "lesson"
        await driven.press("1")
        await driven.until(lambda: driven.one(CourseTree).has_focus)
        await driven.press("up", "enter")
        await driven.until(lambda: driven.screen.active == "tasks" and driven.screen.exercise.exercise_id == "tour")


async def test_who_turns_quickly_has_read_it_all_the_same(drive: Drive) -> None:
    async with drive() as driven:
        pane = driven.screen.lesson.pane
        await pane.turn(1)
        await pane.turn(1)
        driven.screen.action_go_on()
        await driven.until(lambda: driven.screen.active == "tasks")


@pytest.mark.full
async def test_going_on(drive: Drive) -> None:
    async with drive() as driven:
        await driven.press("n", "n")
        await driven.until(lambda: driven.screen.outline and driven.screen.outline.lessons[0].state == "read")
        await driven.press("g")
        await driven.until(lambda: driven.screen.active == "tasks")
        await driven.says("Do the exercise: Look around")


@pytest.mark.full
async def test_progress_is_there_again_the_next_time(drive: Drive) -> None:
    async with drive() as driven:
        await driven.press("n")
        await driven.says("step 2 of 3")
        await driven.until(lambda: kinds(driven).count("step.seen") == 2)
    async with drive() as driven:
        await driven.says("step 2 of 3")


@pytest.mark.parametrize("begun", [True, False], ids=["while-it-is-drawn", "before-it-is-read"])
async def test_who_goes_on_at_once_still_gets_a_lab(drive: Drive, begun: bool) -> None:
    async with drive(ready=False) as driven:
        if begun:
            await driven.until(lambda: driven.screen.lesson.pane.lesson)
        driven.screen.go_to(Place("after"), "lesson")
        await driven.until(lambda: driven.desk.brought_up and driven.screen.outline)
        await driven.says("Nothing more.")
