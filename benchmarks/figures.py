"""What a benchmark prints: one line per figure, with its distribution and its bound."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

HEADING = f"{'':<50}{'n':>5}{'median':>10}{'p95':>10}{'max':>10}"


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the result.

    Attributes:
        name: what was measured.
        values: every measurement.
        unit: of the values.
        bound: what must not be reached, if anything must not.
        of: which number of the distribution the bound is for.
    """

    name: str
    values: Sequence[float]
    unit: str
    bound: float | None = None
    of: Literal["median", "p95", "max"] = "max"

    @property
    def numbers(self) -> dict[str, float]:
        """Median, 95th percentile and the largest."""
        values = sorted(self.values)
        p95 = values[min(len(values) - 1, round(0.95 * (len(values) - 1)))]
        return {"median": statistics.median(values), "p95": p95, "max": values[-1]}

    @property
    def missed(self) -> bool:
        """Whether the bound is missed."""
        return self.bound is not None and self.numbers[self.of] >= self.bound

    def line(self) -> str:
        """The line: number of values, median, 95th percentile, the largest, the bound."""
        said = "" if self.of == "max" else f" for {self.of}"
        verdict = "" if self.bound is None else f"bound {self.bound:g}{said} {'MISSED' if self.missed else 'kept'}"
        columns = "".join(
            f"{number:>10.{3 if number < 10 else 1 if number < 1000 else 0}f}" for number in self.numbers.values()
        )
        return f"{self.name:<50}{len(self.values):>5}{columns}  {self.unit:<7}{verdict}"
