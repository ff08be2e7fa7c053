"""Draws a lesson in a terminal: Markdown by rich, questions as text, and beside them what a reader can type."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from markdown_it import MarkdownIt
from rich.console import Console
from rich.markdown import Markdown

from meshlab.course.blocks import Predict, Quiz
from meshlab.course.model import Block, Lesson, Step
from meshlab.course.reading import QuizResult

_HOW = {
    "one": "one letter",
    "many": "all letters that are right",
    "number": "a number",
    "order": "all letters, in the right order",
}


def lesson_text(lesson: Lesson, steps: Sequence[Step]) -> None:
    """Print steps of a lesson; blocks that only instructors see are left out."""
    console = Console()
    console.print(Markdown(f"# {lesson.title}" + (f"\n\n{lesson.intro}" if list(steps) == list(lesson.steps) else "")))
    for step in steps:
        console.print(Markdown(f"\n## {step.title}\n\n{for_readers(step, lesson.id, drawn=console.is_terminal)}"))


def lesson_json(lesson: Lesson, steps: Sequence[Step]) -> dict[str, Any]:
    """A lesson as plain data."""
    return {
        "id": lesson.id,
        "title": lesson.title,
        "minutes": lesson.minutes,
        "objectives": list(lesson.objectives),
        "exercises": list(lesson.exercises),
        "intro": lesson.intro,
        "steps": [
            {
                "id": step.id,
                "title": step.title,
                "minutes": step.minutes,
                "markdown": step.markdown,
                "blocks": [
                    {
                        "role": block.role,
                        "language": block.language,
                        "attributes": dict(block.attributes),
                        "content": block.content,
                        "line": block.line,
                    }
                    for block in step.blocks
                ],
            }
            for step in steps
        ],
    }


def for_readers(step: Step, lesson_id: str, *, drawn: bool = True) -> str:
    """A step's Markdown for people who read only.

    Args:
        step: the step.
        lesson_id: how commands name its lesson.
        drawn: False shows what a diagram says instead of the drawing.
    """
    lines = step.markdown.split("\n")
    fences = [token for token in MarkdownIt("commonmark").parse(step.markdown) if token.type == "fence" and token.map]
    # From the last to the first, so that the lines of those that are still to come stay where they are.
    for token, block in reversed(list(zip(fences, step.blocks, strict=True))):
        if token.map is not None:
            lines[slice(*token.map)] = _block_lines(block, lesson_id, lines[slice(*token.map)], drawn)
    return "\n".join(lines)


def predict_lines(question: Predict) -> list[str]:
    """What is asked, and the choices."""
    return [question.ask, *(f"  {key}) {text}" for key, text in question.choices.items())]


def quiz_lines(quiz: Quiz) -> list[str]:
    """What is asked, the choices, and what an answer looks like."""
    unit = f" ({quiz.unit})" if quiz.unit else ""
    return [quiz.ask, *(f"  {option.key}) {option.say}" for option in quiz.options), f"  [{_HOW[quiz.kind]}{unit}]"]


def quiz_result(result: QuizResult) -> None:
    """Print how an answer was judged, and why."""
    print("✔ right" if result.right else f"✘ not so; it is: {result.expected}")
    for choice in result.choices:
        if choice.why and (choice.chosen or choice.right):
            print(f"  {choice.key}) {choice.say}: {choice.why}")
    if result.why:
        print(f"  {result.why}")


def _block_lines(block: Block, lesson_id: str, lines: list[str], drawn: bool) -> list[str]:
    question = block.question
    if isinstance(question, Predict):
        return _quoted(predict_lines(question), f"meshlab predict {lesson_id}/{block.id} CHOICE")
    if isinstance(question, Quiz):
        return _quoted(quiz_lines(question), f"meshlab quiz {lesson_id}/{block.id} ANSWER")
    match block.role:
        case "instructor":
            return []
        case "exercise":
            return [f"**Exercise `{block.id}`**: `meshlab start {block.id}`, then `meshlab check {block.id}`"]
        case "diagram" if not drawn:
            return [f"*{block.attributes['alt']}*"]
        case "file":
            return [f"`{block.attributes['file']}`:", "", *_without_role(block, lines)]
    return _without_role(block, lines)


def _without_role(block: Block, lines: list[str]) -> list[str]:
    """The fence with its language alone, which is all that a Markdown viewer understands."""
    before, _, _ = lines[0].partition("```" if "```" in lines[0] else "~~~")
    fence = lines[0][len(before) :]
    marks = fence[: len(fence) - len(fence.lstrip("`~"))]
    return [f"{before}{marks}{block.language}", *lines[1:]]


def _quoted(lines: list[str], command: str) -> list[str]:
    """A question as a block quote: what is asked in bold, then the choices as they are, then how to answer."""
    ask, *rest = lines
    bold = " ".join(ask.split())
    return ["", f"> **{bold}**", ">", *(f"> - {line.strip()}" for line in rest), ">", f"> `{command}`", ""]
