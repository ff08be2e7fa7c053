from __future__ import annotations

from datetime import UTC, datetime

import pytest

from meshlab.minicluster.apiserver.printers import age, human_duration

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
M, H, D, Y = 60, 3600, 86400, 365 * 86400


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "<invalid>"),
        (-1, "0s"),
        (0, "0s"),
        (0.9, "0s"),
        (119, "119s"),
        (2 * M, "2m"),
        (5 * M + 30, "5m30s"),
        (10 * M + 30, "10m"),
        (2 * H + 59 * M, "179m"),
        (3 * H, "3h"),
        (7 * H + 15 * M, "7h15m"),
        (47 * H, "47h"),
        (2 * D, "2d"),
        (7 * D + 5 * H, "7d5h"),
        (8 * D + 5 * H, "8d"),
        (2 * Y, "2y"),
        (3 * Y + 15 * D, "3y15d"),
        (9 * Y + 15 * D, "9y"),
    ],
)
def test_human_duration(seconds: float, text: str) -> None:
    assert human_duration(seconds) == text


def test_age() -> None:
    assert age("2026-01-02T03:03:00Z", NOW) == "65s"
    assert age("2026-01-02T03:03:00.500000Z", NOW) == "64s"
    assert age(None, NOW) == "<unknown>"
    assert age("", NOW) == "<unknown>"
