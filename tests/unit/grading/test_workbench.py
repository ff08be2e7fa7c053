"""An exercise on a cluster that is a dictionary: what is refused, what is put back, what is taken away."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path

import pytest

from meshlab.cluster.facade import RefusedError
from meshlab.course.model import CheckCall, Exercise
from meshlab.errors import LabError, UsageError
from meshlab.grading import scripts
from meshlab.grading.attempt import AttemptRecord
from meshlab.grading.workbench import CONFLICT_TRIES, Workbench
from tests.fakes import grading
from tests.fakes.cluster import ObjectCluster, named, pod

MANIFEST = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 1
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: nginx}]}
"""


class Rolled(ObjectCluster):
    """A cluster in which every Deployment is rolled out at once, with one pod."""

    made = 0

    def put(self, resource: str, obj: dict) -> None:  # type: ignore[type-arg]
        if resource == "deployments.apps":
            counts = dict.fromkeys(("updatedReplicas", "readyReplicas", "replicas"), obj["spec"]["replicas"])
            obj["metadata"].setdefault("generation", 1)
            obj["metadata"]["resourceVersion"] = "1"
            obj["status"] = {"observedGeneration": 1, **counts}
            self.controller(obj)
        super().put(resource, obj)

    def controller(self, obj: dict) -> None:  # type: ignore[type-arg]
        """What the Deployment's controller does: a pod, if there is none."""
        namespace, name = obj["metadata"]["namespace"], obj["metadata"]["name"]
        if not self.list_objects("pods", namespace, label_selector=f"app={name}"):
            self.made += 1
            self.put("pods", pod(f"{name}-{self.made}", namespace, name))

    def delete(self, resource: str, name: str, namespace: str | None = None, *, grace_s: int | None = None) -> bool:
        found = self.find(resource, name, namespace)
        gone = super().delete(resource, name, namespace, grace_s=grace_s)
        if resource == "deployments.apps":
            for each in self.list_objects("pods", namespace, label_selector=f"app={name}"):
                super().delete("pods", each["metadata"]["name"], namespace)
        if resource == "pods" and found:
            owner = self.find("deployments.apps", found["metadata"]["labels"]["app"], namespace)
            if owner:
                self.controller(owner)
        return gone


@pytest.fixture
def exercise(tmp_path: Path) -> Exercise:
    (tmp_path / "app.yaml").write_text(MANIFEST)
    written = grading.exercise(grading.task("right"), folder=tmp_path)
    return replace(written, setup=("app.yaml",), namespaces={"app": "shop"})


@pytest.fixture
def cluster() -> Rolled:
    return Rolled()


def bench(cluster: ObjectCluster, **checks: grading.ScriptedCheck) -> Workbench:
    return Workbench(cluster.facade, grading.registry(**checks))


def start(cluster: ObjectCluster, exercise: Exercise, **checks: grading.ScriptedCheck) -> AttemptRecord:
    return bench(cluster, **checks).start(exercise, learner="r-1", round_=1)


def test_what_must_hold_before_is_asked_before_anything_is_created(cluster: Rolled, exercise: Exercise) -> None:
    wanting = replace(exercise, before=(CheckCall("free", {}),))
    with pytest.raises(UsageError, match="cannot start here: it is not") as caught:
        start(cluster, wanting, free=grading.ScriptedCheck(grading.FAIL))
    assert caught.value.hint == "look there"
    assert not cluster.calls
    with pytest.raises(LabError, match="the lab is broken"):
        start(cluster, wanting, free=grading.ScriptedCheck(grading.ERROR))
    start(cluster, wanting, free=grading.ScriptedCheck(grading.PASS))
    assert cluster.find("deployments.apps", "web", "shop")


def test_the_record_remembers_the_pods_and_is_read_back(cluster: Rolled, exercise: Exercise) -> None:
    record = start(cluster, exercise)
    assert record.pods == ["shop/web-1"]
    stored = cluster.get("configmaps", "meshlab-canary", "shop")
    assert AttemptRecord.from_config_map(stored, "canary") == record


def test_a_reset_takes_back_objects_answers_labels_and_recreated_pods(cluster: Rolled, exercise: Exercise) -> None:
    record = start(cluster, exercise)
    work = bench(cluster)
    cluster.put("configmaps", named("mine", "shop"))
    work.answer(exercise, "right", "42")
    cluster.patch("namespaces", "shop", {"metadata": {"labels": {"istio-injection": "enabled"}}})
    cluster.delete("pods", "web-1", "shop")
    assert cluster.find("pods", "web-2", "shop")
    renewed = work.reset(exercise, record)
    assert cluster.find("configmaps", "mine", "shop") is None
    assert cluster.find("configmaps", "meshlab-answers-canary", "shop") is None
    assert "istio-injection" not in cluster.get("namespaces", "shop")["metadata"]["labels"]
    assert renewed.pods == ["shop/web-3"]
    # Pods that are as they began are left alone.
    assert work.reset(exercise, renewed).pods == ["shop/web-3"]


@pytest.mark.parametrize(("conflicts", "succeeds"), [(2, True), (99, False)])
def test_an_object_is_written_again_where_a_controller_came_between(
    cluster: Rolled, exercise: Exercise, monkeypatch: pytest.MonkeyPatch, conflicts: int, succeeds: bool
) -> None:
    record = start(cluster, exercise)
    write, tries = cluster.replace, []

    def contested(resource: str, obj: dict) -> dict:  # type: ignore[type-arg]
        tries.append(resource)
        if len(tries) <= conflicts:
            raise RefusedError("the object has been modified", 409, "Conflict")
        return write(resource, obj)

    monkeypatch.setattr(cluster, "replace", contested)
    with contextlib.nullcontext() if succeeds else pytest.raises(RefusedError):
        bench(cluster).reset(exercise, record)
    assert len(tries) == (conflicts + 1 if succeeds else CONFLICT_TRIES)


def test_teardown_scripts_run_before_anything_else(
    cluster: Rolled, exercise: Exercise, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = replace(exercise, teardown=("undo.sh",))
    record = start(cluster, done)
    ran: list[tuple[str, int]] = []

    def run(of: Exercise, script: str, on: object) -> str:
        ran.append((script, len(cluster.calls)))
        return ""

    monkeypatch.setattr(scripts, "run", run)
    cluster.calls.clear()
    record = bench(cluster).reset(done, record)
    cluster.calls.clear()
    bench(cluster).remove(done, record)
    assert ran == [("undo.sh", 0), ("undo.sh", 0)]


def test_nothing_is_left_behind(cluster: Rolled, exercise: Exercise) -> None:
    work = bench(cluster)
    before = work.census(exercise)
    record = start(cluster, exercise)
    # Pods are their owner's; they go with it.
    assert work.census(exercise) == {"namespaces shop", "deployments.apps shop/web"}
    work.remove(exercise, record)
    assert work.census(exercise) == before == set()


def test_an_exercise_on_the_whole_cluster_is_counted_on_the_whole_cluster(cluster: Rolled, exercise: Exercise) -> None:
    wide = replace(exercise, scope="cluster")
    cluster.put("namespaces", named("istio-system"))
    leaving = named("probe")
    leaving["metadata"]["deletionTimestamp"] = "2026-11-25T10:00:00Z"
    cluster.put("namespaces", leaving)
    assert bench(cluster).census(wide) == {"namespaces istio-system"}
