"""Quantiles of cumulative buckets."""

from __future__ import annotations

import math

import pytest

from meshlab.minicluster.addons.kiali.quantiles import quantile


@pytest.mark.parametrize(
    ("wanted", "value"),
    [(0.5, 1.0), (0.25, 0.5), (0.75, 5.5), (0.95, 9.1), (1.0, 10.0)],
)
def test_values_lie_evenly_in_their_bucket(wanted: float, value: float) -> None:
    assert quantile(wanted, {1.0: 50, 10.0: 100, math.inf: 100}) == pytest.approx(value)


def test_beyond_the_last_bound_it_is_that_bound() -> None:
    assert quantile(0.95, {1.0: 50, 10.0: 60, math.inf: 100}) == 10.0


@pytest.mark.parametrize("buckets", [{}, {math.inf: 3.0}, {1.0: 0.0, math.inf: 0.0}, {1.0: 1.0, 2.0: 2.0}])
def test_of_nothing_there_is_none(buckets: dict[float, float]) -> None:
    assert quantile(0.95, buckets) is None
