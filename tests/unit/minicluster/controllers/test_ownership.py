from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from meshlab.minicluster.controllers.cache import CachedApi
from meshlab.minicluster.controllers.deployment import DeploymentController
from meshlab.minicluster.controllers.ownergraph import OwnerGraph
from meshlab.minicluster.controllers.replicaset import ReplicaSetController
from meshlab.minicluster.events import EventRecorder
from meshlab.minicluster.kubeapi import Obj, StatusError
from tests.fakes.kube_api import FakeKubeApi

LABELS = {"app": "web"}


def template(image: str = "nginx:1") -> Obj:
    return {"metadata": {"labels": LABELS}, "spec": {"containers": [{"name": "c", "image": image}]}}


def replica_set(replicas: int) -> Obj:
    spec = {"replicas": replicas, "selector": {"matchLabels": LABELS}, "template": template()}
    return {"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": "web"}, "spec": spec}


class World:
    """One controller, reconciled by hand, on a fake API."""

    def __init__(self, kind: type[Any]) -> None:
        self.fake = FakeKubeApi()
        self.api = CachedApi(self.fake)
        self.recorder = EventRecorder(self.fake, "test")
        self.controller = kind(self.api, self.recorder)

    async def reconcile(self, name: str = "web") -> None:
        await self.controller.reconcile(("default", name))


@pytest.fixture
async def sets() -> AsyncIterator[World]:
    world = World(ReplicaSetController)
    await world.api.start()
    yield world
    await world.recorder.stop()
    await world.api.stop()


@pytest.fixture
async def deployments() -> AsyncIterator[World]:
    world = World(DeploymentController)
    await world.api.start()
    yield world
    await world.recorder.stop()
    await world.api.stop()


async def created(world: World, resource: str, obj: Obj) -> Obj:
    return await world.api.create(resource, obj, "default")


async def test_a_second_reconcile_knows_what_the_first_one_did(sets: World) -> None:
    await created(sets, "replicasets.apps", replica_set(5))
    await sets.reconcile()
    await sets.reconcile()
    assert len(sets.fake.all("pods")) == 5
    [stored] = sets.fake.all("replicasets.apps")
    assert stored["status"]["replicas"] == 5


async def test_matching_pods_are_adopted_and_others_released(sets: World) -> None:
    await created(sets, "pods", {"metadata": {"name": "stray", "labels": LABELS}, "spec": {}})
    await created(sets, "replicasets.apps", replica_set(1))
    await sets.reconcile()
    [pod] = sets.fake.all("pods")
    assert pod["metadata"]["ownerReferences"][0]["name"] == "web"
    await sets.api.patch("pods", pod, {"metadata": {"labels": {"app": "other"}}})
    await sets.reconcile()
    pods = {p["metadata"]["name"]: p for p in sets.fake.all("pods")}
    assert "ownerReferences" not in pods.pop("stray")["metadata"]
    assert len(pods) == 1, "the released pod was replaced"


async def test_a_refusal_is_met_once_and_becomes_a_condition(sets: World) -> None:
    attempts = []

    def refuse(verb: str, resource: str, obj: Obj) -> StatusError | None:
        if (verb, resource) != ("create", "pods"):
            return None
        attempts.append(obj)
        return StatusError(403, "Forbidden", "no pods today")

    await created(sets, "replicasets.apps", replica_set(100))
    sets.fake.refuse = refuse
    with pytest.raises(StatusError, match="no pods today"):
        await sets.reconcile()
    assert len(attempts) == 1
    [stored] = sets.fake.all("replicasets.apps")
    assert stored["status"]["conditions"][0]["reason"] == "FailedCreate"
    sets.fake.refuse = lambda *_: None
    await sets.reconcile()
    await sets.reconcile()
    [stored] = sets.fake.all("replicasets.apps")
    assert "conditions" not in stored["status"]


def deployment(replicas: int = 2) -> Obj:
    spec = {
        "replicas": replicas,
        "selector": {"matchLabels": LABELS},
        "template": template(),
        "progressDeadlineSeconds": 600,
        "revisionHistoryLimit": 1,
    }
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": spec}


async def settle(world: World) -> None:
    """Reconcile, and let every ReplicaSet report that it has what it asks for, until nothing moves."""
    for _ in range(10):
        await world.reconcile()
        for each in world.fake.all("replicasets.apps"):
            size = each["spec"]["replicas"]
            counts = {"replicas": size, "readyReplicas": size, "availableReplicas": size}
            status = {**counts, "observedGeneration": each["metadata"]["generation"]}
            await world.api.patch("replicasets.apps", each, {"status": status}, subresource="status")


async def roll(world: World, image: str) -> None:
    [current] = world.fake.all("deployments.apps")
    await world.api.patch("deployments.apps", current, {"spec": {"template": template(image)}})
    await settle(world)


async def test_noting_the_revision_is_no_change_of_the_spec(deployments: World) -> None:
    await created(deployments, "deployments.apps", deployment())
    await settle(deployments)
    [stored] = deployments.fake.all("deployments.apps")
    assert stored["metadata"]["annotations"] == {"deployment.kubernetes.io/revision": "1"}
    assert stored["metadata"]["generation"] == 1


async def test_history_is_trimmed_to_the_limit(deployments: World) -> None:
    await created(deployments, "deployments.apps", deployment())
    for image in ("nginx:1", "nginx:2", "nginx:3", "nginx:4"):
        await roll(deployments, image)
    sizes = {
        each["metadata"]["annotations"]["deployment.kubernetes.io/revision"]: each["spec"]["replicas"]
        for each in deployments.fake.all("replicasets.apps")
    }
    assert sizes == {"3": 0, "4": 2}


async def test_a_name_that_is_taken_counts_a_collision(deployments: World) -> None:
    await created(deployments, "deployments.apps", deployment())
    await deployments.reconcile()
    [first] = deployments.fake.all("replicasets.apps")
    stranger = {"template": {"metadata": {"labels": {"x": "y"}}, "spec": {}}, "selector": {"matchLabels": {"x": "y"}}}
    await deployments.api.delete("replicasets.apps", first)
    taken = {"metadata": {"name": first["metadata"]["name"]}, "spec": {"replicas": 0, **stranger}}
    await created(deployments, "replicasets.apps", taken)
    with pytest.raises(StatusError):
        await deployments.reconcile()
    await deployments.reconcile()
    [stored] = deployments.fake.all("deployments.apps")
    assert stored["status"]["collisionCount"] == 1
    assert len(deployments.fake.all("replicasets.apps")) == 2


async def test_a_reconcile_that_changes_nothing_writes_nothing(deployments: World) -> None:
    await created(deployments, "deployments.apps", deployment())
    await settle(deployments)
    deployments.fake.calls.clear()
    await deployments.reconcile()
    assert deployments.fake.calls == []


def owned(uid: str, *owners: str) -> Obj:
    references = [{"uid": owner} for owner in owners]
    return {"metadata": {"name": uid, "uid": uid, "ownerReferences": references}}


def test_dependents_are_known_before_and_after_their_owner() -> None:
    graph = OwnerGraph()
    graph.put("pods", owned("pod", "set"))
    assert [node.uid for node in graph.dependents("set")] == ["pod"]
    graph.put("replicasets.apps", owned("set", "deployment"))
    graph.remove("set")
    assert [node.uid for node in graph.dependents("set")] == ["pod"]
    assert graph.dependents("deployment") == []
    graph.put("pods", owned("pod"))
    assert graph.dependents("set") == []
    graph.remove("pod")
    assert len(graph) == 0
