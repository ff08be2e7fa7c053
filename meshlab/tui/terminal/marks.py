"""Where commands begin and end in what a shell prints: FinalTerm's semantic prompts (OSC 133).

The shell prints four marks: A before its prompt, B behind it (what follows is typed by a person), C when a command
starts, `D;STATUS` when it has ended. `MarkScanner` finds them in a byte stream, cut anywhere. `CommandTracker` folds
them into "a command is running" and "a command ended". Anything that a program prints may look like a mark, so all this
is a hint: nothing is decided by it but when to look.

Semantic prompts: https://gitlab.freedesktop.org/Per_Bothner/specifications/blob/master/proposals/semantic-prompts.md
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

_LONGEST = 256
_MARK = re.compile(rb"\x1b\]133;([ABCD])(?:;([^\x07\x1b]{0,200}))?(?:\x07|\x1b\\)")
_BEGUN = re.compile(rb"\x1b(?:\](?:1(?:3(?:3(?:;[^\x07\x1b]{0,200}\x1b?)?)?)?)?)?\Z")
"""The end of a piece of output that may turn out to be a mark."""


class MarkKind(Enum):
    """Which of the four."""

    PROMPT = "A"
    INPUT = "B"
    STARTED = "C"
    ENDED = "D"


@dataclass(frozen=True, slots=True)
class Mark:
    """One mark; `status` is the exit status that an ENDED carries, if it does."""

    kind: MarkKind
    status: int | None = None


class MarkScanner:
    """Cuts a stream of bytes behind every mark, so that each can be judged with the screen as it was just then."""

    def __init__(self) -> None:
        self._held = b""

    def split(self, data: bytes) -> Iterator[tuple[bytes, Mark | None]]:
        """Pass on `data` in pieces.

        Args:
            data: what came next; bytes may be withheld when they could be the beginning of a mark.

        Yields:
            Bytes, and the mark that they end with, if they do.
        """
        data = self._held + data
        self._held = b""
        position = 0
        for match in _MARK.finditer(data):
            status = (match[2] or b"").split(b";")[0]
            kind = MarkKind(match[1].decode())
            number = int(status) if kind is MarkKind.ENDED and status.isdigit() and len(status) < 4 else None
            yield data[position : match.end()], Mark(kind, number)
            position = match.end()
        rest = data[position:]
        begun = _BEGUN.search(rest, max(0, len(rest) - _LONGEST))
        cut = begun.start() if begun else len(rest)
        self._held = rest[cut:]
        if cut:
            yield rest[:cut], None


@dataclass(frozen=True, slots=True)
class Finished:
    """A command ended."""

    command: str
    exit_code: int | None


class CommandTracker:
    """Is the shell at its prompt, and what does it run?

    A shell that cannot announce a start (plain `sh`) is helped: as long as no C has been seen, Enter at the prompt
    counts as a start when something is typed there.
    """

    def __init__(self) -> None:
        self.command = ""
        """What runs, as far as it could be read off the screen."""
        self.busy = False
        """Whether a command runs."""
        self.at_prompt = False
        """Whether the shell waits for a line; False until its first prompt."""
        self.prompted = False
        """Whether there has been a prompt at all."""
        self._announces = False

    def entered(self, typed: str) -> None:
        """Enter was pressed while `typed` stood at the prompt."""
        if self.at_prompt and typed and not self._announces:
            self._start(typed)

    def mark(self, mark: Mark, typed: str) -> Finished | None:
        """Take a mark into account.

        Args:
            mark: the mark.
            typed: what stood behind the last prompt when it came.

        Returns:
            The command that has ended with this mark, if one has.
        """
        if mark.kind is MarkKind.STARTED:
            self._announces = True
            # Told again by the shell: the text it had at Enter is as good.
            self._start(typed or self.command)
        elif mark.kind is MarkKind.INPUT:
            self.at_prompt = self.prompted = True
            self.busy = False
        elif mark.kind is MarkKind.ENDED and self.busy:
            self.busy = False
            return Finished(self.command, mark.status)
        return None

    def _start(self, command: str) -> None:
        self.busy, self.at_prompt, self.command = True, False, command
