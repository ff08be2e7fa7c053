"""Fortio's statistics: counters, histograms with its own bucket limits, and percentiles interpolated in buckets.

Source: https://github.com/fortio/fortio, the documentation of ``-r`` and ``-offset``.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

LIMITS = (
    *range(12),
    *range(12, 20, 2),
    *range(20, 50, 5),
    *range(50, 100, 10),
    *range(100, 200, 20),
    *range(200, 500, 50),
    *range(500, 1000, 100),
    *range(1000, 2000, 200),
    *range(2000, 5000, 500),
    *range(5000, 10000, 1000),
    *range(10000, 20000, 2000),
    *range(20000, 50000, 5000),
    *range(50000, 100001, 10000),
)
"""Upper limits of the buckets, in units of the resolution."""


def number(value: float) -> str:
    """A number as Go's ``%g`` prints it."""
    text = f"{value:.10g}"
    return text if "e" not in text else f"{value:.6g}"


@dataclass(slots=True)
class Histogram:
    """Values, kept one by one: runs here are small."""

    resolution: float = 0.001
    values: list[float] = field(default_factory=list)

    def summary(self, title: str) -> str:
        """``TITLE : count N avg A +/- D min M max X sum S``."""
        count = len(self.values)
        total = sum(self.values)
        average = total / count if count else 0.0
        deviation = math.sqrt(max(sum(v * v for v in self.values) / count - average * average, 0.0)) if count else 0.0
        low, high = (min(self.values), max(self.values)) if count else (0.0, 0.0)
        return (
            f"{title} : count {count} avg {average:.8g} +/- {deviation:.4g} "
            f"min {number(low)} max {number(high)} sum {number(total)}"
        )

    def buckets(self) -> Iterator[tuple[float, float, int]]:
        """(lower limit, upper limit, count) of every bucket that is not empty."""
        ordered = sorted(self.values)
        start = 0
        for lower, upper in zip((*LIMITS,), (*LIMITS[1:], math.inf), strict=True):
            end = bisect.bisect_right(ordered, upper * self.resolution + 1e-12)
            if end > start:
                yield (
                    max(lower * self.resolution, ordered[0]) if start == 0 else lower * self.resolution,
                    min(upper * self.resolution, ordered[-1]),
                    end - start,
                )
            start = end

    def percentile(self, wanted: float) -> float:
        """The value below which a share of all values is."""
        target = wanted / 100 * len(self.values)
        seen = 0
        for lower, upper, count in self.buckets():
            if seen + count >= target - 1e-9:
                return lower + (upper - lower) * (target - seen) / count
            seen += count
        return max(self.values, default=0.0)

    def lines(self, title: str, percentiles: Sequence[float]) -> list[str]:
        """The histogram as Fortio prints it."""
        if not self.values:
            return [f"{title} : no data"]
        found = [self.summary(title), "# range, mid point, percentile, count"]
        seen = 0
        for position, (lower, upper, count) in enumerate(self.buckets()):
            seen += count
            sign = ">=" if position == 0 else ">"
            share = 100 * seen / len(self.values)
            found.append(
                f"{sign} {number(lower)} <= {number(upper)} , {number((lower + upper) / 2)} , {share:.2f}, {count}"
            )
        return found + [f"# target {number(wanted)}% {self.percentile(wanted):.6g}" for wanted in percentiles]
