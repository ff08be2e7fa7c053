"""How long a failing thing waits before it is tried again: upstream's figures (10 s doubling to 300 s)."""

from __future__ import annotations

from dataclasses import dataclass

BASE_S = 10.0
CAP_S = 300.0


@dataclass(slots=True)
class BackOff:
    """Delays that double; they start over when things went well for twice the cap.

    The first failure costs nothing: a container that ends for the first time is restarted at once.
    """

    base_s: float = BASE_S
    cap_s: float = CAP_S
    current_s: float = 0.0
    """The delay that the last failure earned; 0 before there was one."""
    _pending: bool = False

    def failed(self, ran_s: float) -> float:
        """Note a failure after ``ran_s`` seconds of running; returns how long to wait now."""
        if ran_s > 2 * self.cap_s:
            self.current_s, self._pending = 0.0, False
        if not self._pending:
            self._pending = True
            return 0.0
        self.current_s = min(self.current_s * 2 or self.base_s, self.cap_s)
        return self.current_s


def words(seconds: float) -> str:
    """A delay as Go prints durations: ``10s``, ``1m20s``, ``5m0s``."""
    whole = round(seconds)
    if seconds < 1:
        return f"{round(seconds * 1000)}ms"
    return f"{whole}s" if whole < 60 else f"{whole // 60}m{whole % 60}s"
