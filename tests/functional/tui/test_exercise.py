"""The exercise: offered, started, followed, hinted at, answered, solved, put back."""

from __future__ import annotations

import pytest
from textual.widgets import Button, Input

from meshlab.errors import ClusterUnreachable, LabError, UsageError
from meshlab.grading.verdicts import failed, passed, pending
from meshlab.tui.widgets.task_item import TaskItem
from tests.functional.tui.conftest import Drive

FAIL = failed(
    "split.none", "accepted", found="nothing splits", wanted="a split", why="no route", hint="which resource?"
)
PASS = passed("split.agrees", "it splits")
WAITS = pending("pods.starting", "declared", found="0 of 1", wanted="a ready pod", why="it starts", hint="wait")


async def test_an_exercise_is_offered_then_started_then_followed(drive: Drive) -> None:
    async with drive() as driven:
        await driven.says("press s to start it")
        await driven.says("Make it so for ada.")
        await driven.started()
        assert driven.desk.session.calls == ["prepare tour", "start tour"]
        driven.desk.check.say({"calm": PASS, "split": FAIL})
        await driven.says("nothing splits")
        for text in ("declared ✔ ─ accepted ✘ ─ pushed · ─ observed ·", "which resource?", "0 of 10 points"):
            assert text in driven.text
        driven.desk.check.say({"split": PASS, "word": PASS})
        await driven.says("✔ done")
        assert "Well looked." in driven.text
        assert "10 of 10 points" in driven.text


@pytest.mark.full
async def test_a_verdict_turns_green_without_a_key_and_folds_itself(drive: Drive) -> None:
    async with drive() as driven:
        await driven.started()
        driven.desk.check.say({"split": FAIL})
        item = driven.one(TaskItem, "#task-split")
        await driven.until(lambda: item.has_class("-fail") and item.is_open)
        driven.desk.check.say({"split": PASS})
        await driven.until(lambda: item.has_class("-pass") and not item.is_open)
        item.focus()
        await driven.press("enter")
        await driven.says("it splits")


@pytest.mark.full
async def test_pending_says_what_it_waits_for_and_how_long_still(drive: Drive) -> None:
    async with drive() as driven:
        await driven.started()
        driven.desk.check.say({"split": WAITS}, pending_s=5.0)
        await driven.says("waiting for: a ready pod; 15 s left")


@pytest.mark.full
async def test_an_exercise_under_way_is_followed_at_once(drive: Drive) -> None:
    async with drive() as driven:
        await driven.started()
        desk = driven.desk
        driven.screen.go_to(driven.screen.query_one("#course").root.children[1].data, "lesson")  # type: ignore[attr-defined]
        await driven.says("Nothing more.")
        await driven.says("This lesson has no exercise.")
        assert desk.checks[0].stopped
        driven.screen.go_to(driven.screen.query_one("#course").root.children[0].data, "lesson")  # type: ignore[attr-defined]
        await driven.until(lambda: len(desk.checks) == 2)
        assert desk.session.calls.count("start tour") == 1


@pytest.mark.full
async def test_starting_that_fails_says_why_and_can_be_tried_again(drive: Drive) -> None:
    async with drive() as driven:
        await driven.until(lambda: driven.screen.exercise.exercise_id == "tour")
        driven.desk.session.failure = UsageError("Deployment x is in the way", title="In the way", hint="remove it")
        await driven.press("s")
        await driven.says("Deployment x is in the way")
        assert not driven.screen.exercise.is_started
        await driven.press("s")
        await driven.until(lambda: driven.screen.exercise.is_started)


@pytest.mark.full
async def test_hints_come_tier_by_tier_for_the_highlighted_task(drive: Drive) -> None:
    async with drive() as driven:
        await driven.started()
        driven.one(TaskItem, "#task-word").focus()
        await driven.press("h")
        await driven.says("hint 1 of 3: It is short.")
        await driven.press("h")
        await driven.says("hint 2 of 3: It has three letters.")
        driven.one(TaskItem, "#task-split").focus()
        await driven.press("h")
        await driven.says("hint 1 of 3: Look at the first thing.")
        assert driven.desk.session.calls[-3:] == ["hint tour/word", "hint tour/word", "hint tour/split"]


