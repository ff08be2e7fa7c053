"""Draws a lesson in a terminal: Markdown by rich, with what a reader can do marked beside each block."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.markdown import Markdown

from meshlab.course.model import Lesson


def lesson_text(lesson: Lesson) -> None:
    """Print a lesson; blocks that only instructors see are left out."""
    console = Console()
    console.print(Markdown(f"# {lesson.title}\n\n{lesson.intro}"))
    for step in lesson.steps:
        console.print(Markdown(f"\n## {step.title}\n\n{_for_readers(step.markdown)}"))


def lesson_json(lesson: Lesson) -> dict[str, Any]:
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
            for step in lesson.steps
        ],
    }


def _for_readers(markdown: str) -> str:
    """The Markdown with questions as text instead of YAML, and without what is for the TUI or the instructor."""
    import yaml

    lines: list[str] = []
    fence: list[str] | None = None
    role = ""
    for line in markdown.splitlines():
        if fence is None and line.startswith("```"):
            words = line.strip("`").split()
            role = next((word.partition("=")[0] for word in words[1:]), "")
            fence = [line]
        elif fence is not None and line.startswith("```"):
            content = "\n".join(fence[1:])
            if role in ("predict", "quiz"):
                lines += _question(yaml.safe_load(content))
            elif role == "exercise":
                identifier = next(word.partition("=")[2] for word in fence[0].split() if word.startswith("id="))
                lines += [
                    f"**Exercise `{identifier}`**: `meshlab start {identifier}`, then `meshlab check {identifier}`"
                ]
            elif role != "instructor":
                language = next(iter(fence[0].strip("`").split()), "")
                lines += [f"```{language}", content, "```"]
            fence = None
        elif fence is not None:
            fence.append(line)
        else:
            lines.append(line)
    return "\n".join(lines)


def _question(data: dict[str, Any]) -> list[str]:
    lines = ["", f"> **{data['ask']}**", ">"]
    choices = data.get("choices") or []
    if isinstance(choices, dict):
        lines += [f"> - {letter}) {text}" for letter, text in choices.items()]
    else:
        lines += [f"> - {choice['say']}" for choice in choices]
    return [*lines, ""]
