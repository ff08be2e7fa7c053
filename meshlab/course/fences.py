"""One fenced block of a lesson: its role, its attributes and, if it asks something, the question.

The fence's first word is the language; then come the role and ``key=value`` attributes. What a role may carry is the
table `ROLES`; everything else is refused, so that a typo cannot turn a question into a listing.
"""

from __future__ import annotations

import difflib
import re
import shlex
from collections.abc import Collection
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, get_args

from meshlab.course.blocks import LETTERS, NUMBER, Observe, Predict, Quiz, QuizKind, choices, shuffled
from meshlab.course.model import Block, BlockRole
from meshlab.course.yamlfile import DURATION, IDENTIFIER, YamlFile, parse
from meshlab.errors import CourseError

QUIZ_KINDS: tuple[str, ...] = get_args(QuizKind)
_FILE_NAME = re.compile(r"[\w][\w .+-]*")


@dataclass(frozen=True, slots=True)
class Role:
    """What a block of this role must and may carry."""

    required: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()

    @property
    def attributes(self) -> tuple[str, ...]:
        """All of them."""
        return self.required + self.optional


ROLES: dict[BlockRole, Role] = {
    "show": Role(),
    "run": Role(("id",), ("in", "timeout")),
    "output": Role(("of",)),
    "file": Role(("file",)),
    "predict": Role(("id",), ("before",)),
    "quiz": Role(("id",), ("kind",)),
    "exercise": Role(("id",)),
    "diagram": Role(("alt",)),
    "instructor": Role(),
}
_IDENTIFIED = ("run", "predict", "quiz")
"""Roles whose blocks share one space of ids in a lesson."""


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a fence stands, for complaints."""

    path: Path
    line: int

    def fail(self, message: str, hint: str = "") -> CourseError:
        return CourseError(f"{self.path}:{self.line}: {message}", hint=hint)


def read_fence(info: str, content: str, path: Path, line: int, seed: str) -> Block:
    """One fence as a block.

    Args:
        info: the words after the backticks.
        content: what stands between the fences.
        path: the lesson's file.
        line: 1-based line of the opening fence.
        seed: what the order of a shuffled list follows from, beside the block's id.

    Raises:
        CourseError: the fence is malformed; the message names file, line and key.
    """
    place = _Place(path, line)
    try:
        language, *words = shlex.split(info) or [""]
    except ValueError as error:
        raise place.fail(f"the fence's words cannot be read: {error}") from error
    role, attributes = _words(language, words, place)
    _attributes(role, attributes, place)
    data, question = None, None
    if role in ("predict", "quiz"):
        file = parse(content, path, first_line=line + 1)
        data = file.data
        question = _predict(file, attributes) if role == "predict" else _quiz(file, attributes, place, seed)
    elif role == "exercise" and content.strip():
        raise place.fail("an exercise block is empty: its tasks stand in exercise.yaml")
    return Block(role, language, attributes, content, data, line, bool(words), question)


def refuse_twins(blocks: Collection[Block], path: Path) -> None:
    """See to it that ids are unique in a lesson.

    Raises:
        CourseError: one stands there a second time.
    """
    seen: dict[tuple[str, str], int] = {}
    for block in blocks:
        if not block.id:
            continue
        space = "block" if block.role in _IDENTIFIED else block.role
        first = seen.setdefault((space, block.id), block.line)
        if first != block.line:
            raise _Place(path, block.line).fail(f"{space} id {block.id} stands in line {first} already")


def _words(language: str, words: list[str], place: _Place) -> tuple[BlockRole, dict[str, str]]:
    if language in ROLES and language != "show" and words:
        raise place.fail(f'"{language}" stands where the language belongs', f"write ```text {language} ...")
    role: BlockRole | None = None
    attributes: dict[str, str] = {}
    for word in words:
        key, equals, value = word.partition("=")
        named: BlockRole | None = next((known for known in ROLES if known == key), None)
        if named is not None and (not equals or named == "file"):
            if role is not None:
                raise place.fail(f"{role} and {named}: a block has one role")
            role = named
        elif not equals:
            raise place.fail(f"{word}: unknown role", _near(word, ROLES))
        if equals:
            if key in attributes:
                raise place.fail(f"{key}: stands here a second time")
            attributes[key] = value
    if role is None and attributes:
        raise place.fail(f"{next(iter(attributes))}=: a block without a role has no attributes", _near("", ROLES))
    return role or "show", attributes


def _attributes(role: BlockRole, attributes: dict[str, str], place: _Place) -> None:
    for key in attributes:
        if key not in ROLES[role].attributes:
            raise place.fail(f"{key}: unknown attribute of {role}", _near(key, ROLES[role].attributes))
    for key in ROLES[role].required:
        if not attributes.get(key):
            raise place.fail(f"{role}: {key}= is missing")
    for key in ("id", "of", "before", "in"):
        if key in attributes and not IDENTIFIER.fullmatch(attributes[key]):
            raise place.fail(f"{key}: must be lower-case words joined by dashes, not {attributes[key]!r}")
    if "timeout" in attributes and not DURATION.fullmatch(attributes["timeout"]):
        raise place.fail(f'timeout: must be a duration such as "30s", not {attributes["timeout"]!r}')
    if "file" in attributes and not _FILE_NAME.fullmatch(attributes["file"]):
        raise place.fail(f"file: must be a plain file name, not {attributes['file']!r}")
    if attributes.get("kind", "one") not in QUIZ_KINDS:
        raise place.fail(
            f"kind: must be one of {', '.join(QUIZ_KINDS)}, not {attributes['kind']!r}",
            _near(attributes["kind"], QUIZ_KINDS),
        )


def _near(word: str, known: Collection[str]) -> str:
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    if near:
        return f'did you mean "{near[0]}"?'
    return f"known: {', '.join(known)}" if known else "it has none"


def _predict(file: YamlFile, attributes: dict[str, str]) -> Predict:
    file.mapping((), ["ask", "choices", "observe", "because"], ["ask", "choices", "because"])
    texts = file.texts(("choices",))
    if len(texts) < 2:
        raise file.fail(("choices",), "needs at least two choices")
    observe = None
    if file.at(("observe",)) is not None:
        file.mapping(("observe",), ["run", "match", "is"], ["run", "match", "is"])
        try:
            pattern = re.compile(file.get(("observe", "match"), str))
        except (re.error, RecursionError, OverflowError) as error:
            raise file.fail(("observe", "match"), f"not a regular expression: {error}") from error
        observe = Observe(file.get(("observe", "run"), str), pattern, _values(file, texts))
    return Predict(
        attributes["id"],
        attributes.get("before", ""),
        file.get(("ask",), str).strip(),
        texts,
        file.get(("because",), str).strip(),
        observe,
    )


def _values(file: YamlFile, texts: Collection[str]) -> dict[str, str]:
    """What the pattern's group catches, by the choice that it shows: ``is: {c: "503"}``."""
    values = file.texts(("observe", "is"))
    for key in values:
        if key not in texts:
            raise file.fail(("observe", "is", key), "is not a choice", _near(key, texts))
    if not values:
        raise file.fail(("observe", "is"), "needs the value of at least one choice")
    return values


