"""Columns as Go's tabwriter lays them out: each as wide as its longest cell, plus padding; the last one ragged."""

from __future__ import annotations

from collections.abc import Sequence


def columns(rows: Sequence[Sequence[str]], *, padding: int) -> str:
    """The rows as text, one line each, with a trailing newline."""
    if not rows:
        return ""
    count = max(len(row) for row in rows)
    widths = [max((len(row[i]) for row in rows if i < len(row) - 1), default=0) + padding for i in range(count)]
    lines = []
    for row in rows:
        *padded, last = row
        lines.append("".join(cell.ljust(widths[i]) for i, cell in enumerate(padded)) + last)
    return "\n".join(lines) + "\n"
