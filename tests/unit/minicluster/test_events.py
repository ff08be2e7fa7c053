from __future__ import annotations

from meshlab.minicluster.events import BURST, FOLDED_PREFIX, EventPruner, EventRecorder
from meshlab.minicluster.kubeapi import Obj
from tests.fakes.kube_api import FakeKubeApi

POD: Obj = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "web", "namespace": "team", "uid": "u1", "resourceVersion": "7"},
}


async def test_an_event_says_who_what_and_where() -> None:
    api = FakeKubeApi()
    recorder = EventRecorder(api, "kubelet", host="meshlab", now=lambda: 1000.0)
    recorder.event(POD, "Warning", "Unhealthy", "Readiness probe failed", field_path="spec.containers{web}")
    await recorder.stop()
    [event] = api.all("events")
    assert event["metadata"]["namespace"] == "team"
    prefix, _, suffix = event["metadata"]["name"].partition(".")
    assert prefix == "web"
    assert int(suffix, 16) == 1000 * 10**9
    assert event["involvedObject"] == {
        "kind": "Pod",
        "namespace": "team",
        "name": "web",
        "uid": "u1",
        "apiVersion": "v1",
        "resourceVersion": "7",
        "fieldPath": "spec.containers{web}",
    }
    assert event["source"] == {"component": "kubelet", "host": "meshlab"}
    assert (event["count"], event["firstTimestamp"]) == (1, "1970-01-01T00:16:40Z")


async def test_a_repeated_fact_raises_the_count() -> None:
    clock = [1000.0]
    api = FakeKubeApi()
    recorder = EventRecorder(api, "kubelet", now=lambda: clock[0])
    for _ in range(3):
        recorder.event(POD, "Warning", "BackOff", "Back-off restarting")
        clock[0] += 60
    await recorder.stop()
    [event] = api.all("events")
    assert event["count"] == 3
    assert (event["firstTimestamp"], event["lastTimestamp"]) == ("1970-01-01T00:16:40Z", "1970-01-01T00:18:40Z")


async def test_a_pruned_event_is_told_anew() -> None:
    clock = [10_000.0]
    api = FakeKubeApi()
    recorder = EventRecorder(api, "kubelet", now=lambda: clock[0])
    recorder.event(POD, "Normal", "Pulled", "there")
    await recorder.stop()
    clock[0] += 3599
    pruner = EventPruner(api, now=lambda: clock[0])
    assert await pruner.prune() == 0
    clock[0] += 2
    assert await pruner.prune() == 1
    recorder.event(POD, "Normal", "Pulled", "there")
    await recorder.stop()
    [event] = api.all("events")
    assert event["count"] == 1


async def test_many_similar_facts_are_folded_and_a_flood_is_cut() -> None:
    api = FakeKubeApi()
    recorder = EventRecorder(api, "kubelet", now=lambda: 1000.0)
    for number in range(100):
        recorder.event(POD, "Normal", "Created", f"Created pod number {number}")
    await recorder.stop()
    events = api.all("events")
    assert sum(event["count"] for event in events) == BURST
    [folded] = [event for event in events if event["message"].startswith(FOLDED_PREFIX)]
    assert folded["count"] == BURST - len(events) + 1


async def test_components_share_a_queue_but_speak_for_themselves() -> None:
    api = FakeKubeApi()
    recorder = EventRecorder(api, "kubelet")
    recorder.with_component("default-scheduler").event(POD, "Normal", "Scheduled", "assigned")
    await recorder.stop()
    [event] = api.all("events")
    assert event["reportingComponent"] == "default-scheduler"
    assert event["source"] == {"component": "default-scheduler"}


async def test_events_of_cluster_scoped_objects_are_in_default() -> None:
    api = FakeKubeApi()
    recorder = EventRecorder(api, "kubelet")
    recorder.event(
        {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "meshlab"}}, "Normal", "NodeReady", "ready"
    )
    await recorder.stop()
    [event] = api.all("events")
    assert event["metadata"]["namespace"] == "default"
    assert "namespace" not in event["involvedObject"]
