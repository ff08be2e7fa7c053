"""Fortio's numbers and their form."""

from __future__ import annotations

import pytest

from meshlab.minicluster.images.fortio.histogram import Histogram


def test_values_fall_into_fortios_buckets() -> None:
    histogram = Histogram(values=[0.0004, 0.0009, 0.0015, 0.003, 0.013])
    assert list(histogram.buckets()) == [
        (0.0004, 0.001, 2),
        (0.001, 0.002, 1),
        (pytest.approx(0.002), pytest.approx(0.003), 1),
        (pytest.approx(0.012), pytest.approx(0.013), 1),
    ]


def test_percentiles_are_interpolated() -> None:
    histogram = Histogram(values=[0.0015] * 10 + [0.0025] * 10)
    assert histogram.percentile(50) == pytest.approx(0.002)
    assert histogram.percentile(75) == pytest.approx(0.00225)
    assert histogram.percentile(100) == pytest.approx(0.0025)


def test_the_report_reads_like_fortios() -> None:
    lines = Histogram(values=[0.001, 0.003]).lines("Aggregated Function Time", [50, 99.9])
    assert lines == [
        "Aggregated Function Time : count 2 avg 0.002 +/- 0.001 min 0.001 max 0.003 sum 0.004",
        "# range, mid point, percentile, count",
        ">= 0.001 <= 0.001 , 0.001 , 50.00, 1",
        "> 0.002 <= 0.003 , 0.0025 , 100.00, 1",
        "# target 50% 0.001",
        "# target 99.9% 0.002998",
    ]
    assert Histogram().lines("Error cases", [50]) == ["Error cases : no data"]
