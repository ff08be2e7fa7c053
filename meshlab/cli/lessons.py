"""Reading the course: lessons, their questions, and what comes next. No command here needs a cluster, but ``goto``."""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING, Any

from meshlab.cli.console import adder, course_of, given, reading_of, say
from meshlab.errors import UsageError

if TYPE_CHECKING:
    from meshlab.cli.console import Commands
    from meshlab.course.model import Block, Lesson
    from meshlab.course.reading import QuizResult, Reading


def register(commands: Commands, common: argparse.ArgumentParser) -> None:
    """Declare this group's commands."""
    add = adder(commands, common)
    add("lessons", "list the lessons", run_lessons, output=("text", "json"))

    lesson = add("lesson", "read a lesson, or one step of it", run_lesson, output=("text", "json"))
    lesson.add_argument("lesson", metavar="LESSON")
    lesson.add_argument("--step", metavar="STEP", help="this step only; what was shown counts as seen")

    predict = add("predict", "say what will happen, and see whether it did", run_predict)
    predict.add_argument("block", metavar="LESSON/QUESTION")
    predict.add_argument("choice", metavar="CHOICE", nargs="?", help="locked: a second choice does not replace it")
    predict.add_argument("--saw", metavar="TEXT|@FILE|-", help="what the observed command printed: compare with it")

    quiz = add("quiz", "answer a lesson's questions", run_quiz, output=("text", "json"))
    quiz.add_argument("lesson", metavar="LESSON[/QUESTION]")
    quiz.add_argument("answer", metavar="ANSWER", nargs="*", help="letters, or a number; exit code 1 if it is wrong")

    add("next", "what to do next", run_next, output=("text", "json"))

    goto = add("goto", "go to a lesson, or set an exercise up and go there", run_goto)
    goto.add_argument("id", metavar="ID", help="an exercise, else a lesson; lesson/ID and exercise/ID are exact")


def run_lessons(arguments: argparse.Namespace) -> int:
    """List the lessons."""
    course = course_of(arguments)
    if arguments.output == "json":
        lessons = [
            {
                "id": lesson.id,
                "title": lesson.title,
                "minutes": lesson.minutes,
                "objectives": list(lesson.objectives),
                "exercises": list(lesson.exercises),
                "steps": [{"id": step.id, "title": step.title, "minutes": step.minutes} for step in lesson.steps],
            }
            for lesson in course.lessons.values()
        ]
        print(json.dumps({"lessons": lessons}, indent=2))
        return 0
    for lesson in course.lessons.values():
        print(f"{lesson.id:<20} {lesson.minutes:>3} min  {lesson.title}")
    return 0


def run_lesson(arguments: argparse.Namespace) -> int:
    """Print a lesson with the values of the learner's own draw; what is printed for a person counts as seen."""
    from meshlab.cli import render

    with reading_of(arguments) as reading:
        lesson = reading.lesson(arguments.lesson)
        steps = [lesson.step(arguments.step)] if arguments.step else list(lesson.steps)
        if arguments.output == "json":
            print(json.dumps(render.lesson_json(lesson, steps), indent=2))
            return 0
        render.lesson_text(lesson, steps)
        reading.opened(lesson)
        for step in steps:
            reading.seen(lesson, step)
    return 0


def run_predict(arguments: argparse.Namespace) -> int:
    """Lock a prediction, or show the question and what was chosen; compare it with what the lab did."""
    from meshlab.cli import render
    from meshlab.course.blocks import Predict

    with reading_of(arguments) as reading:
        lesson, block = _question(reading, arguments.block, "predict")
        question = block.question
        assert isinstance(question, Predict)
        locked = reading.prediction(lesson, block)
        if arguments.saw is not None and not arguments.choice and locked is None:
            raise UsageError("say first what you expect", hint=f"meshlab predict {arguments.block} CHOICE")
        if arguments.choice:
            reading.predict(lesson, block, arguments.choice)
            if locked is not None and question.choice(arguments.choice) != locked:
                say(f"you chose {locked} already, and that stays")
            locked = reading.prediction(lesson, block)
        else:
            print("\n".join(render.predict_lines(question)))
        print(f"your prediction: {locked}) {question.choices[locked]}" if locked else "no prediction yet")
        if arguments.saw is None:
            return 0
        seen = reading.observed(lesson, block, given(arguments.saw))
        if seen is None:
            raise UsageError(
                "that does not show what happened",
                hint=f"give the output of block {question.observe.run}" if question.observe else question.because,
            )
        named = f"{seen.choice}) {question.choices[seen.choice]}" if seen.choice else "none of the choices"
        print(f"the lab did:     {named}  [{seen.found}]  {'✔' if seen.right else '✘'}\n{seen.because}")
    return 0


