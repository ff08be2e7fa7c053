"""Reasons to look are coalesced; the clock is moved by the waiting itself, so nothing sleeps."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from meshlab.grading.mailbox import PATIENCE_S, QUIET_S, Mail, Mailbox


class Timeline:
    """A clock, and a condition whose waiting moves it to the next thing that happens."""

    def __init__(self, box: Mailbox) -> None:
        self.now = 0.0
        self.box = box
        self.plan: list[tuple[float, Callable[[], None]]] = []
        box._clock = lambda: self.now
        box._condition.wait = self.wait  # type: ignore[method-assign]

    def at(self, when: float, act: Callable[[], None]) -> None:
        self.plan.append((when, act))

    def wait(self, timeout: float | None = None) -> bool:
        end = self.now + (timeout if timeout is not None else float("inf"))
        if self.plan and self.plan[0][0] <= end:
            self.now, act = self.plan.pop(0)
            act()
            return True
        assert end < float("inf"), "it would wait for ever"
        self.now = end
        return False


@pytest.fixture
def timeline() -> Timeline:
    # Re-entrant, since what happens during a wait happens in the same thread here.
    box = Mailbox()
    box._condition = threading.Condition(threading.RLock())
    return Timeline(box)


def test_nothing_comes_until_the_moment(timeline: Timeline) -> None:
    assert not timeline.box.take(5.0)
    assert timeline.now == 5.0


def test_a_change_waits_for_quiet(timeline: Timeline) -> None:
    timeline.at(1.0, lambda: timeline.box.put(changed=True))
    timeline.at(1.1, lambda: timeline.box.put(nudged=True))
    assert timeline.box.take(60.0) == Mail(changed=True, nudged=True)
    assert timeline.now == pytest.approx(1.1 + QUIET_S)
    assert not timeline.box.take(61.0)


def test_restless_changes_do_not_put_a_look_off_for_ever(timeline: Timeline) -> None:
    for step in range(100):
        timeline.at(1.0 + step / 10, lambda: timeline.box.put(changed=True))
    assert timeline.box.take(60.0).changed
    assert timeline.now == pytest.approx(1.0 + PATIENCE_S)


def test_a_change_while_nobody_waits_is_kept_and_overtakes_a_look(timeline: Timeline) -> None:
    timeline.box.put(nudged=True)
    assert not timeline.box.changed
    timeline.box.put(reload=True)
    assert timeline.box.changed
    assert timeline.box.take(0.0) == Mail(nudged=True, reload=True)
    assert not timeline.box.changed


def test_closing_wakes_for_good(timeline: Timeline) -> None:
    timeline.at(1.0, timeline.box.close)
    assert not timeline.box.take(float("inf"))
    assert timeline.now == 1.0
    assert timeline.box.changed
