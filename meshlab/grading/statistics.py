"""Does observed traffic agree with the asked-for split? A sequential test with stated error rates.

For each version with wanted share p, two of Wald's sequential probability ratio tests run side by side: p against p +
zone and p against p - zone. Traffic *agrees* once every test has accepted p, and *differs* as soon as one has
rejected it. The error rates are divided among the tests, so the stated ones hold for the verdict as a whole:

* a split that is exactly right is called different less often than `FALSE_ALARM` (1 in 10,000);
* a split that is off by ``zone`` or more is called right less often than `MISS` (1 in 1,000).

Shares at an edge (0 or 1) have one test only, and a single request in the impossible class decides.

Source: A. Wald, "Sequential Tests of Statistical Hypotheses", Annals of Mathematical Statistics 16 (1945).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

FALSE_ALARM = 1e-4
MISS = 1e-3


class Decision(Enum):
    """What the counts say."""

    AGREES = "agrees"
    DIFFERS = "differs"
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True)
class SequentialSplit:
    """The test of one wanted split.

    Args:
        shares: wanted share of each version; they sum to 1.
        zone: by how much a share may be off before that counts as wrong, as a fraction (0.05 for 5 points).
    """

    shares: Mapping[str, float]
    zone: float

    def decide(self, counts: Mapping[str, int]) -> Decision:
        """Judge the counts so far; a version that nobody asked for decides at once."""
        if any(count and version not in self.shares for version, count in counts.items()):
            return Decision.DIFFERS
        total = sum(counts.values())
        decisions = [
            self._decide_one(share, counts.get(version, 0), total) for version, share in self._independent_shares()
        ]
        if Decision.DIFFERS in decisions:
            return Decision.DIFFERS
        return Decision.UNDECIDED if Decision.UNDECIDED in decisions else Decision.AGREES

    def expected_requests(self) -> int:
        """About how many requests an honest split needs (the slowest test's expected sample size)."""
        needs = []
        for _, share in self._independent_shares():
            for other in self._alternatives(share):
                if 0 < share < 1:
                    drift = share * math.log(share / other) + (1 - share) * math.log((1 - share) / (1 - other))
                else:
                    drift = -math.log(1 - self.zone)
                needs.append(math.log(1 / MISS) / drift)
        return math.ceil(max(needs))

    def _independent_shares(self) -> list[tuple[str, float]]:
        """All shares but one if there are two: the last follows from the others."""
        items = sorted(self.shares.items())
        return items[:1] if len(items) == 2 else items

    def _alternatives(self, share: float) -> list[float]:
        candidates = [share + self.zone, share - self.zone]
        return [other for other in candidates if 0 < other < 1] or [0.5]

    def _decide_one(self, share: float, hits: int, total: int) -> Decision:
        if (share == 0 and hits) or (share == 1 and hits < total):
            return Decision.DIFFERS
        alternatives = self._alternatives(share)
        tests = len(self._independent_shares()) * len(alternatives)
        reject_at = math.log((1 - MISS) * tests / FALSE_ALARM)
        accept_at = math.log(MISS)
        ratios = [_log_likelihood_ratio(share, other, hits, total) for other in alternatives]
        if any(ratio >= reject_at for ratio in ratios):
            return Decision.DIFFERS
        return Decision.AGREES if all(ratio <= accept_at for ratio in ratios) else Decision.UNDECIDED


def _log_likelihood_ratio(share: float, other: float, hits: int, total: int) -> float:
    """Log of P(counts | other) / P(counts | share); 0 * log(0) is 0."""
    misses = total - hits
    ratio = 0.0
    if hits:
        ratio += hits * (math.log(other) - math.log(share))
    if misses:
        ratio += misses * (math.log(1 - other) - math.log(1 - share))
    return ratio
