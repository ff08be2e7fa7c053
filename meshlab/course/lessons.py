"""Reads a lesson: CommonMark with front matter, one step per level-2 heading, fenced blocks with a role.

The fence's first word is the language; then come the role and ``key=value`` attributes. A fence without role is shown
and can be copied, never run. Bodies of ``predict``, ``quiz`` and ``exercise`` are YAML.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from markdown_it import MarkdownIt
from markdown_it.token import Token

from meshlab.course.model import Block, BlockRole, Lesson, Step
from meshlab.course.variables import render
from meshlab.course.yamlfile import YamlFile, parse, read_text
from meshlab.errors import CourseError

SCHEMA = "meshlab.lesson/1"

_FRONT_MATTER = re.compile(r"\A---\n(.*?)\n---\n", re.S)
_STEP_MARK = re.compile(r"<!--\s*step:\s*([^>]*?)\s*-->")
_FRONT_KEYS = ["schema", "id", "title", "minutes", "objectives", "exercises", "checked", "sources", "aliases"]
_REQUIRED = ["schema", "id", "title", "minutes"]
_YAML_ROLES = {"predict", "quiz"}
_ROLES = frozenset(get_args(BlockRole)) - {"show"}
_BLOCK_KEYS: Mapping[str, tuple[list[str], list[str]]] = {
    "predict": (["ask", "choices", "observe", "because"], ["ask", "choices", "because"]),
    "quiz": (["ask", "choices", "answer", "why"], ["ask"]),
}


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
    head = _FRONT_MATTER.match(text)
    if head is None:
        raise CourseError(f"{path}:1: a lesson begins with front matter between two lines of ---")
    front = parse(head[1], path, first_line=2)
    top = front.mapping((), _FRONT_KEYS, _REQUIRED)
    if top["schema"] != SCHEMA:
        raise front.fail(("schema",), f"must be {SCHEMA}")
    offset = text.count("\n", 0, head.end())
    intro, steps = _steps(text[head.end() :], path, offset)
    return Lesson(
        id=front.get(("id",), str),
        title=front.get(("title",), str),
        path=path,
        minutes=front.get(("minutes",), int),
        objectives=front.strings(("objectives",)),
        exercises=front.strings(("exercises",)),
        intro=intro,
        steps=steps,
        sources=front.strings(("sources",)),
        checked=front.get(("checked",), dict, {}),
        aliases=front.strings(("aliases",)),
    )


def _steps(body: str, path: Path, offset: int) -> tuple[str, tuple[Step, ...]]:
    """The text before the first step, and the steps."""
    lines = body.splitlines()
    tokens = MarkdownIt("commonmark").parse(body)
    headings = [
        (token.map[0], tokens[index + 1].content)
        for index, token in enumerate(tokens)
        if token.type == "heading_open" and token.tag == "h2" and token.map is not None
    ]
    if not headings:
        raise CourseError(f"{path}:{offset + 1}: a lesson needs at least one step (a level-2 heading)")
    fences = [token for token in tokens if token.type == "fence"]
    ends = [start for start, _ in headings[1:]] + [len(lines)]
    steps = []
    seen: set[str] = set()
    for (start, content), end in zip(headings, ends, strict=True):
        title, identifier, minutes = _heading(content)
        if identifier in seen:
            raise CourseError(f"{path}:{offset + start + 1}: step {identifier} stands here a second time")
        seen.add(identifier)
        blocks = tuple(
            _block(token, path, offset) for token in fences if token.map is not None and start <= token.map[0] < end
        )
        markdown = "\n".join(lines[start + 1 : end]).strip("\n")
        steps.append(Step(identifier, title, markdown, blocks, minutes, offset + start + 1))
    return "\n".join(lines[: headings[0][0]]).strip(), tuple(steps)


def _heading(content: str) -> tuple[str, str, int]:
    """Title, id and minutes of ``Title <!-- step: id minutes=4 -->``; without a mark the id is the slug."""
    mark = _STEP_MARK.search(content)
    title = _STEP_MARK.sub("", content).strip()
    identifier = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")
    minutes = 0
    for word in mark[1].split() if mark else []:
        key, equals, value = word.partition("=")
        if not equals:
            identifier = word
        elif key == "minutes" and value.isdigit():
            minutes = int(value)
    return title, identifier, minutes


def _block(token: Token, path: Path, offset: int) -> Block:
    line = offset + (token.map[0] if token.map else 0) + 1
    try:
        language, *words = shlex.split(token.info) or [""]
    except ValueError as error:
        raise CourseError(f"{path}:{line}: the fence's words cannot be read: {error}") from error
    attributes = {key: value for key, equals, value in (word.partition("=") for word in words) if equals}
    role = _role(words)
    data = None
    if role == "exercise" and "id" not in attributes:
        raise CourseError(f"{path}:{line}: an exercise block names its exercise: id=ID")
    if role in _YAML_ROLES:
        data = _yaml_block(token.content, role, path, line)
    return Block(role, language, attributes, token.content, data, line)


def _role(words: list[str]) -> BlockRole:
    for word in words:
        name = word.partition("=")[0]
        if name in _ROLES:
            return name  # type: ignore[return-value]  # it is one of the literal's values
    return "show"


def _yaml_block(content: str, role: str, path: Path, line: int) -> Any:
    file: YamlFile = parse(content, path, first_line=line + 1)
    allowed, required = _BLOCK_KEYS[role]
    data = file.mapping((), allowed, required)
    if role == "predict":
        file.get(("choices",), dict)
        if "observe" in data:
            file.mapping(("observe",), ["run", "match", "is"], ["run", "match", "is"])
    else:
        for index in range(len(file.get(("choices",), list, []))):
            file.mapping(("choices", index), ["say", "right", "why"], ["say"])
    return data
