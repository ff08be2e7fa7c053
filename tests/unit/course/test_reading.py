from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from meshlab.course.catalogue import Course
from meshlab.course.outline import outline
from meshlab.course.progress import Progress
from meshlab.course.projection import Place
from meshlab.course.reading import Reading
from meshlab.errors import UsageError

EXERCISE = """schema: meshlab.exercise/1
id: {id}
version: 1
title: The {id}
lesson: one
minutes: 5
vars: {{key: {{pick: [a, b, c, d, e, f, g, h]}}}}
tasks:
- {{id: t, text: "{{{{key}}}}", points: 7, check: {{a.b: {{}}}}}}
"""
LESSON = """---
schema: meshlab.lesson/1
id: {id}
title: Lesson {id}
minutes: 1
aliases: [old-{id}]
exercises: {exercises}
---
## First <!-- step: first -->
```yaml predict id=guess before=ask
ask: What comes?
choices: {{a: "200", b: "503"}}
observe: {{run: ask, match: 'code (\\d+)', is: {{b: "503"}}}}
because: Nobody serves.
```
```sh run id=ask
echo code 503
```
## Second <!-- step: second -->
```yaml quiz id=pick kind=one
ask: Which?
choices: [{{say: left, why: No.}}, {{say: right, right: true, why: Yes.}}]
```
```yaml quiz id=several kind=many
ask: Which of them?
choices: [{{say: x, right: true}}, {{say: "y"}}, {{say: z, right: true}}]
```
```yaml quiz id=count kind=number
ask: How many per cent?
answer: 20
tolerance: 0.5
unit: "%"
why: A fifth.
```
```yaml quiz id=sort kind=order
ask: In which order?
answer: [declared, accepted, pushed, observed]
```
"""


@pytest.fixture
def course(tmp_path: Path) -> Course:
    for folder in ("lessons", "exercises/canary", "exercises/retry", "checks"):
        (tmp_path / folder).mkdir(parents=True)
    for name in ("canary", "retry"):
        (tmp_path / f"exercises/{name}/exercise.yaml").write_text(EXERCISE.format(id=name))
    (tmp_path / "lessons/01-one.md").write_text(
        LESSON.format(id="one", exercises="[canary, retry]") + "{{key}} {{canary.key}} {{retry.key}} {{ns.app}}\n"
    )
    (tmp_path / "lessons/02-two.md").write_text(LESSON.format(id="two", exercises="[]"))
    return Course(tmp_path)


@pytest.fixture
def progress(tmp_path: Path) -> Iterator[Progress]:
    opened = Progress(tmp_path / "progress.db", lab="default")
    yield opened
    opened.close()


@pytest.fixture
def reading(course: Course, progress: Progress) -> Reading:
    return Reading(course, progress)


def words(reading: Reading) -> list[str]:
    return reading.lesson("one").steps[1].markdown.splitlines()[-1].split()


def start(reading: Reading, exercise: str, *, lab: str | None = None) -> str:
    """What `Session.start` records; returns the drawn value."""
    progress = reading.progress
    round_ = progress.next_round(exercise)
    drawn = reading.course.draw(exercise, key=progress.course_key, learner=progress.learner, round_=round_)
    attempt = f"a-{exercise}-{round_}"
    progress.open_attempt(exercise, 1, round_, drawn.variables, attempt)
    progress.append("exercise.started", attempt=attempt, exercise=exercise, round=round_)
    return drawn.variables["key"]


def test_a_lesson_shows_what_the_next_start_will_draw(reading: Reading) -> None:
    for _ in range(4):
        before = words(reading)
        drawn = start(reading, "canary")
        assert before[1] == drawn
        assert words(reading) == before
        reading.progress.close_attempt(f"a-canary-{reading.progress.next_round('canary') - 1}")


def test_a_bare_name_is_that_of_the_first_exercise(reading: Reading) -> None:
    key, canary, retry, namespace = words(reading)
    assert (key, namespace) == (canary, "mesh-canary")
    assert retry == reading.variables("retry")["key"]


def test_an_attempt_in_another_lab_is_not_meant(reading: Reading, course: Course) -> None:
    start(reading, "canary")
    elsewhere = Progress(reading.progress.path, lab="other")
    upcoming = course.variables(
        "canary", key=elsewhere.course_key, learner=elsewhere.learner, round_=elsewhere.next_round("canary")
    )
    assert Reading(course, elsewhere).variables("canary") == upcoming
    elsewhere.close()


