"""One task under live judgement: its verdict, how long it has been pending, and when to look at it again.

Pure: the clock's readings come from outside.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from meshlab.course.model import Task
from meshlab.grading.engine import TaskResult
from meshlab.grading.verdicts import Verdict

PENDING_S = 0.5
FIRST_AGAIN_S, LAST_AGAIN_S = 2.0, 15.0
DUTY = 0.05
"""The most of the time that looks which nothing asked for may take."""
IDLE_DOUBLINGS = 5

Overdue = Callable[[Verdict, float], Verdict]
"""What a PENDING verdict becomes when its seconds are over."""


@dataclass(slots=True)
class Track:
    """The state of one task.

    Attributes:
        task: the task.
        result: of the last look, with the verdict that is shown; None before the first.
        changed_at: when outcome or code last changed.
        pending_since: since when it has been pending for the same cause.
        checking: whether it is being looked at.
    """

    task: Task
    changed_at: float
    result: TaskResult | None = None
    pending_since: float | None = None
    checking: bool = False
    _cause: str = ""
    _looked_at: float | None = None
    _repeats: int = 0

    @property
    def verdict(self) -> Verdict | None:
        """The verdict that is shown."""
        return self.result.verdict if self.result else None

    @property
    def mark(self) -> tuple[str, str]:
        """Outcome and code: what counts as a change."""
        return (self.verdict.outcome, self.verdict.code) if self.verdict else ("", "")

    def take(self, result: TaskResult, now: float, overdue: Overdue) -> bool:
        """Take in the result of one look; returns whether outcome or code changed."""
        before, raw = self.mark, result.verdict
        if raw.outcome != "PENDING":
            self.pending_since, self._cause = None, ""
        else:
            if self.pending_since is None or raw.code != self._cause:
                self.pending_since, self._cause = now, raw.code
            if now - self.pending_since >= self.task.within_s:
                result = _with_verdict(result, overdue(raw, self.task.within_s))
        self.result, self._looked_at = result, now
        if self.mark == before:
            self._repeats += 1
            return False
        self._repeats, self.changed_at = 0, now
        return True

    def disturb(self, *, changed: bool) -> None:
        """Follow closely again; if something changed, what is pending may take its time anew."""
        self._repeats = 0
        if changed:
            self.pending_since = None

    def due(self, idle_look_s: float) -> float:
        """When to look again if nothing asks for it before."""
        if self.result is None or self._looked_at is None:
            return 0.0
        cost = self.result.seconds
        match self.result.verdict.outcome:
            case "PENDING":
                return self._looked_at + max(PENDING_S, cost)
            case "PASS":
                wait = idle_look_s * 2.0 ** min(self._repeats, IDLE_DOUBLINGS)
            case _:
                wait = min(FIRST_AGAIN_S * 1.5**self._repeats, LAST_AGAIN_S)
        return self._looked_at + max(wait, cost / DUTY)


def _with_verdict(result: TaskResult, verdict: Verdict) -> TaskResult:
    """The result with its decisive check's verdict replaced."""
    checks = tuple(
        replace(check, verdict=verdict) if check.verdict == result.verdict else check for check in result.checks
    )
    return replace(result, verdict=verdict, checks=checks)