@pytest.mark.full
async def test_an_answer_is_handed_in(drive: Drive) -> None:
    async with drive() as driven:
        await driven.started()
        await driven.press("a")
        await driven.until(lambda: driven.one(Input, "#answer-word").has_focus)
        await driven.press("y", "e", "s", "enter")
        await driven.until(lambda: "answer tour/word yes" in driven.desk.session.calls)
        await driven.until(lambda: driven.desk.check.nudges)


@pytest.mark.full
async def test_check_now(drive: Drive) -> None:
    async with drive() as driven:
        await driven.started()
        await driven.press("c")
        assert driven.desk.check.nudges == ["asked for"]


@pytest.mark.full
async def test_the_solution_asks_before_a_try_and_applies_only_if_wanted(drive: Drive) -> None:
    async with drive() as driven:
        await driven.started()
        await driven.press("x")
        await driven.says("Nothing was tried yet")
        await driven.press("n")
        await driven.until(lambda: driven.app.screen is driven.screen)
        assert "solution tour" not in driven.desk.session.calls
        driven.desk.session.has_tried = True
        await driven.press("x")
        await driven.says("kubectl apply -f thing.yaml")
        await driven.press("escape")
        await driven.until(lambda: driven.app.screen is driven.screen)
        assert "apply tour" not in driven.desk.session.calls
        await driven.press("x")
        await driven.says("solution/thing.yaml")
        driven.one(Button, "#yes").press()
        await driven.until(lambda: "apply tour" in driven.desk.session.calls)
        await driven.until(lambda: "the solution" in driven.desk.check.nudges)


@pytest.mark.full
async def test_reset_asks_and_names_what_goes(drive: Drive) -> None:
    async with drive() as driven:
        await driven.started()
        await driven.press("z")
        await driven.says("virtualservices mesh-tour/mine")
        await driven.press("escape")
        await driven.until(lambda: driven.app.screen is driven.screen)
        assert "reset tour" not in driven.desk.session.calls
        await driven.press("z")
        await driven.says("virtualservices mesh-tour/mine")
        await driven.press("y")
        await driven.until(lambda: "reset tour" in driven.desk.session.calls)
        await driven.says("must stay true")


@pytest.mark.full
async def test_a_dying_cluster_is_said_and_can_be_brought_up_again(drive: Drive) -> None:
    async with drive() as driven:
        await driven.started()
        driven.desk.check.say({"split": FAIL})
        await driven.says("nothing splits")
        driven.desk.check.fail(ClusterUnreachable("https://127.9.0.1:6443 does not answer", hint="meshlab status"))
        await driven.says("does not answer")
        assert "nothing splits" in driven.text  # what was known stays
        await driven.says("u brings it up")
        await driven.press("u")
        await driven.until(lambda: driven.desk.brought_up == 2)
        driven.desk.check.fail(None)
        await driven.says("istio 1.31.0")


@pytest.mark.full
async def test_a_lab_that_does_not_come_up(drive: Drive) -> None:
    async with drive() as driven:
        driven.desk.bring_up_failure = LabError("no address is free", hint="meshlab doctor")
        driven.screen.action_bring_up()
        await driven.says("no address is free")
        await driven.says("down: u brings it up")
        driven.desk.bring_up_failure = None
        await driven.press("u")
        await driven.says("istio 1.31.0")


@pytest.mark.full
async def test_a_defect_is_said_and_ends_nothing(drive: Drive) -> None:
    async with drive() as driven:
        await driven.started()
        driven.desk.session.failure = KeyError("oops")  # type: ignore[assignment]
        await driven.press("h")
        await driven.says("A defect of meshlab")
