"""Somebody at a terminal: types, presses keys, and waits until the screen says something. Reads nothing but the screen."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import TypeVar

from tests.support.terminals import Terminal

T = TypeVar("T")

PATIENCE_S = 60.0
GLANCE_S = 1.0
SCROLLS = 20
BATCH = 24
"""How many characters a person types at once."""


class Person:
    """A person who looks at a terminal.

    Args:
        terminal: where.
    """

    def __init__(self, terminal: Terminal) -> None:
        self.terminal = terminal

    @property
    def screen(self) -> str:
        """What stands there now."""
        return "\n".join(self.terminal.rows())

    def until(self, probe: Callable[[str], T | None], *, what: str, within_s: float = PATIENCE_S) -> T:
        """Look until a probe of the screen's text gives something true; the value."""
        deadline = time.monotonic() + within_s
        while True:
            screen = self.screen
            value = probe(screen)
            if value:
                return value
            assert self.terminal.is_open, f"the program has ended, and never: {what}. The last screen:\n{screen}"
            assert time.monotonic() < deadline, f"not within {within_s:g} s: {what}. The last screen:\n{screen}"
            self.terminal.wait(GLANCE_S)

    def sees(self, *texts: str, within_s: float = PATIENCE_S) -> None:
        """Wait until all these texts stand on one screen, wherever their lines are broken."""
        self.until(
            lambda screen: all(text in screen or text in self.read(screen) for text in texts),
            what=" and ".join(map(repr, texts)),
            within_s=within_s,
        )

    def sees_no_more(self, text: str, within_s: float = PATIENCE_S) -> None:
        """Wait until a text is gone."""
        self.until(lambda screen: text not in screen, what=f"{text!r} goes away", within_s=within_s)

    def finds(self, pattern: str, *, pane: str = "", within_s: float = PATIENCE_S) -> re.Match[str]:
        """Wait until something on the screen, or in one of its panes, matches; breaks of lines count as blanks."""
        return self.until(
            lambda screen: re.search(pattern, self.read(screen, pane)), what=f"/{pattern}/", within_s=within_s
        )

    def browses(self, pattern: str, *, pane: str) -> re.Match[str]:
        """Scroll through the focused pane from its beginning until something in it matches."""
        self.press("home")
        for _ in range(SCROLLS):
            # What is to be seen may take a moment to be painted.
            deadline = time.monotonic() + GLANCE_S
            while time.monotonic() < deadline:
                found = re.search(pattern, self.read(self.screen, pane))
                if found:
                    return found
                self.terminal.wait(GLANCE_S)
            self.press(*["down"] * 4)
        raise AssertionError(f"nothing in {pane} matches /{pattern}/. The last screen:\n{self.screen}")

    @staticmethod
    def read(screen: str, pane: str = "") -> str:
        """The words in reading order, of the pane whose frame is titled so if there is one with a frame."""
        rows = screen.splitlines()
        for y, row in enumerate(rows):
            head = re.search(rf"╭─ {re.escape(pane)}[^╮]*╮", row) if pane else None
            if head:
                below = (row[head.start() + 1 : head.end() - 1] for row in rows[y + 1 :])
                edges = [row[head.start() : head.start() + 1] for row in rows[y + 1 :]]
                height = next((index for index, edge in enumerate(edges) if edge == "╰"), len(edges))
                rows = list(below)[:height]
                break
        return " ".join(" ".join(rows).split())

    def press(self, *keys: str) -> None:
        """Press keys, one after the other."""
        for key in keys:
            self.terminal.press(key)

    def types(self, text: str) -> None:
        """Type lines, each ended by Enter."""
        for line in text.strip("\n").split("\n"):
            for start in range(0, len(line), BATCH):
                self.terminal.send(line[start : start + BATCH])
            self.terminal.press("enter")

    def leaves(self, within_s: float = PATIENCE_S) -> None:
        """Wait until the program has ended."""
        # Not `until`: the program may end between a look and the question whether it has.
        deadline = time.monotonic() + within_s
        while self.terminal.is_open:
            screen = self.screen
            assert time.monotonic() < deadline, f"the program goes on; its screen:\n{screen}"
            self.terminal.wait(GLANCE_S)
