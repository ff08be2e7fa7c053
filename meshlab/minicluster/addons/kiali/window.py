"""What the proxies counted in the last minutes: counters over time, and how much they grew.

It stands where Prometheus stands for the real Kiali, and keeps a value only when it changed. A series that appears on a
proxy under watch began at zero, so its first value counts; Prometheus would lose it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_ESCAPED = re.compile(r"\\(.)")

Page = dict[str, float]
"""Values by ``name{labels}``."""


def parse_page(text: str, names: Iterable[str]) -> Page:
    """The series of some metrics on a page in Prometheus' text format."""
    wanted = tuple(f"{name}{{" for name in names)
    found: Page = {}
    for line in text.splitlines():
        if line.startswith(wanted):
            series, _, value = line.rpartition(" ")
            try:
                found[series] = float(value)
            except ValueError:
                continue
    return found


def parse_series(series: str) -> tuple[str, dict[str, str]]:
    """Name and labels of ``name{labels}``."""
    name, _, labels = series.partition("{")
    return name, {key: _ESCAPED.sub(_unescaped, value) for key, value in _LABEL.findall(labels)}


def _unescaped(match: re.Match[str]) -> str:
    return "\n" if match[1] == "n" else match[1]


@dataclass(slots=True)
class _Counter:
    name: str
    labels: Mapping[str, str]
    raw: float
    """As last read; less than before means that the proxy started anew."""
    totals: list[tuple[float, float]] = field(default_factory=list)
    """(time, growth since the beginning), only where it changed."""

    def at(self, time: float) -> float:
        return next((total for moment, total in reversed(self.totals) if moment <= time), 0.0)


class Window:
    """Counters of all proxies.

    Args:
        keep_s: how far back a question may reach.
    """

    def __init__(self, keep_s: float) -> None:
        self.keep_s = keep_s
        self._targets: dict[str, dict[str, _Counter]] = {}

    def record(self, target: str, page: Page, now: float, *, from_zero: bool) -> None:
        """Take note of what a proxy counts.

        Args:
            target: the proxy; its pod's UID, say.
            page: what it serves.
            now: seconds since the epoch.
            from_zero: whether this proxy's very first page counts in full, as it began under our eyes.
        """
        known = target in self._targets
        counters = self._targets.setdefault(target, {})
        for series, value in page.items():
            counter = counters.get(series)
            if counter is None:
                counter = counters[series] = _Counter(*parse_series(series), raw=0.0 if known or from_zero else value)
            if value != counter.raw:
                grown = value - counter.raw if value > counter.raw else value
                counter.totals.append((now, (counter.totals[-1][1] if counter.totals else 0.0) + grown))
                counter.raw = value
        self._forget(counters, now)

    def _forget(self, counters: Mapping[str, _Counter], now: float) -> None:
        for counter in counters.values():
            while len(counter.totals) > 1 and counter.totals[1][0] <= now - self.keep_s:
                del counter.totals[0]

    def retain(self, targets: Iterable[str], now: float) -> None:
        """Forget proxies that are gone, once nothing of theirs can be asked for any more."""
        for target in self._targets.keys() - set(targets):
            counters = self._targets[target].values()
            if all(not c.totals or c.totals[-1][0] <= now - self.keep_s for c in counters):
                del self._targets[target]

    def increases(self, name: str, start: float, end: float) -> Iterator[tuple[Mapping[str, str], float]]:
        """Labels and growth of every series of a metric that has ever grown; a growth may be zero."""
        for counters in self._targets.values():
            for counter in counters.values():
                if counter.name == name and counter.totals:
                    yield counter.labels, counter.at(end) - counter.at(start)
