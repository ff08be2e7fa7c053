"""How programs that hold thousands of objects for their whole life look for garbage: seldom."""

from __future__ import annotations

import gc

THRESHOLDS = (100_000, 50, 100)


def collect_seldom() -> None:
    """Leave alone what is there now, and look rarely at what comes.

    The default collector pauses an event loop for tens of milliseconds once thousands of objects are held.
    """
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
