"""The five verdicts, the four rungs of the ladder, and what a verdict says to a learner.

A verdict always carries a stable ``code`` (``split.no-cluster``) beside its words, and four sentences: *found*,
*wanted*,
*why*, *try*. Only PASS and FAIL are judged; PENDING is bounded by the task's ``within``, INCONCLUSIVE by a budget,
and ERROR never costs points.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

Outcome = Literal["PASS", "FAIL", "PENDING", "INCONCLUSIVE", "ERROR"]
Rung = Literal["declared", "accepted", "pushed", "observed"]
Blame = Literal["learner", "lab", "nobody"]

RUNGS: tuple[Rung, ...] = ("declared", "accepted", "pushed", "observed")

MARKS: dict[Outcome, str] = {"PASS": "✔", "FAIL": "✘", "PENDING": "…", "INCONCLUSIVE": "?", "ERROR": "!"}
"""One character for each outcome, the same wherever verdicts are shown to people."""

_SEVERITY: dict[Outcome, int] = {"PASS": 0, "INCONCLUSIVE": 1, "PENDING": 2, "FAIL": 3, "ERROR": 4}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a check concluded.

    Attributes:
        outcome: one of the five.
        code: stable identifier, ``family.what``; the same for as long as the meaning is the same.
        rung: where on the ladder the check stopped; for PASS the last one.
        found: what was seen.
        wanted: what the task asks for.
        why: the cause, as far as the evidence shows it.
        hint: what to try, as a question or a pointer; printed under *try*.
        notes: stable ids that choose debrief texts.
        blame: whose a PENDING verdict becomes when its time is over: FAIL for the learner, ERROR for the lab.
    """

    outcome: Outcome
    code: str
    rung: Rung
    found: str
    wanted: str = ""
    why: str = ""
    hint: str = ""
    notes: tuple[str, ...] = ()
    blame: Blame = "learner"

    def overdue(self, seconds: float) -> Verdict:
        """What a PENDING verdict becomes when ``within`` is over; any other is unchanged."""
        if self.outcome != "PENDING":
            return self
        outcome: Outcome = "FAIL" if self.blame == "learner" else "ERROR"
        return replace(self, outcome=outcome, why=f"{self.why} (still so after {seconds:g} s)".strip())

    def to_json(self) -> dict[str, Any]:
        """The verdict's own fields, as records and reports carry them."""
        return {
            "verdict": self.outcome,
            "code": self.code,
            "rung": self.rung,
            "found": self.found,
            "wanted": self.wanted,
            "why": self.why,
            "try": self.hint,
            "notes": list(self.notes),
            "blame": self.blame,
        }


@dataclass(frozen=True, slots=True)
class NeedMore:
    """The evidence does not decide yet.

    Attributes:
        requests: how many more requests are worth sending now.
        otherwise: the verdict if the budget does not allow any more: the rung *pushed* decides then, and it says so.
    """

    requests: int
    otherwise: Verdict


def passed(code: str, found: str, *, rung: Rung = "observed", wanted: str = "", notes: tuple[str, ...] = ()) -> Verdict:
    """The effect is there."""
    return Verdict("PASS", code, rung, found, wanted, notes=notes, blame="nobody")


def failed(
    code: str, rung: Rung, *, found: str, wanted: str, why: str, hint: str, notes: tuple[str, ...] = ()
) -> Verdict:
    """The effect is not there, and the learner's objects are the cause."""
    return Verdict("FAIL", code, rung, found, wanted, why, hint, notes)


def pending(
    code: str, rung: Rung, *, found: str, wanted: str, why: str, hint: str, blame: Blame = "learner"
) -> Verdict:
    """Not converged yet; ``blame`` says whose fault it is if it never does."""
    return Verdict("PENDING", code, rung, found, wanted, why, hint, blame=blame)


def lab_error(code: str, found: str, why: str, hint: str = "", rung: Rung = "declared") -> Verdict:
    """The lab or the cluster failed; no points are lost."""
    return Verdict("ERROR", code, rung, found, "", why, hint or "no points are lost; try again", blame="lab")


def worst(verdicts: list[Verdict]) -> Verdict:
    """The verdict that decides for a task with several checks: ERROR, FAIL, PENDING, INCONCLUSIVE, PASS."""
    return max(verdicts, key=lambda verdict: _SEVERITY[verdict.outcome])


def ladder(verdict: Verdict) -> list[tuple[Rung, Outcome | None]]:
    """Each rung with what became of it: PASS below the one where the verdict stands, None above it."""
    reached = RUNGS.index(verdict.rung)
    return [
        (rung, "PASS" if index < reached else verdict.outcome if index == reached else None)
        for index, rung in enumerate(RUNGS)
    ]


def sentences(verdict: Verdict) -> list[tuple[str, str]]:
    """(label, text) of what a verdict says: *found*, *wanted*, *why*, *try*; empty ones are left out."""
    pairs = (("found", verdict.found), ("wanted", verdict.wanted), ("why", verdict.why), ("try", verdict.hint))
    return [(label, text) for label, text in pairs if text]
