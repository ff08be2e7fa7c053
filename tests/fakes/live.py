"""A learner's session without a cluster: checks that say what a test tells them, and watches that a test plays."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, cast

from meshlab.cluster.facade import Stop, WatchEvent
from meshlab.course.model import Exercise
from meshlab.errors import ClusterUnreachable, UsageError
from meshlab.grading.attempt import AttemptRecord
from meshlab.grading.engine import ExerciseResult
from meshlab.grading.evidence import Evidence
from meshlab.grading.live import LiveCheck, LiveStatus
from meshlab.grading.registry import Check, CheckContext, Registry, lacks_nothing
from meshlab.grading.session import Session
from meshlab.grading.verdicts import Verdict
from tests.fakes.grading import ProbedCluster

WAIT_S = 10


class WatchedCluster(ProbedCluster):
    """A cluster whose watches tell what `LiveWorld.tell` says."""

    def __init__(self, world: LiveWorld) -> None:
        super().__init__()
        self.world = world

    def interruptible(self, interrupted: Callable[[], bool]) -> WatchedCluster:
        return self

    def watch(self, resource: str, namespace: str | None, *, stop: Stop) -> Iterator[WatchEvent]:
        events: queue.SimpleQueue[WatchEvent | None] = queue.SimpleQueue()
        self.world.watches[resource] = events
        stop.on_set(lambda: events.put(None))
        yield WatchEvent("SYNCED", {})
        while (event := events.get()) is not None:
            yield event


@dataclass
class LiveWorld:
    """What there is to judge; a `Session` as far as the live checker is concerned.

    Attributes:
        exercise: what is being worked on.
        says: what each check says: a verdict, or an error that it raises.
        during: called inside each look at a check, in the judging thread.
        attempt: the attempt under way; None if the exercise was not started.
        reachable: whether the cluster answers.
        recorded: marks of the last recorded run, as a progress file would have them.
    """

    exercise: Exercise
    says: dict[str, Verdict | Exception]
    during: Callable[[str, CheckContext], None] = lambda name, context: None
    attempt: str | None = "a-1"
    reachable: bool = True
    recorded: dict[str, dict[str, str]] | None = None
    runs: list[ExerciseResult] = field(default_factory=list)
    looks: list[str] = field(default_factory=list)
    opened: int = 0
    closed: int = 0
    watches: dict[str, queue.SimpleQueue[WatchEvent | None]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.cluster = WatchedCluster(self)
        self.lacking = lacks_nothing
        self.registry = Registry({name: self._check(name) for name in self.says})

    def _check(self, name: str) -> Check:
        def collect(context: CheckContext, params: Any, so_far: Evidence | None) -> Evidence:
            self.looks.append(name)
            self.during(name, context)
            if not self.reachable:
                raise ClusterUnreachable("gone")
            said = self.says[name]
            if isinstance(said, Exception):
                raise said
            return Evidence("objects", {})

        return Check(name, 1, collect, lambda evidence, params: cast(Verdict, self.says[name]))

    def open(self) -> Session:
        if not self.reachable:
            raise ClusterUnreachable("gone")
        self.opened += 1
        return cast(Session, self)

    def close(self) -> None:
        self.closed += 1

    def resume(self, exercise_id: str) -> tuple[Exercise, AttemptRecord]:
        if not self.reachable:
            raise ClusterUnreachable("gone")
        if self.attempt is None:
            raise UsageError(f"exercise {exercise_id} has not been started on this cluster")
        return self.exercise, AttemptRecord(self.attempt, exercise_id, 3, 1, "r-1", {}, {"app": "default"}, "now")

    def last_recorded(self, record: AttemptRecord) -> dict[str, dict[str, str]] | None:
        return self.recorded

    def record_run(self, result: ExerciseResult, record: AttemptRecord, *, live: bool) -> None:
        assert live
        self.runs.append(result)

    def tell(self, resource: str, name: str, kind: Any = "MODIFIED", **content: Any) -> None:
        """Something happens to an object."""
        metadata = {"name": name, "namespace": "default", "resourceVersion": "1"}
        self.watches[resource].put(WatchEvent(kind, {"metadata": metadata, **content}))


class Audience:
    """Hears the statuses of a live check, and waits for the one that a test wants."""

    def __init__(self, world: LiveWorld) -> None:
        self.world = world
        self.heard: list[LiveStatus] = []
        self._news = threading.Condition()
        self.live = LiveCheck(world.open, world.exercise.id, self._hear)
        self.live.start()

    def _hear(self, status: LiveStatus) -> None:
        with self._news:
            self.heard.append(status)
            self._news.notify_all()

    def until(self, wanted: Callable[[LiveStatus], bool]) -> LiveStatus:
        """The next status (from the last one heard on) that is as wanted."""
        with self._news:
            start = max(0, len(self.heard) - 1)
            found = self._news.wait_for(lambda: [status for status in self.heard[start:] if wanted(status)], WAIT_S)
            assert found, f"none of {self.heard[start:]}"
            return found[0]

    def settled(self) -> LiveStatus:
        """The next status after which no look is under way."""
        return self.until(
            lambda status: bool(status.tasks) and not status.looking and all(of.verdict for of in status.tasks)
        )


def outcomes(status: LiveStatus) -> list[str]:
    """The outcome of each task, ``-`` where there is none."""
    return [task.verdict.outcome if task.verdict else "-" for task in status.tasks]