def test_the_first_prediction_is_locked(reading: Reading) -> None:
    lesson = reading.lesson("one")
    block = lesson.block("predict", "guess")
    assert reading.prediction(lesson, block) is None
    reading.predict(lesson, block, " A ")
    reading.predict(lesson, block, "b")
    assert reading.prediction(lesson, block) == "a"
    with pytest.raises(UsageError, match='"c" is not a choice of guess'):
        reading.predict(lesson, block, "c")
    assert len(reading.progress.events()) == 1


def test_a_prediction_is_compared_with_what_the_lab_did(reading: Reading) -> None:
    lesson = reading.lesson("one")
    block = lesson.block("predict", "guess")
    assert reading.observed(lesson, block, "nothing of the kind") is None
    seen = reading.observed(lesson, block, "x\ncode 503\n")
    assert seen is not None
    assert (seen.found, seen.choice, seen.predicted, seen.right) == ("503", "b", None, False)
    reading.predict(lesson, block, "b")
    foreseen = reading.observed(lesson, block, "code 503")
    assert foreseen is not None and foreseen.right
    other = reading.observed(lesson, block, "code 404")
    assert other is not None
    assert (other.choice, other.right, other.because) == (None, False, "Nobody serves.")


@pytest.mark.parametrize(
    ("block", "answer", "right"),
    [
        ("pick", "b", True),
        ("pick", ["a"], False),
        ("several", "c a", True),
        ("several", "a", False),
        ("several", "abc", False),
        ("count", "20 %", True),
        ("count", "20.5", True),
        ("count", "20.6", False),
    ],
)
def test_answers_are_judged(reading: Reading, block: str, answer: str | list[str], right: bool) -> None:
    lesson = reading.lesson("one")
    question = lesson.block("quiz", block)
    assert reading.last_quiz(lesson, question) is None
    assert reading.answer_quiz(lesson, question, answer).right is right
    last = reading.last_quiz(lesson, question)
    assert last is not None
    assert (last.right, last.tries) == (right, 1)


def test_an_order_is_shown_shuffled_and_always_alike(reading: Reading) -> None:
    lesson = reading.lesson("one")
    block = lesson.block("quiz", "sort")
    question = block.question
    assert question == reading.lesson("one").block("quiz", "sort").question
    shown = [option.say for option in question.options]  # type: ignore[union-attr]
    assert sorted(shown) == ["accepted", "declared", "observed", "pushed"]
    wrong = reading.answer_quiz(lesson, block, "abcd")
    assert not wrong.right
    assert wrong.expected == "declared → accepted → pushed → observed"
    key_of = {choice.say: choice.key for choice in wrong.choices}
    right = reading.answer_quiz(lesson, block, [key_of[say] for say in wrong.expected.split(" → ")])
    assert right.right and all(choice.right for choice in right.choices)
    assert right.tries == 2


@pytest.mark.parametrize(
    ("block", "answer", "said"),
    [
        ("pick", "", "exactly one choice is wanted"),
        ("pick", "ab", "exactly one choice is wanted"),
        ("pick", "q", '"q" is not a choice of pick'),
        ("several", "aa", "each letter counts once"),
        ("count", "many", '"many" is not a number'),
        ("count", "1e999", '"1e999" is not a number'),
        ("sort", "ab", "every letter is wanted"),
    ],
)
def test_what_is_no_answer_is_said_and_not_recorded(reading: Reading, block: str, answer: str, said: str) -> None:
    lesson = reading.lesson("one")
    with pytest.raises(UsageError, match=said):
        reading.answer_quiz(lesson, lesson.block("quiz", block), answer)
    assert reading.progress.events() == []


def test_a_block_that_asks_something_else_is_refused(reading: Reading) -> None:
    lesson = reading.lesson("one")
    with pytest.raises(UsageError, match="run block ask is no quiz"):
        reading.answer_quiz(lesson, lesson.block("run", "ask"), "a")
    with pytest.raises(UsageError, match="is no prediction"):
        reading.predict(lesson, lesson.block("quiz", "pick"), "a")
    with pytest.raises(UsageError, match='has no quiz block "ask"'):
        lesson.block("quiz", "ask")


def test_an_answer_still_stands_when_choices_are_moved(reading: Reading, course: Course) -> None:
    lesson = reading.lesson("two")
    reading.answer_quiz(lesson, lesson.block("quiz", "pick"), "b")
    path = course.root / "lessons/02-two.md"
    path.write_text(path.read_text().replace("choices: [{say: left", "choices: [{say: up, why: No.}, {say: left"))
    moved = reading.lesson("two")
    last = reading.last_quiz(moved, moved.block("quiz", "pick"))
    assert last is not None
    assert (last.answer, last.right) == (("c",), True)


