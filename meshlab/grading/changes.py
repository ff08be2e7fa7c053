"""Which changes in a cluster are a reason to judge again, and the threads that notice them.

Most of what a cluster writes is noise to a judge: heartbeats, counters, timestamps, who managed which field. What is
left of an object without that is its *significance*; only when it changes, or the object comes or goes, is somebody
told.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from meshlab.cluster.facade import Cluster
from meshlab.cluster.watch import Stop, WatchEvent
from meshlab.course.model import Exercise
from meshlab.grading.attempt import AttemptRecord, answers_name
from meshlab.grading.registry import Registry

logger = logging.getLogger(__name__)

PROBE_LABEL = "meshlab.dev/probe"
"""On what checks themselves create: a look must not be the reason for the next."""
ALWAYS = ("pods",)
"""Whatever is judged, it runs in pods."""

_STATUS = ("phase", "podIP", "loadBalancer", "addresses", "succeeded", "failed")
_NOISE = "control-plane.alpha.kubernetes.io/leader"


@dataclass(frozen=True, slots=True)
class Target:
    """One thing to watch.

    Attributes:
        resource: ``plural.group``.
        namespace: None for all.
        names: only these objects; empty for all.
    """

    resource: str
    namespace: str | None
    names: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Change:
    """A significant change; ``name`` is empty if it is not about one object (a first list that came late)."""

    resource: str
    namespace: str
    name: str


def targets_of(exercise: Exercise, registry: Registry) -> list[Target]:
    """What decides about an exercise: what its checks watch, its pods and namespaces, its record and the answers.

    An exercise of scope ``namespace`` is decided in its own namespaces; one of a wider scope anywhere.
    """
    calls = [call for task in exercise.tasks for call in task.checks]
    kinds = {kind for call in calls for kind in registry.get(call.name).watches} | set(ALWAYS)
    own = sorted(set(exercise.namespaces.values()))
    places: list[str | None] = [*own] if exercise.scope == "namespace" else [None]
    kinds -= {"namespaces"}
    found = [Target(kind, place) for kind in sorted(kinds) for place in places]
    found.append(Target("namespaces", None, frozenset(own)))
    if "configmaps" not in kinds:
        ours = frozenset({AttemptRecord.name_for(exercise.id), answers_name(exercise.id)})
        found.append(Target("configmaps", exercise.main_namespace, ours))
    return found


def significance(obj: dict[str, Any]) -> str:
    """The part of an object that a verdict may depend on, as text to compare."""
    metadata, status = obj["metadata"], obj.get("status") or {}
    annotations = {name: text for name, text in (metadata.get("annotations") or {}).items() if name != _NOISE}
    conditions = [[condition.get(name) for name in ("type", "status", "reason")] for condition in _conditions(status)]
    return json.dumps(
        {
            "metadata": [metadata.get("uid"), metadata.get("labels"), annotations, metadata.get("deletionTimestamp")],
            "status": [status.get(name) for name in _STATUS] + sorted(conditions, key=str),
            "body": {name: part for name, part in obj.items() if name not in ("metadata", "status")},
        },
        sort_keys=True,
    )


def _conditions(status: dict[str, Any]) -> list[dict[str, Any]]:
    """Conditions of the object itself, and those that each parent of a route gives it."""
    return [
        condition for holder in (status, *(status.get("parents") or [])) for condition in holder.get("conditions") or []
    ]


class ChangeWatch:
    """Watches several targets, each in a thread of its own that is blocked while nothing happens.

    Args:
        cluster: the cluster.
        targets: what to watch.
        on_change: called in those threads, so it must only take note.
        on_lost: called when the cluster stops answering.
    """

    def __init__(
        self,
        cluster: Cluster,
        targets: Iterable[Target],
        on_change: Callable[[Change], None],
        on_lost: Callable[[], None],
    ) -> None:
        self._cluster = cluster
        self._on_change = on_change
        self._on_lost = on_lost
        self._stop = Stop()
        self._settled = threading.Event()
        self._synced = {target: threading.Event() for target in targets}
        self._threads = [
            threading.Thread(
                target=self._follow,
                args=[target],
                name=f"watch {target.resource} {target.namespace or ''}",
                daemon=True,
            )
            for target in self._synced
        ]

    def __enter__(self) -> ChangeWatch:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def interrupt(self) -> None:
        """Break off, from any thread; the threads end."""
        self._stop.set()
        for synced in self._synced.values():
            synced.set()

    def settle(self, timeout_s: float) -> None:
        """Wait until everything that exists has been listed; what is listed later counts as a change."""
        deadline = time.monotonic() + timeout_s
        for synced in self._synced.values():
            synced.wait(max(0.0, deadline - time.monotonic()))
        self._settled.set()

    def _follow(self, target: Target) -> None:
        seen: dict[tuple[str, str], str] = {}
        for event in self._cluster.watch(target.resource, target.namespace, stop=self._stop):
            try:
                self._take(target, event, seen)
            except Exception:
                logger.exception("watch of %s", target.resource)

    def _take(self, target: Target, event: WatchEvent, seen: dict[tuple[str, str], str]) -> None:
        if event.type == "LOST":
            self._on_lost()
            return
        if event.type == "SYNCED":
            late = self._settled.is_set() and not self._synced[target].is_set()
            self._synced[target].set()
            if late:
                self._on_change(Change(target.resource, target.namespace or "", ""))
            return
        metadata = event.object["metadata"]
        key = (metadata.get("namespace", ""), metadata["name"])
        if (target.names and metadata["name"] not in target.names) or PROBE_LABEL in (metadata.get("labels") or {}):
            return
        if event.type == "DELETED":
            seen.pop(key, None)
        else:
            now = significance(event.object)
            if seen.get(key) == now:
                return
            seen[key] = now
        if self._synced[target].is_set():
            self._on_change(Change(target.resource, *key))
