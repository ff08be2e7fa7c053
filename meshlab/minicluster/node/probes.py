"""Startup, liveness and readiness probes: when they run and what their results mean.

`ProbeState` is the pure part: it is told one result after the other and says what follows. `run` is the thin
loop around it. Upstream waits a whole period between attempts; here a startup or readiness probe that has never
succeeded is also tried in between (by quickly growing steps), where a success counts at once and a failure not at all:
a program that starts in 50 ms need not look unready for a second.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Literal

from meshlab.minicluster.kubeapi import Obj

Kind = Literal["startup", "liveness", "readiness"]
EAGER_FIRST_S = 0.05
FIRST_ATTEMPT_S = 1.0
"""How long after the start (or the initial delay) the first attempt that counts is made, at most."""


@dataclass(frozen=True, slots=True)
class ProbeSpec:
    """A probe with its defaults filled in; all times in seconds."""

    kind: Kind
    handler: Obj
    """The ``exec``, ``httpGet``, ``tcpSocket`` or ``grpc`` part."""
    initial_delay_s: float
    period_s: float
    timeout_s: float
    success_threshold: int
    failure_threshold: int
    grace_period_s: int | None
    """``terminationGracePeriodSeconds`` of the probe; None for the pod's."""

    @classmethod
    def of(cls, container: Obj, kind: Kind) -> ProbeSpec | None:
        """The probe that a container declares, or None."""
        probe = container.get(f"{kind}Probe")
        if not probe:
            return None
        handler = {key: probe[key] for key in ("exec", "httpGet", "tcpSocket", "grpc") if key in probe}
        return cls(
            kind=kind,
            handler=handler,
            initial_delay_s=probe.get("initialDelaySeconds") or 0,
            period_s=probe.get("periodSeconds") or 10,
            timeout_s=probe.get("timeoutSeconds") or 1,
            success_threshold=probe.get("successThreshold") or 1,
            failure_threshold=probe.get("failureThreshold") or 3,
            grace_period_s=probe.get("terminationGracePeriodSeconds"),
        )


@dataclass(frozen=True, slots=True)
class Result:
    """One attempt: whether it succeeded, and its words if not."""

    ok: bool
    message: str = ""


@dataclass(slots=True)
class ProbeState:
    """The verdict of a probe, given its results so far.

    Liveness starts out as succeeding; readiness and startup as failing, as upstream.
    """

    spec: ProbeSpec
    succeeded: bool = field(init=False)
    ever_succeeded: bool = False
    _run: int = 0
    _run_ok: bool = False

    def __post_init__(self) -> None:
        self.succeeded = self.spec.kind == "liveness"

    def note(self, ok: bool) -> bool:
        """Count a result; returns whether it settled something (the threshold of its kind was reached)."""
        if ok:
            self.ever_succeeded = True
        if self._run and self._run_ok == ok:
            self._run += 1
        else:
            self._run, self._run_ok = 1, ok
        threshold = self.spec.success_threshold if ok else self.spec.failure_threshold
        if self._run < threshold:
            return False
        if not ok and self.spec.kind != "readiness":
            self._run = 0  # the container is about to be killed: the next one starts afresh
        self.succeeded = ok
        return True


async def run(
    spec: ProbeSpec,
    attempt: Callable[[ProbeSpec], Awaitable[Result]],
    *,
    settled: Callable[[ProbeState, Result], None],
    failed: Callable[[Result], None],
    due: Callable[[], bool] = lambda: True,
) -> None:
    """Probe until cancelled, or until a startup probe has succeeded.

    Args:
        spec: the probe.
        attempt: tries once, within ``spec.timeout_s``.
        settled: called when a threshold is reached, also repeatedly.
        failed: called for every failure that counts.
        due: False while the probe must hold still (until the startup probe has succeeded).
    """
    state = ProbeState(spec)
    eager = spec.kind != "liveness" and spec.success_threshold == 1
    await asyncio.sleep(spec.initial_delay_s)
    # A program that has just been started has not failed if it does not answer yet.
    scheduled = time.monotonic() + (min(spec.period_s, FIRST_ATTEMPT_S) if eager or spec.kind == "liveness" else 0)
    step = EAGER_FIRST_S
    while True:
        now = time.monotonic()
        counts = now >= scheduled
        if due() and (counts or eager):
            result = await attempt(spec)
            if result.ok or counts:
                if not result.ok:
                    failed(result)
                if state.note(result.ok):
                    settled(state, result)
                    if state.succeeded and spec.kind == "startup":
                        return
        if not due():
            step = EAGER_FIRST_S
        if counts:
            scheduled = max(scheduled + spec.period_s, now)
        wait = scheduled - time.monotonic()
        if eager and not state.ever_succeeded:
            wait = min(wait, step)
            step *= 2
        await asyncio.sleep(max(wait, 0.01))
