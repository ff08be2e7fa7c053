"""How a verdict looks: its mark and colour, the ladder, and the four sentences. Pure; widgets and tests read it."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text
from textual.content import Content

from meshlab.grading.verdicts import MARKS, Outcome, Verdict, ladder, sentences

COLOURS: dict[Outcome, str] = {
    "PASS": "$text-success",
    "FAIL": "$text-error",
    "PENDING": "$text-warning",
    "INCONCLUSIVE": "$text-warning",
    "ERROR": "$text-accent",
}
WORDS: dict[Outcome, str] = {
    "PASS": "passes",
    "FAIL": "not yet",
    "PENDING": "waiting",
    "INCONCLUSIVE": "undecided",
    "ERROR": "the lab failed; no points are lost",
}
UNKNOWN_MARK = "·"
LABEL_WIDTH = 6


def mark(verdict: Verdict | None) -> Content:
    """One coloured character."""
    if verdict is None:
        return Content.styled(UNKNOWN_MARK, "$text-muted")
    return Content.styled(MARKS[verdict.outcome], f"bold {COLOURS[verdict.outcome]}")


def ladder_line(verdict: Verdict) -> Content:
    """``declared ✔ ─ accepted ✔ ─ pushed ✘ ─ observed ·``: how far it got, and what would come next."""
    parts: list[Content] = []
    for rung, outcome in ladder(verdict):
        if parts:
            parts.append(Content.styled(" ─ ", "$text-muted"))
        if outcome is None:
            parts.append(Content.styled(f"{rung} {UNKNOWN_MARK}", "$text-muted"))
        else:
            parts.append(Content.styled(f"{rung} {MARKS[outcome]}", COLOURS[outcome]))
    return Content.assemble(*parts)


def sentence_table(verdict: Verdict) -> Table:
    """*found*, *wanted*, *why*, *try* in two columns; what passes needs only what was found."""
    table = Table.grid(padding=(0, 1), expand=True)
    table.add_column(width=LABEL_WIDTH, style="dim")
    table.add_column(ratio=1)
    for label, text in sentences(verdict):
        if verdict.outcome != "PASS" or label == "found":
            table.add_row(label, Text(text))
    return table
