from __future__ import annotations

import re
import time

from meshlab.course.ids import new_ulid, short_id, timestamp


def test_ulids_sort_by_time() -> None:
    first = new_ulid()
    time_ms = time.time_ns() // 1_000_000
    while time.time_ns() // 1_000_000 == time_ms:
        pass
    assert first < new_ulid()
    assert re.fullmatch(r"[0-7][0-9A-HJKMNP-TV-Z]{25}", first)


def test_ids_are_unlikely_to_meet() -> None:
    assert len({new_ulid() for _ in range(500)} | {short_id("a") for _ in range(500)}) == 1000


def test_time_stamps_are_utc_with_milliseconds() -> None:
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", timestamp())