def _quiz(file: YamlFile, attributes: dict[str, str], place: _Place, seed: str) -> Quiz:
    identifier, kind = attributes["id"], attributes.get("kind", "one")
    keys = {"number": ["answer", "tolerance", "unit"], "order": ["answer"]}.get(kind, ["choices"])
    file.mapping((), ["ask", "why", *keys], ["ask", keys[0]])
    ask, why = file.get(("ask",), str).strip(), file.get(("why",), str, "").strip()
    if kind == "number":
        answer = _plain_number(file, "answer")
        tolerance = Decimal(_plain_number(file, "tolerance")) if file.at(("tolerance",)) is not None else Decimal(0)
        if tolerance < 0:
            raise file.fail(("tolerance",), "must not be negative")
        unit = file.get(("unit",), str, "")
        return Quiz(identifier, "number", ask, answer=(answer,), tolerance=tolerance, unit=unit, why=why)
    if kind == "order":
        items = file.strings(("answer",))
        if not 2 <= len(set(items)) == len(items) <= len(LETTERS):
            raise file.fail(("answer",), f"needs two to {len(LETTERS)} different items, in the right order")
        options = shuffled(items, f"{seed}\x1f{identifier}")
        key_of = {option.say: option.key for option in options}
        return Quiz(identifier, "order", ask, options, tuple(key_of[item] for item in items), why=why)
    entries = [_choice(file, index) for index in range(len(file.get(("choices",), list)))]
    if not 2 <= len(entries) <= len(LETTERS):
        raise file.fail(("choices",), f"needs two to {len(LETTERS)} choices")
    options = choices(entries)
    right = tuple(option.key for option in options if option.right)
    if not right:
        raise place.fail("no choice of this quiz is right", "mark it: right: true")
    if kind == "one" and len(right) > 1:
        raise place.fail(f"{len(right)} choices of this quiz are right; that is kind=many")
    return Quiz(identifier, "many" if kind == "many" else "one", ask, options, right, why=why)


def _choice(file: YamlFile, index: int) -> tuple[str, bool, str]:
    file.mapping(("choices", index), ["say", "right", "why"], ["say"])
    return (
        file.text(("choices", index, "say")).strip(),
        file.get(("choices", index, "right"), bool, False),
        file.get(("choices", index, "why"), str, "").strip(),
    )


def _plain_number(file: YamlFile, key: str) -> str:
    value: Any = file.get((key,), (int, float))
    if not NUMBER.fullmatch(str(value)):
        raise file.fail((key,), "must be a plain number, such as 20 or 0.5")
    return str(value)
