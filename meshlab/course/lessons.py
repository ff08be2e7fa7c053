"""Reads a lesson: CommonMark with front matter, one step per level-2 heading, fenced blocks with a role."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from pathlib import Path

from markdown_it import MarkdownIt

from meshlab.course.fences import read_fence, refuse_twins
from meshlab.course.model import Block, Lesson, Step
from meshlab.course.variables import render
from meshlab.course.yamlfile import IDENTIFIER, YamlFile, parse, read_text
from meshlab.errors import CourseError

SCHEMA = "meshlab.lesson/1"

_FRONT_MATTER = re.compile(r"\A---\n(.*?)\n---\n", re.S)
_STEP_MARK = re.compile(r"<!--\s*step:\s*([^>]*?)\s*-->")
_FRONT_KEYS = ["schema", "id", "title", "minutes", "objectives", "exercises", "checked", "sources", "aliases"]
_REQUIRED = ["schema", "id", "title", "minutes"]


def load_lesson(path: Path, values: Mapping[str, str] | None = None) -> Lesson:
    """Read one lesson.

    Args:
        path: the Markdown file.
        values: what ``{{name}}`` stands for; None leaves placeholders as they are.

    Raises:
        CourseError: the file is malformed; the message names file, line and key.
    """
    text = read_text(path)
    if values is not None:
        text = render(text, values, where=str(path))
    front, end = _front_matter(path, text)
    identifier = front.identifier(("id",))
    offset = text.count("\n", 0, end)
    intro, steps = _steps(text[end:], path, offset, seed=identifier)
    refuse_twins([block for step in steps for block in step.blocks], path)
    return Lesson(
        id=identifier,
        title=front.line(("title",)),
        path=path,
        minutes=front.count(("minutes",)),
        objectives=front.strings(("objectives",)),
        exercises=front.identifiers(("exercises",)),
        intro=intro,
        steps=steps,
        sources=_sources(front),
        checked=_checked(front),
        aliases=front.identifiers(("aliases",)),
    )


def lesson_id(path: Path) -> str:
    """The id of a lesson; of the file no more than its front matter is parsed.

    Raises:
        CourseError: the front matter is malformed.
    """
    front, _ = _front_matter(path, read_text(path))
    return front.identifier(("id",))


def _front_matter(path: Path, text: str) -> tuple[YamlFile, int]:
    """The front matter, and where in the text it ends."""
    head = _FRONT_MATTER.match(text)
    if head is None:
        raise CourseError(f"{path}:1: a lesson begins with front matter between two lines of ---")
    front = parse(head[1], path, first_line=2)
    top = front.mapping((), _FRONT_KEYS, _REQUIRED)
    if top["schema"] != SCHEMA:
        raise front.fail(("schema",), f"must be {SCHEMA}")
    return front, head.end()


def _sources(front: YamlFile) -> tuple[str, ...]:
    sources = front.strings(("sources",))
    for index, source in enumerate(sources):
        if not re.fullmatch(r"https?://\S+", source):
            raise front.fail(("sources", index), "must be an address that begins with https://")
    return sources


def _checked(front: YamlFile) -> dict[str, str]:
    """Which versions the lesson was checked against, and ``on`` which day."""
    for name in front.keys(("checked",)):
        if name == "on":
            front.get(("checked", name), date)
    return {name: str(front.get(("checked", name), (str, int, float, date), "")) for name in front.keys(("checked",))}


def _steps(body: str, path: Path, offset: int, *, seed: str) -> tuple[str, tuple[Step, ...]]:
    """The text before the first step, and the steps."""
    lines = body.split("\n")
    tokens = MarkdownIt("commonmark").parse(body)
    headings = [
        (token.map[0], token.map[1], tokens[index + 1].content)
        for index, token in enumerate(tokens)
        if token.type == "heading_open" and token.tag == "h2" and token.level == 0 and token.map is not None
    ]
    if not headings:
        raise CourseError(f"{path}:{offset + 1}: a lesson needs at least one step (a level-2 heading)")
    fences: list[tuple[int, Block]] = []
    for token in tokens:
        if token.type == "fence" and token.map is not None:
            start, end = token.map
            if end - start < 2 or token.markup not in lines[end - 1]:
                raise CourseError(f"{path}:{offset + start + 1}: this fence is not closed")
            fences.append((start, read_fence(token.info, token.content, path, offset + start + 1, seed)))
    first = headings[0][0]
    for start, block in fences:
        if start < first and block.role != "show":
            raise CourseError(f"{path}:{block.line}: {block.role}: this block stands before the first step")
    ends = [start for start, _, _ in headings[1:]] + [len(lines)]
    steps: list[Step] = []
    for (start, after, content), end in zip(headings, ends, strict=True):
        title, mark = _STEP_MARK.sub("", content).strip(), _STEP_MARK.search(content)
        line = offset + start + 1
        identifier, minutes = _mark(mark[1], path, line) if mark else ("", 0)
        slug = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-") or f"step-{len(steps) + 1}"
        if any(step.id == (identifier or slug) for step in steps):
            raise CourseError(f"{path}:{line}: step {identifier or slug} stands here a second time")
        blocks = tuple(block for place, block in fences if start <= place < end)
        markdown = "\n".join(lines[after:end]).strip("\n")
        steps.append(Step(identifier or slug, title, markdown, blocks, minutes, line, bool(identifier)))
    return "\n".join(lines[:first]).strip(), tuple(steps)


def _mark(words: str, path: Path, line: int) -> tuple[str, int]:
    """Id and minutes of ``<!-- step: id minutes=4 -->``."""
    identifier, minutes = "", 0
    for word in words.split():
        key, equals, value = word.partition("=")
        if not equals and not identifier and IDENTIFIER.fullmatch(word):
            identifier = word
        elif key == "minutes" and re.fullmatch(r"[0-9]{1,3}", value):
            minutes = int(value)
        else:
            raise CourseError(f"{path}:{line}: {word}: a step's mark is <!-- step: id minutes=4 -->")
    return identifier, minutes
