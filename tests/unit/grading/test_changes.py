"""What is worth a look, and what is noise."""

from __future__ import annotations

import copy
import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, cast

import pytest

from meshlab.cluster.facade import Cluster, Stop, WatchEvent
from meshlab.grading.changes import PROBE_LABEL, Change, ChangeWatch, Target, significance, targets_of
from meshlab.grading.registry import Check, Registry
from tests.fakes.grading import PASS, ScriptedCheck, exercise, task

POD: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "a", "namespace": "default", "resourceVersion": "1", "labels": {"app": "a"}},
    "spec": {"containers": [{"name": "app", "image": "nginx"}]},
    "status": {
        "phase": "Running",
        "podIP": "10.0.0.1",
        "conditions": [{"type": "Ready", "status": "True", "lastProbeTime": "1"}],
        "containerStatuses": [{"restartCount": 0}],
    },
}


def changed(path: str, value: object) -> dict[str, Any]:
    made = copy.deepcopy(POD)
    *parents, last = path.split(".")
    holder: Any = made
    for name in parents:
        holder = holder[int(name)] if name.isdigit() else holder.setdefault(name, {})
    holder[last] = value
    return made


@pytest.mark.parametrize(
    "noise",
    [
        changed("metadata.resourceVersion", "2"),
        changed("metadata.managedFields", [{"manager": "kubelet"}]),
        changed("metadata.generation", 2),
        changed("status.conditions.0.lastProbeTime", "2"),
        changed("status.containerStatuses", [{"restartCount": 1}]),
        changed("status.observedGeneration", 2),
        changed("metadata.annotations", {"control-plane.alpha.kubernetes.io/leader": "me"}),
    ],
)
def test_bookkeeping_is_noise(noise: dict[str, Any]) -> None:
    assert significance(noise) == significance(POD)


@pytest.mark.parametrize(
    "news",
    [
        changed("spec.containers", []),
        changed("metadata.labels", {"app": "b"}),
        changed("metadata.annotations", {"sidecar.istio.io/inject": "true"}),
        changed("metadata.deletionTimestamp", "now"),
        changed("status.phase", "Failed"),
        changed("status.podIP", "10.0.0.2"),
        changed("status.conditions.0.status", "False"),
        changed("status.parents", [{"conditions": [{"type": "Accepted", "status": "True"}]}]),
        changed("data", {"answer": "42"}),
    ],
)
def test_what_a_verdict_may_depend_on_is_not(news: dict[str, Any]) -> None:
    assert significance(news) != significance(POD)


def test_an_exercise_is_decided_by_its_checks_kinds_and_its_own_records() -> None:
    check = ScriptedCheck(PASS)
    registry = Registry({"one": Check("one", 1, check.collect, check.judge, watches=frozenset({"services"}))})
    asked = exercise(task("one"))
    assert targets_of(asked, registry) == [
        Target("pods", "default"),
        Target("services", "default"),
        Target("namespaces", None, frozenset({"default"})),
        Target("configmaps", "default", frozenset({"meshlab-canary", "meshlab-answers-canary"})),
    ]
    assert Target("services", None) in targets_of(replace(asked, scope="mesh"), registry)


class Stream:
    """A cluster whose watches tell what a test puts in."""

    def __init__(self) -> None:
        self.events: queue.Queue[WatchEvent | None] = queue.Queue()

    def watch(self, resource: str, namespace: str | None, *, stop: Stop) -> Iterator[WatchEvent]:
        stop.on_set(lambda: self.events.put(None))
        while (event := self.events.get()) is not None:
            yield event


Heard = queue.Queue[Change | str]


@pytest.fixture
def follow() -> Iterator[Callable[..., tuple[Stream, Heard, ChangeWatch]]]:
    started: list[ChangeWatch] = []

    def make(target: Target) -> tuple[Stream, Heard, ChangeWatch]:
        stream, heard = Stream(), Heard()
        watch = ChangeWatch(cast(Cluster, stream), [target], heard.put, lambda: heard.put("lost"))
        started.append(watch.__enter__())
        return stream, heard, watch

    before = threading.active_count()
    yield make
    for watch in started:
        watch.__exit__(None, None, None)
    assert threading.active_count() == before


def named(name: str, **labels: str) -> dict[str, Any]:
    made = copy.deepcopy(POD)
    made["metadata"] |= {"name": name, "labels": labels}
    return made


def test_only_news_is_told(follow: Callable[..., tuple[Stream, Heard, ChangeWatch]]) -> None:
    stream, heard, watch = follow(Target("pods", "default"))
    stream.events.put(WatchEvent("ADDED", POD))
    stream.events.put(WatchEvent("SYNCED", {}))
    watch.settle(5)
    stream.events.put(WatchEvent("MODIFIED", changed("status.observedGeneration", 9)))
    stream.events.put(WatchEvent("ADDED", named("probe", **{PROBE_LABEL: "1"})))
    stream.events.put(WatchEvent("SYNCED", {}))
    stream.events.put(WatchEvent("MODIFIED", changed("status.phase", "Failed")))
    stream.events.put(WatchEvent("DELETED", POD))
    stream.events.put(WatchEvent("LOST", {}))
    told = [heard.get(timeout=5) for _ in range(3)]
    assert told == [Change("pods", "default", "a"), Change("pods", "default", "a"), "lost"]


def test_other_names_are_not_told(follow: Callable[..., tuple[Stream, Heard, ChangeWatch]]) -> None:
    stream, heard, watch = follow(Target("configmaps", "default", frozenset({"mine"})))
    stream.events.put(WatchEvent("SYNCED", {}))
    watch.settle(5)
    stream.events.put(WatchEvent("ADDED", named("other")))
    stream.events.put(WatchEvent("ADDED", named("mine")))
    assert heard.get(timeout=5) == Change("configmaps", "default", "mine")


def test_a_first_list_that_comes_late_is_news(follow: Callable[..., tuple[Stream, Heard, ChangeWatch]]) -> None:
    stream, heard, watch = follow(Target("pods", "default"))
    watch.settle(0)
    stream.events.put(WatchEvent("ADDED", POD))
    stream.events.put(WatchEvent("SYNCED", {}))
    assert heard.get(timeout=5) == Change("pods", "default", "")
