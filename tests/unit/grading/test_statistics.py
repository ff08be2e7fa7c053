"""The stated error rates are proved by simulation with fixed seeds; see the docstring of the module under test."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshlab.grading.statistics import Decision, SequentialSplit

BATCH = 400
BUDGET = 8000
CANARY = SequentialSplit({"v1": 0.8, "v2": 0.2}, zone=0.05)


def simulate(test: SequentialSplit, real: dict[str, float], seed: int) -> tuple[Decision, int]:
    """As the engine does it: batches until it is decided or the budget is spent."""
    dice = random.Random(seed)
    versions, weights = list(real), list(real.values())
    counts = dict.fromkeys(versions, 0)
    size, sent = test.expected_requests(), 0
    decision = Decision.UNDECIDED
    while decision is Decision.UNDECIDED and sent < BUDGET:
        for version in dice.choices(versions, weights, k=size):
            counts[version] += 1
        sent += size
        decision = test.decide(counts)
        size = BATCH
    return decision, sent


@pytest.mark.parametrize("shares", [{"v1": 0.8, "v2": 0.2}, {"a": 0.5, "b": 0.5}, {"a": 0.6, "b": 0.3, "c": 0.1}])
def test_an_honest_split_is_hardly_ever_called_different(shares: dict[str, float]) -> None:
    test = SequentialSplit(shares, zone=0.05)
    decisions = [simulate(test, shares, seed)[0] for seed in range(300)]
    assert decisions.count(Decision.DIFFERS) == 0
    assert decisions.count(Decision.AGREES) >= 298


@pytest.mark.parametrize("off", [0.05, -0.05, 0.1])
def test_a_split_that_is_off_by_the_zone_is_hardly_ever_called_right(off: float) -> None:
    real = {"v1": 0.8 + off, "v2": 0.2 - off}
    decisions = [simulate(CANARY, real, seed)[0] for seed in range(300)]
    assert decisions.count(Decision.AGREES) <= 2
    assert decisions.count(Decision.DIFFERS) >= 290


def test_an_honest_split_needs_about_as_many_requests_as_expected() -> None:
    sent = [simulate(CANARY, {"v1": 0.8, "v2": 0.2}, seed)[1] for seed in range(200)]
    assert 400 < CANARY.expected_requests() < 1500
    assert sum(sent) / len(sent) < 2.5 * CANARY.expected_requests()


def test_a_gross_error_is_seen_early() -> None:
    # Half and half instead of 80 to 20: what the replicas alone give.
    assert CANARY.decide({"v1": 70, "v2": 70}) is Decision.DIFFERS


def test_nothing_is_decided_by_no_requests() -> None:
    assert CANARY.decide({}) is Decision.UNDECIDED


def test_a_version_that_nobody_asked_for_decides_at_once() -> None:
    assert CANARY.decide({"v1": 80, "v2": 20, "v3": 1}) is Decision.DIFFERS
    assert CANARY.decide({"v3": 0}) is Decision.UNDECIDED


@pytest.mark.parametrize(("counts", "decision"), [
    ({"v1": 500, "v2": 0}, Decision.AGREES),
    ({"v1": 500, "v2": 1}, Decision.DIFFERS),
    ({"v1": 5, "v2": 0}, Decision.UNDECIDED),
    ({"v2": 1}, Decision.DIFFERS),
])  # fmt: skip
def test_at_the_edges_one_impossible_answer_decides(counts: dict[str, int], decision: Decision) -> None:
    assert SequentialSplit({"v1": 1.0, "v2": 0.0}, zone=0.05).decide(counts) is decision
    assert SequentialSplit({"v1": 0.0, "v2": 1.0}, zone=0.05).decide(
        {{"v1": "v2", "v2": "v1"}[version]: count for version, count in counts.items()}
    ) is decision  # fmt: skip


def test_everything_to_one_version_is_a_split_too() -> None:
    alone = SequentialSplit({"v1": 1.0}, zone=0.05)
    assert alone.decide({"v1": alone.expected_requests()}) is Decision.AGREES
    assert alone.decide({"v1": 500, "v2": 1}) is Decision.DIFFERS


percent = st.integers(1, 99).map(lambda number: number / 100)


@given(share=percent, zone=st.sampled_from([0.02, 0.05, 0.1]), hundreds=st.integers(1, 100))
def test_counts_exactly_as_asked_for_never_differ(share: float, zone: float, hundreds: int) -> None:
    test = SequentialSplit({"a": share, "b": 1 - share}, zone)
    hits = round(share * 100) * hundreds
    assert test.decide({"a": hits, "b": 100 * hundreds - hits}) is not Decision.DIFFERS


@settings(max_examples=30)
@given(share=percent, zone=st.sampled_from([0.02, 0.05, 0.1]))
def test_enough_exact_counts_agree(share: float, zone: float) -> None:
    test = SequentialSplit({"a": share, "b": 1 - share}, zone)
    total = 100 * (2 * test.expected_requests() // 100 + 1)
    hits = round(share * total)
    assert test.decide({"a": hits, "b": total - hits}) is Decision.AGREES


@given(hits=st.integers(0, 2000), misses=st.integers(0, 2000))
def test_the_order_of_the_versions_does_not_matter(hits: int, misses: int) -> None:
    there = SequentialSplit({"a": 0.8, "b": 0.2}, 0.05).decide({"a": hits, "b": misses})
    back = SequentialSplit({"b": 0.2, "a": 0.8}, 0.05).decide({"b": misses, "a": hits})
    assert there is back


@given(seed=st.integers(0, 2**32 - 1), share=percent)
@settings(max_examples=25)
def test_whatever_comes_the_budget_decides_or_stays_undecided(seed: int, share: float) -> None:
    decision, sent = simulate(CANARY, {"v1": share, "v2": 1 - share}, seed)
    assert decision is not Decision.AGREES or abs(share - 0.8) < 0.055
    assert sent <= BUDGET + BATCH
