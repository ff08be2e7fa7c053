"""Quantiles of a histogram's cumulative buckets, interpolated as Prometheus' ``histogram_quantile`` does."""

from __future__ import annotations

import math

Buckets = dict[float, float]
"""How many (or how many a second) were at most so large, by upper bound; infinity has them all."""


def quantile(wanted: float, buckets: Buckets) -> float | None:
    """The value below which that share lies; None of nothing.

    Args:
        wanted: between 0 and 1.
        buckets: cumulative.
    """
    bounds = sorted(buckets)
    if len(bounds) < 2 or not math.isinf(bounds[-1]) or buckets[bounds[-1]] <= 0:
        return None
    rank = wanted * buckets[bounds[-1]]
    position = next(number for number, bound in enumerate(bounds) if buckets[bound] >= rank)
    if position == len(bounds) - 1:
        return bounds[-2]
    lower, before = (bounds[position - 1], buckets[bounds[position - 1]]) if position else (0.0, 0.0)
    inside = buckets[bounds[position]] - before
    return lower + (bounds[position] - lower) * ((rank - before) / inside if inside > 0 else 0.0)
