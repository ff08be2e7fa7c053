"""Every screen at three sizes, as SVG, and what must hold at sizes that nobody would choose."""

from __future__ import annotations

import pytest
from syrupy.assertion import SnapshotAssertion

from meshlab.errors import ClusterUnreachable
from meshlab.grading.verdicts import failed, lab_error, passed, pending
from meshlab.tui.widgets.pane_bar import PaneBar
from meshlab.tui.widgets.task_item import TaskItem
from tests.functional.tui.conftest import POLL_S, Drive, Driven
from tests.support.snapshots import matches, svg_of

STILL_LOOKS = 4

at_three_sizes = pytest.mark.parametrize(
    ("width", "height"),
    [
        pytest.param(120, 40, id="120x40", marks=pytest.mark.full),
        pytest.param(80, 24, id="80x24", marks=pytest.mark.full),
        pytest.param(200, 50, id="200x50", marks=pytest.mark.full),
    ],
)
"""In the full run: every screen takes seconds to draw."""

VERDICTS = {
    "calm": passed("fake.calm", "200 on 200 of 200"),
    "split": failed(
        "split.no-cluster",
        "pushed",
        found="503 on 20 of 20 (flag NC)",
        wanted="v1 80 %, v2 20 %",
        why="the route names subset v1, which nobody defined",
        hint="which resource defines subsets?",
    ),
    "word": pending(
        "answer.none", "declared", found="no answer yet", wanted="an answer", why="nothing was handed in", hint="a"
    ),
}


async def still(driven: Driven) -> None:
    """Wait until nothing moves any more."""
    # What an exercise does may wait for an answer to a question that is on the screen.
    await driven.until(lambda: {worker.group for worker in driven.app.workers} <= {"exercise"})
    driven.screen.query_one("TopBar").since = None  # type: ignore[attr-defined]
    driven.app.clear_notifications()
    # How far the tasks are scrolled depends on how many verdicts were there when one of them got the keys.
    driven.screen.exercise.pane.scroll_home(animate=False)
    last, same = "", 0
    while same < STILL_LOOKS:
        await driven.pilot.pause(POLL_S)
        now = svg_of(driven.app)
        last, same = now, same + 1 if now == last else 0


@at_three_sizes
async def test_lesson(drive: Drive, snapshot: SnapshotAssertion, width: int, height: int) -> None:
    async with drive(width, height) as driven:
        await still(driven)
        assert matches(driven.app, snapshot)


@at_three_sizes
async def test_questions(drive: Drive, snapshot: SnapshotAssertion, width: int, height: int) -> None:
    async with drive(width, height) as driven:
        await driven.press("n")
        await driven.says("Which one?")
        await still(driven)
        assert matches(driven.app, snapshot)


@at_three_sizes
async def test_course_tree(drive: Drive, snapshot: SnapshotAssertion, width: int, height: int) -> None:
    async with drive(width, height) as driven:
        await driven.press("1")
        await driven.until(lambda: driven.screen.query_one("#course").has_focus)
        await still(driven)
        assert matches(driven.app, snapshot)


@at_three_sizes
async def test_tasks(drive: Drive, snapshot: SnapshotAssertion, width: int, height: int) -> None:
    async with drive(width, height) as driven:
        await driven.started()
        driven.desk.check.say(VERDICTS, pending_s=5.0)
        await driven.until(lambda: driven.one(TaskItem, "#task-split").has_class("-fail"))
        driven.one(TaskItem, "#task-split").focus()
        await driven.says("flag NC")
        await driven.press("h")
        await driven.until(lambda: driven.desk.session.calls[-1] == "hint tour/split")
        await still(driven)
        assert matches(driven.app, snapshot)


@at_three_sizes
async def test_done(drive: Drive, snapshot: SnapshotAssertion, width: int, height: int) -> None:
    async with drive(width, height) as driven:
        await driven.started()
        driven.desk.check.say(dict.fromkeys(VERDICTS, VERDICTS["calm"]))
        await driven.until(lambda: driven.screen.exercise.status and driven.screen.exercise.status.done)
        await still(driven)
        # What passes folds itself, and where that leaves a small screen depends on when it was drawn.
        driven.screen.exercise.pane.scroll_end(animate=False)
        await still(driven)
        assert matches(driven.app, snapshot)


@at_three_sizes
async def test_trouble(drive: Drive, snapshot: SnapshotAssertion, width: int, height: int) -> None:
    async with drive(width, height) as driven:
        await driven.started()
        sick = lab_error("lab.unreachable", "no answer", "the cluster does not answer")
        driven.desk.check.say({"split": sick})
        driven.desk.check.fail(ClusterUnreachable("the cluster does not answer", hint="meshlab status"))
        await driven.says("u brings it up")
        await still(driven)
        assert matches(driven.app, snapshot)


@at_three_sizes
async def test_terminal_of_ones_own(drive: Drive, snapshot: SnapshotAssertion, width: int, height: int) -> None:
    async with drive(width, height) as driven:
        await driven.press("f6")
        await driven.says("Open a terminal of your own")
        await still(driven)
        assert matches(driven.app, snapshot)


@at_three_sizes
async def test_question(drive: Drive, snapshot: SnapshotAssertion, width: int, height: int) -> None:
    async with drive(width, height) as driven:
        await driven.started()
        await driven.press("z")
        await driven.says("virtualservices mesh-tour/mine")
        await still(driven)
        assert matches(driven.app, snapshot)


@at_three_sizes
async def test_solution(drive: Drive, snapshot: SnapshotAssertion, width: int, height: int) -> None:
    async with drive(width, height) as driven:
        await driven.started()
        driven.desk.session.has_tried = True
        await driven.press("x")
        await driven.says("kubectl apply -f thing.yaml")
        await still(driven)
        assert matches(driven.app, snapshot)


@at_three_sizes
async def test_help(drive: Drive, snapshot: SnapshotAssertion, width: int, height: int) -> None:
    async with drive(width, height) as driven:
        await driven.press("question_mark")
        await driven.says("esc closes this")
        await still(driven)
        assert matches(driven.app, snapshot)


@pytest.mark.full
@pytest.mark.parametrize(
    ("width", "height"),
    [(20, 5), pytest.param(10, 3, marks=pytest.mark.full), pytest.param(1, 1, marks=pytest.mark.full)],
)
async def test_a_terminal_far_too_small_crashes_nothing(drive: Drive, width: int, height: int) -> None:
    async with drive(width, height) as driven:
        await driven.press("n", "1", "3", "2")
        await driven.press("s")
        await driven.until(lambda: driven.desk.checks)
        driven.desk.check.say(VERDICTS)
        await driven.press("h", "question_mark", "escape", "f6", "2")
        await driven.pilot.resize_terminal(120, 40)
        await driven.says("Predict and answer")
        await driven.pilot.resize_terminal(width, height)
        await driven.pilot.pause()


@pytest.mark.full
async def test_resizing_moves_through_every_layout(drive: Drive) -> None:
    async with drive(200, 50) as driven:
        bar = driven.screen.query_one(PaneBar)
        await driven.until(lambda: not bar.display or not bar.size.height)
        for width, layout in ((120, "-medium"), (80, "-narrow"), (200, "-wide")):
            await driven.pilot.resize_terminal(width, 40)
            await driven.until(lambda layout=layout: driven.screen.has_class(layout))  # type: ignore[misc]
        assert driven.screen.active == "lesson"
