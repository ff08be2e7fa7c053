from __future__ import annotations

import asyncio
from typing import Any

import pytest

from meshlab.minicluster.node import backoff, probes
from meshlab.minicluster.node.backoff import BackOff
from meshlab.minicluster.node.probes import Kind, ProbeSpec, ProbeState, Result


def spec(kind: Kind, **fields: Any) -> ProbeSpec:
    found = ProbeSpec.of({f"{kind}Probe": {"tcpSocket": {"port": 1}, **fields}}, kind)
    assert found is not None
    return found


def test_defaults() -> None:
    found = spec("liveness")
    assert (found.initial_delay_s, found.period_s, found.timeout_s) == (0, 10, 1)
    assert (found.success_threshold, found.failure_threshold, found.grace_period_s) == (1, 3, None)
    assert found.handler == {"tcpSocket": {"port": 1}}
    assert ProbeSpec.of({}, "liveness") is None


@pytest.mark.parametrize(
    ("kind", "fields", "results", "settled", "verdict"),
    [
        ("readiness", {}, "+", [True], True),
        ("readiness", {"successThreshold": 2}, "+-++", [False, False, False, True], True),
        ("readiness", {}, "+--", [True, False, False], True),
        ("readiness", {}, "+---", [True, False, False, True], False),
        ("liveness", {}, "--", [False, False], True),
        ("liveness", {}, "--+--", [False, False, True, False, False], True),
        ("liveness", {}, "---", [False, False, True], False),
        ("liveness", {}, "----", [False, False, True, False], False),
        ("startup", {"failureThreshold": 1}, "-", [True], False),
        ("startup", {"failureThreshold": 30}, "---+", [False, False, False, True], True),
    ],
)
def test_thresholds(kind: Kind, fields: dict[str, Any], results: str, settled: list[bool], verdict: bool) -> None:
    state = ProbeState(spec(kind, **fields))
    assert [state.note(result == "+") for result in results] == settled
    assert state.succeeded is verdict


async def test_a_failure_before_the_first_scheduled_attempt_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "EAGER_FIRST_S", 0.001)
    answers = iter([False, False, True])
    failures: list[Result] = []
    settled: list[bool] = []

    async def attempt(_: ProbeSpec) -> Result:
        return Result(next(answers))

    running = probes.run(
        spec("startup", failureThreshold=1),
        attempt,
        settled=lambda state, _: settled.append(state.succeeded),
        failed=failures.append,
    )
    await asyncio.wait_for(running, 0.5)
    assert (settled, failures) == ([True], [])


async def test_liveness_waits_until_it_is_due(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "FIRST_ATTEMPT_S", 0.0)
    attempts: list[ProbeSpec] = []

    async def attempt(probe: ProbeSpec) -> Result:
        attempts.append(probe)
        return Result(True)

    running = asyncio.ensure_future(
        probes.run(spec("liveness"), attempt, settled=lambda *_: None, failed=lambda _: None, due=lambda: False)
    )
    await asyncio.sleep(0.02)
    running.cancel()
    assert attempts == []


def test_back_off_doubles_up_to_its_cap() -> None:
    delays = BackOff()
    assert [delays.failed(1) for _ in range(8)] == [0, 10, 20, 40, 80, 160, 300, 300]
    assert delays.failed(601) == 0
    assert delays.failed(1) == 10


@pytest.mark.parametrize(("seconds", "words"), [(10, "10s"), (80, "1m20s"), (300, "5m0s"), (0.5, "500ms")])
def test_back_off_words(seconds: float, words: str) -> None:
    assert backoff.words(seconds) == words