def test_the_outline_follows_what_was_read(reading: Reading, course: Course) -> None:
    def entry() -> tuple[str, list[bool], tuple[int, int]]:
        lesson = outline(course, reading.progress).lessons[0]
        return lesson.state, [seen for _, _, seen in lesson.steps], lesson.quiz

    lesson = reading.lesson("one")
    assert entry() == ("new", [False, False], (0, 4))
    reading.opened(lesson)
    assert entry() == ("opened", [False, False], (0, 4))
    for step in (*lesson.steps, lesson.steps[0]):
        reading.seen(lesson, step)
    reading.ran(lesson, lesson.block("run", "ask"))
    reading.answer_quiz(lesson, lesson.block("quiz", "pick"), "b")
    reading.answer_quiz(lesson, lesson.block("quiz", "count"), "7")
    assert entry() == ("read", [True, True], (1, 4))
    kinds = [event.record["kind"] for event in reading.progress.events()]
    assert kinds == ["lesson.opened", "step.seen", "step.seen", "block.run", "quiz.answered", "quiz.answered"]


def test_a_renamed_lesson_keeps_what_was_read_under_its_old_id(reading: Reading, course: Course) -> None:
    reading.progress.append("lesson.opened", lesson="old-two")
    reading.progress.append("step.seen", lesson="old-two", step="first")
    lesson = reading.lesson("two")
    reading.seen(lesson, lesson.steps[0])
    reading.seen(lesson, lesson.steps[1])
    assert outline(course, reading.progress).lessons[1].state == "read"
    assert len(reading.progress.events()) == 3
    assert outline(course, reading.progress).here == Place("two")


def check(reading: Reading, exercise: str, *, earned: float, done: bool, task: str = "") -> None:
    verdicts = {"t": {"verdict": "PASS" if done else "FAIL", "code": "a.b"}}
    reading.progress.append("check.ran", exercise=exercise, task=task, done=done, earned=earned, verdicts=verdicts)


def test_exercises_go_from_new_to_done_and_may_change(reading: Reading, course: Course) -> None:
    def entry() -> tuple[str, int, float]:
        current = outline(course, reading.progress)
        exercise = current.lessons[0].exercises[0]
        return exercise.state, exercise.checks, float(current.points_earned)

    assert entry() == ("new", 0, 0)
    start(reading, "canary")
    assert entry() == ("started", 0, 0)
    check(reading, "canary", earned=3, done=False)
    assert entry() == ("started", 1, 3)
    check(reading, "canary", earned=7, done=True)
    assert entry() == ("done", 2, 7)
    check(reading, "canary", earned=0, done=False)
    assert entry() == ("changed", 3, 7)
    assert float(outline(course, reading.progress).points_possible) == 14


def read_all(reading: Reading, lesson_id: str) -> None:
    lesson = reading.lesson(lesson_id)
    for step in lesson.steps:
        reading.seen(lesson, step)


def test_next_leads_through_the_course(reading: Reading, course: Course) -> None:
    def upcoming() -> tuple[str, str, str]:
        found = outline(course, reading.progress).next()
        return found.lesson, found.step, found.exercise

    assert upcoming() == ("one", "first", "")
    read_all(reading, "one")
    assert upcoming() == ("one", "", "canary")
    start(reading, "canary")
    assert upcoming() == ("one", "", "canary")
    check(reading, "canary", earned=7, done=True)
    assert upcoming() == ("one", "", "retry")
    reading.go_to(reading.lesson("two"))
    assert upcoming() == ("two", "first", "")
    read_all(reading, "two")
    assert upcoming() == ("one", "", "retry")
    check(reading, "retry", earned=7, done=True)
    assert upcoming() == ("", "", "")
    assert "all exercises done" in outline(course, reading.progress).next().sentence


def test_a_late_learner_is_put_at_an_exercise(reading: Reading, course: Course) -> None:
    reading.go_to(reading.lesson("one"), "retry")
    following = outline(course, reading.progress).next()
    assert (following.exercise, following.sentence) == ("retry", "Start the exercise: The retry")


def test_an_empty_course_has_nothing_next(tmp_path: Path, progress: Progress) -> None:
    root = tmp_path / "empty"
    for folder in ("lessons", "exercises", "checks"):
        (root / folder).mkdir(parents=True)
    assert outline(Course(root), progress).next().sentence == "This course is empty"
