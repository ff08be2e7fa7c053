"""The questions of a lesson as typed values: what is asked, how an answer is read, and when it is right.

The loader makes a `Predict` or a `Quiz` of each such block, so that whoever draws a lesson never touches its YAML.
Everything here is pure. Choices and items are named by letters in the order in which they are shown, on a screen and
on the command line alike.
"""

from __future__ import annotations

import hashlib
import re
import string
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from meshlab.errors import UsageError

QuizKind = Literal["one", "many", "number", "order"]
LETTERS = string.ascii_lowercase
NUMBER = re.compile(r"[-+]?[0-9]{1,15}(\.[0-9]{1,15})?")


@dataclass(frozen=True, slots=True)
class Observe:
    """How to see what the lab did: run a block, search its output, compare what the pattern's group caught."""

    run: str
    pattern: re.Pattern[str]
    is_: dict[str, str]
    """Value by choice."""


@dataclass(frozen=True, slots=True)
class Predict:
    """A question about what will happen, asked before it does."""

    id: str
    before: str
    ask: str
    choices: dict[str, str]
    """Text by key, in the order in which they are shown."""
    because: str
    observe: Observe | None = None

    def choice(self, text: str) -> str:
        """The key of a choice, given as the learner typed it.

        Raises:
            UsageError: the question has no such choice.
        """
        for key in self.choices:
            if text.strip().casefold() == key.casefold():
                return key
        raise UsageError(f'"{text}" is not a choice of {self.id}', hint=f"choices: {', '.join(self.choices)}")

    def observed(self, output: str) -> tuple[str, str | None] | None:
        """What the output shows and which choice names it; None if the pattern finds nothing in it."""
        found = self.observe and self.observe.pattern.search(output)
        if not self.observe or not found:
            return None
        value = next((group for group in found.groups() if group is not None), found[0])
        return value, next((key for key, wanted in self.observe.is_.items() if wanted == value), None)


@dataclass(frozen=True, slots=True)
class Option:
    """One choice of a quiz, or one item to be put in order (which is neither right nor wrong by itself)."""

    key: str
    say: str
    right: bool = False
    why: str = ""


@dataclass(frozen=True, slots=True)
class Quiz:
    """A question with an answer: one choice, several, a number, or an order."""

    id: str
    kind: QuizKind
    ask: str
    options: tuple[Option, ...] = ()
    """As shown: choices in the file's order, items to be ordered shuffled."""
    answer: tuple[str, ...] = ()
    """The keys that are right, in their order; the number itself for ``number``."""
    tolerance: Decimal = Decimal(0)
    unit: str = ""
    why: str = ""

    @property
    def answer_text(self) -> str:
        """The right answer in words."""
        if self.kind == "number":
            around = f" ± {self.tolerance.normalize():f}" if self.tolerance else ""
            return f"{self.answer[0]}{around}{' ' + self.unit if self.unit else ''}"
        says = {option.key: option.say for option in self.options}
        return (" → " if self.kind == "order" else "; ").join(says[key] for key in self.answer)

    def read(self, answer: str | Sequence[str]) -> tuple[str, ...]:
        """An answer as keys (or as one number), from a list of keys or from what was typed: ``b``, ``a c``, ``20 %``.

        Raises:
            UsageError: it does not answer this question.
        """
        if self.kind == "number":
            text = answer if isinstance(answer, str) else " ".join(answer)
            return (_number(text, self.unit),)
        if isinstance(answer, str):
            typed = re.sub(r"[\s,;>]+", "", answer.casefold())
            keys: tuple[str, ...] = tuple(typed)
        else:
            keys = tuple(answer)
        known = [option.key for option in self.options]
        for key in keys:
            if key not in known:
                raise UsageError(f'"{key}" is not a choice of {self.id}', hint=f"choices: {', '.join(known)}")
        if len(set(keys)) < len(keys):
            raise UsageError("each letter counts once", hint=f"choices: {', '.join(known)}")
        if self.kind == "one" and len(keys) != 1:
            raise UsageError("exactly one choice is wanted", hint=f"choices: {', '.join(known)}")
        if self.kind == "order" and len(keys) != len(known):
            raise UsageError("every letter is wanted, in the right order", hint=f"items: {', '.join(known)}")
        return tuple(sorted(keys)) if self.kind == "many" else keys

    def is_right(self, answer: Sequence[str]) -> bool:
        """Whether an answer, as `read` returned it, is right."""
        if self.kind == "number":
            return abs(Decimal(answer[0]) - Decimal(self.answer[0])) <= self.tolerance
        return tuple(answer) == self.answer


def choices(entries: Sequence[tuple[str, bool, str]]) -> tuple[Option, ...]:
    """Options for what a file lists as (say, right, why)."""
    return tuple(Option(LETTERS[index], *entry) for index, entry in enumerate(entries))


def shuffled(items: Sequence[str], seed: str) -> tuple[Option, ...]:
    """The items in an order that is always the same for a seed, and not the right one."""
    order = sorted(items, key=lambda item: hashlib.sha256(f"{seed}\x1f{item}".encode()).digest())
    if order == list(items):
        order.append(order.pop(0))
    return tuple(Option(LETTERS[index], item) for index, item in enumerate(order))


def _number(text: str, unit: str) -> str:
    bare = text.strip().removesuffix(unit.strip()).removesuffix("%").strip()
    if not NUMBER.fullmatch(bare):
        raise UsageError(f'"{text}" is not a number', hint="write it with digits, such as 20 or 0.5")
    return bare