def run_quiz(arguments: argparse.Namespace) -> int:
    """Ask the questions of a lesson, or judge one answer."""
    from meshlab.cli import render

    with reading_of(arguments) as reading:
        if arguments.answer:
            lesson, block = _question(reading, arguments.lesson, "quiz")
            result = reading.answer_quiz(lesson, block, " ".join(arguments.answer))
            render.quiz_result(result)
            return 0 if result.right else 1
        name, _, wanted = arguments.lesson.partition("/")
        lesson = reading.lesson(name)
        blocks = [lesson.block("quiz", wanted)] if wanted else [each for each in lesson.blocks if each.role == "quiz"]
        if arguments.output == "json":
            asked = [_quiz_json(block, reading.last_quiz(lesson, block)) for block in blocks]
            print(json.dumps({"lesson": lesson.id, "questions": asked}, indent=2))
        elif not blocks:
            print(f"lesson {lesson.id} asks nothing")
        elif sys.stdin.isatty() and sys.stdout.isatty():
            _ask(reading, lesson, blocks)
        else:
            for block in blocks:
                print("\n".join(render.quiz_lines(_quiz(block))))
                print(f"  -> meshlab quiz {lesson.id}/{block.id} ANSWER\n")
    return 0


def run_next(arguments: argparse.Namespace) -> int:
    """Say what comes next, and the command for it."""
    from meshlab.course.outline import outline

    with reading_of(arguments) as reading:
        following = outline(reading.course, reading.progress).next()
    command = ""
    if following.exercise:
        command = f"meshlab start {following.exercise}"
    elif following.lesson:
        command = f"meshlab lesson {following.lesson} --step {following.step}"
    if arguments.output == "json":
        values = {name: getattr(following, name) for name in ("sentence", "lesson", "step", "exercise")}
        print(json.dumps(values | {"command": command}, indent=2))
    else:
        print(following.sentence + (f"\n  {command}" if command else ""))
    return 0


def run_goto(arguments: argparse.Namespace) -> int:
    """Put the learner somewhere: an exercise is set up as by start; `next` goes on from there."""
    from meshlab.cli import exercises

    course = course_of(arguments)
    kind, _, name = arguments.id.rpartition("/")
    if kind not in ("", "lesson", "exercise"):
        raise UsageError(
            f'"{arguments.id}" names neither a lesson nor an exercise', hint="ID, lesson/ID or exercise/ID"
        )
    if kind == "exercise" or (not kind and name in course.exercise_files):
        arguments.exercise = name
        exercises.run_start(arguments)
        with reading_of(arguments) as reading:
            lesson_id = course.sample(name).lesson
            if lesson_id in course.lessons:
                reading.go_to(course.lessons[lesson_id], name)
        return 0
    with reading_of(arguments) as reading:
        reading.go_to(course.lesson(name))
    return run_next(argparse.Namespace(**vars(arguments) | {"output": "text"}))


def _question(reading: Reading, text: str, role: Any) -> tuple[Lesson, Block]:
    """The lesson and the block that ``LESSON/QUESTION`` names."""
    lesson_id, slash, block_id = text.partition("/")
    if not slash or not block_id:
        raise UsageError(f'"{text}" does not name a question', hint="LESSON/QUESTION; meshlab lesson LESSON shows both")
    lesson = reading.lesson(lesson_id)
    return lesson, lesson.block(role, block_id)


def _quiz(block: Block) -> Any:
    return block.question


def _quiz_json(block: Block, last: QuizResult | None) -> dict[str, Any]:
    """A question without its answer, unless it was answered."""
    quiz = _quiz(block)
    answered = None
    if last is not None:
        answered = {
            "right": last.right,
            "answer": list(last.answer),
            "tries": last.tries,
            "expected": last.expected,
            "why": last.why,
            "choices": [
                {"key": each.key, "chosen": each.chosen, "right": each.right, "why": each.why} for each in last.choices
            ],
        }
    return {
        "id": block.id,
        "kind": quiz.kind,
        "ask": quiz.ask,
        "choices": [{"key": option.key, "say": option.say} for option in quiz.options],
        "unit": quiz.unit,
        "answered": answered,
    }


def _ask(reading: Reading, lesson: Lesson, blocks: list[Block]) -> None:
    """Ask a person each question until it is answered; an empty line leaves it, the end of input leaves all."""
    from meshlab.cli import render

    right = 0
    for number, block in enumerate(blocks, 1):
        print(f"\n{number} of {len(blocks)}")
        print("\n".join(render.quiz_lines(_quiz(block))))
        while True:
            print("> ", end="", flush=True)
            line = sys.stdin.readline()
            if not line.strip():
                break
            try:
                result = reading.answer_quiz(lesson, block, line)
            except UsageError as error:
                print(f"{error.message} ({error.hint})" if error.hint else error.message)
                continue
            render.quiz_result(result)
            right += result.right
            break
        if not line:
            break
    print(f"\n{right} of {len(blocks)} right")
