"""What happened since the last look, coalesced: many threads put in, one takes out."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

QUIET_S = 0.15
PATIENCE_S = 1.0


@dataclass(frozen=True, slots=True)
class Mail:
    """What was taken out.

    Attributes:
        changed: something that is judged changed.
        nudged: somebody asked for a look.
        reload: the attempt itself changed.
    """

    changed: bool = False
    nudged: bool = False
    reload: bool = False

    def __bool__(self) -> bool:
        return self.changed or self.nudged or self.reload


class Mailbox:
    """Collects reasons to look until they have been quiet for a moment, or the first has waited long enough."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._condition = threading.Condition()
        self._mail = Mail()
        self._first = self._last = 0.0
        self._closed = False

    @property
    def changed(self) -> bool:
        """Whether a look that is under way is overtaken, or nobody waits for it any more."""
        return self._mail.changed or self._mail.reload or self._closed

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return self._closed

    def put(self, *, changed: bool = False, nudged: bool = False, reload: bool = False) -> None:
        """Put a reason in."""
        with self._condition:
            now = self._clock()
            self._first = self._first if self._mail else now
            self._last = now
            before = self._mail
            self._mail = Mail(before.changed or changed, before.nudged or nudged, before.reload or reload)
            self._condition.notify_all()

    def close(self) -> None:
        """Wake the taker for good."""
        with self._condition:
            self._closed = True
            self._condition.notify_all()

    def take(self, until: float) -> Mail:
        """Wait for reasons, at most until that moment; empty if it came, or the box was closed."""
        with self._condition:
            while not self._closed:
                now = self._clock()
                ripe = min(self._last + QUIET_S, self._first + PATIENCE_S) if self._mail else until
                if ripe <= now:
                    break
                self._condition.wait(None if ripe == math.inf else ripe - now)
            taken, self._mail = self._mail, Mail()
            return taken
