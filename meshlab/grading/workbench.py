"""An exercise on a cluster: set up, put back, taken away, with everybody else's objects left alone.

What must be remembered of an attempt stands in the cluster itself, in a ConfigMap of the exercise's first namespace:
which variables were drawn, and which objects were there before. So another machine with nothing but the kubeconfig
gives the same verdicts, and ``reset`` knows what the learner made.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import yaml

from meshlab.cluster.facade import Cluster, NotFoundError, Obj, RefusedError
from meshlab.course.exercises import ExerciseFile, load, render_file
from meshlab.course.ids import short_id, timestamp
from meshlab.course.model import Exercise
from meshlab.errors import LabError, UsageError
from meshlab.grading.engine import CheckResult, run_check
from meshlab.grading.registry import CheckContext, Registry

EXERCISE_LABEL = "meshlab.dev/exercise"
READY_TIMEOUT_S = 90.0
POLL_S = 0.1

_DERIVED = {"events", "endpoints", "endpointslices", "leases", "controllerrevisions", "podmetrics"}
_PROVIDED = {("serviceaccounts", "default"), ("configmaps", "kube-root-ca.crt"), ("configmaps", "istio-ca-root-cert")}

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class AttemptRecord:
    """What the cluster remembers of an attempt."""

    attempt: str
    exercise: str
    version: int
    round: int
    learner: str
    variables: dict[str, str]
    namespaces: dict[str, str]
    started_at: str
    before: dict[str, list[str]] = field(default_factory=dict)
    """Per namespace, ``resource/name`` of every object that was there already."""
    namespace_labels: dict[str, dict[str, str]] = field(default_factory=dict)
    created_namespaces: list[str] = field(default_factory=list)

    @staticmethod
    def name_for(exercise_id: str) -> str:
        """The name of the ConfigMap that holds it."""
        return f"meshlab-{exercise_id}"


class Workbench:
    """One exercise on one cluster.

    Args:
        cluster: the cluster.
        registry: the course's checks, for the exercise's own precondition.
        on_progress: told what is being done.
    """

    def __init__(self, cluster: Cluster, registry: Registry, on_progress: Progress = lambda stage: None) -> None:
        self._cluster = cluster
        self._registry = registry
        self._progress = on_progress

    def record(self, source: ExerciseFile) -> AttemptRecord | None:
        """The attempt that is under way on this cluster, if any."""
        found = self._cluster.find("configmaps", AttemptRecord.name_for(source.id), _main_namespace(source))
        if found is None:
            return None
        try:
            return AttemptRecord(**json.loads(found["data"]["attempt"]))
        except (KeyError, ValueError, TypeError) as error:
            raise LabError(
                f"ConfigMap {AttemptRecord.name_for(source.id)} was changed and cannot be read: {error}",
                hint=f"meshlab reset {source.id} --remove, then meshlab start {source.id}",
            ) from error

    def resume(self, source: ExerciseFile) -> tuple[Exercise, AttemptRecord]:
        """The exercise as it was drawn when it was started.

        Raises:
            UsageError: it has not been started on this cluster, or was started in another version.
        """
        record = self.record(source)
        if record is None:
            raise UsageError(
                f"exercise {source.id} has not been started on this cluster", hint=f"meshlab start {source.id}"
            )
        if record.version != source.version:
            raise UsageError(
                f"exercise {source.id} was started in version {record.version}, the course now has {source.version}",
                hint=f"meshlab reset {source.id} --remove, then meshlab start {source.id}",
            )
        return load(source, record.variables, record.namespaces), record

    def start(self, exercise: Exercise, *, learner: str, round_: int) -> AttemptRecord:
        """Create the exercise's namespaces and objects, and prove that it begins as it should.

        Raises:
            UsageError: an object that it would create exists and is not meshlab's.
            LabError: the objects do not become ready, or the precondition does not hold.
        """
        objects = self._setup_objects(exercise)
        self._refuse_foreign(exercise, objects)
        created = [name for name in exercise.namespaces.values() if self._create_namespace(name, exercise)]
        record = AttemptRecord(
            attempt=short_id("a"),
            exercise=exercise.id,
            version=exercise.version,
            round=round_,
            learner=learner,
            variables=dict(exercise.variables),
            namespaces=dict(exercise.namespaces),
            started_at=timestamp(),
            before={
                name: sorted(f"{resource}/{obj['metadata']['name']}" for resource, obj in self._own_objects(name))
                for name in exercise.namespaces.values()
            },
            namespace_labels={name: self._namespace_labels(name) for name in exercise.namespaces.values()},
            created_namespaces=created,
        )
        self._write_record(exercise, record)
        try:
            self._apply(objects)
            self._wait_ready(exercise, objects)
            self._prove_start(exercise)
        except BaseException:
            # Nothing half done: what was created goes away again.
            self.remove(exercise, record)
            raise
        return record

    def made_by_learner(self, exercise: Exercise, record: AttemptRecord) -> list[tuple[str, str, str]]:
        """(resource, namespace, name) of everything in the exercise's namespaces that ``reset`` would delete."""
        setup = {
            (obj["kind"], obj["metadata"]["namespace"], obj["metadata"]["name"])
            for obj in self._setup_objects(exercise)
        }
        found = []
        for namespace in exercise.namespaces.values():
            before = set(record.before.get(namespace, ()))
            for resource, obj in self._own_objects(namespace):
                name = obj["metadata"]["name"]
                if f"{resource}/{name}" not in before and (obj["kind"], namespace, name) not in setup:
                    found.append((resource, namespace, name))
        return found

    def reset(self, exercise: Exercise, record: AttemptRecord) -> None:
        """Put the exercise back to its start: the learner's objects go, the exercise's own are as written."""
        self._delete(self.made_by_learner(exercise, record))
        for namespace, labels in record.namespace_labels.items():
            self._restore_namespace_labels(namespace, labels)
        objects = self._setup_objects(exercise)
        self._apply(objects)
        self._wait_ready(exercise, objects)
        self._prove_start(exercise)

    def remove(self, exercise: Exercise, record: AttemptRecord) -> None:
        """Take the exercise away: the cluster is as it was before ``start``."""
        self._delete(self.made_by_learner(exercise, record))
        objects = self._setup_objects(exercise)
        self._delete(
            [
                (self._cluster.resource_of(obj), obj["metadata"]["namespace"], obj["metadata"]["name"])
                for obj in reversed(objects)
            ]
        )
        for namespace, labels in record.namespace_labels.items():
            if namespace not in record.created_namespaces:
                self._restore_namespace_labels(namespace, labels)
        self._cluster.delete("configmaps", AttemptRecord.name_for(exercise.id), exercise.main_namespace)
        self._cluster.delete("configmaps", answers_name(exercise.id), exercise.main_namespace)
        for namespace in record.created_namespaces:
            self._cluster.delete("namespaces", namespace)
        self._wait_gone(exercise, record)

    def census(self, exercise: Exercise) -> set[str]:
        """``resource namespace/name`` of every object in the exercise's namespaces, and those namespaces themselves."""
        found = set()
        for namespace in exercise.namespaces.values():
            if self._cluster.find("namespaces", namespace) is not None:
                found.add(f"namespaces {namespace}")
                found |= {f"{kind} {namespace}/{obj['metadata']['name']}" for kind, obj in self._own_objects(namespace)}
        return found

    def answer(self, exercise: Exercise, task: str, value: str) -> None:
        """Write a learner's answer into the exercise's ConfigMap of answers."""
        name, namespace = answers_name(exercise.id), exercise.main_namespace
        if self._cluster.find("configmaps", name, namespace) is None:
            labels = {EXERCISE_LABEL: exercise.id}
            self._cluster.create("configmaps", {"metadata": {"name": name, "labels": labels}, "data": {}}, namespace)
        self._cluster.patch("configmaps", name, {"data": {task: value}}, namespace)

    def _setup_objects(self, exercise: Exercise) -> list[Obj]:
        objects = []
        for name in exercise.setup:
            for obj in parse_manifest(render_file(exercise, name), f"{exercise.folder / name}"):
                metadata = obj["metadata"]
                metadata.setdefault("namespace", exercise.main_namespace)
                metadata.setdefault("labels", {})[EXERCISE_LABEL] = exercise.id
                objects.append(obj)
        return objects

    def _refuse_foreign(self, exercise: Exercise, objects: list[Obj]) -> None:
        for obj in objects:
            metadata = obj["metadata"]
            found = self._cluster.find(self._cluster.resource_of(obj), metadata["name"], metadata["namespace"])
            if found is not None and (found["metadata"].get("labels") or {}).get(EXERCISE_LABEL) != exercise.id:
                raise UsageError(
                    f"{obj['kind']} {metadata['namespace']}/{metadata['name']} exists and is not this exercise's",
                    title="Something is in the way",
                    hint="remove or rename it, or use another cluster; meshlab touches only what it made",
                )

    def _create_namespace(self, name: str, exercise: Exercise) -> bool:
        if self._cluster.find("namespaces", name) is not None:
            return False
        self._cluster.create("namespaces", {"metadata": {"name": name, "labels": {EXERCISE_LABEL: exercise.id}}})
        return True

    def _namespace_labels(self, name: str) -> dict[str, str]:
        labels: dict[str, str] = self._cluster.get("namespaces", name)["metadata"].get("labels") or {}
        return labels

    def _restore_namespace_labels(self, name: str, labels: dict[str, str]) -> None:
        present = self._namespace_labels(name)
        changed: dict[str, str | None] = {key: None for key in present if key not in labels}
        changed |= {key: value for key, value in labels.items() if present.get(key) != value}
        if changed:
            self._cluster.patch("namespaces", name, {"metadata": {"labels": changed}})

    def _own_objects(self, namespace: str) -> Iterable[tuple[str, Obj]]:
        """Objects that somebody made: without those that a controller derives, and those that every namespace gets."""
        for resource in self._cluster.namespaced_resources():
            plural = resource.partition(".")[0]
            if plural in _DERIVED:
                continue
            for obj in self._cluster.list_objects(resource, namespace):
                metadata = obj["metadata"]
                if metadata.get("ownerReferences") or (plural, metadata["name"]) in _PROVIDED:
                    continue
                if plural == "configmaps" and metadata["name"].startswith("meshlab-"):
                    continue
                yield resource, obj

    def _write_record(self, exercise: Exercise, record: AttemptRecord) -> None:
        content = {name: getattr(record, name) for name in AttemptRecord.__dataclass_fields__}
        body = {
            "metadata": {
                "name": AttemptRecord.name_for(exercise.id),
                "labels": {EXERCISE_LABEL: exercise.id},
            },
            "data": {"attempt": json.dumps(content, sort_keys=True)},
        }
        self._cluster.create("configmaps", body, exercise.main_namespace)

    def _apply(self, objects: list[Obj]) -> None:
        for obj in objects:
            metadata = obj["metadata"]
            resource = self._cluster.resource_of(obj)
            self._progress(f"{obj['kind']} {metadata['namespace']}/{metadata['name']}")
            found = self._cluster.find(resource, metadata["name"], metadata["namespace"])
            if found is None:
                self._cluster.create(resource, obj, metadata["namespace"])
            else:
                self._replace(resource, obj, found)

    def _replace(self, resource: str, obj: Obj, found: Obj) -> None:
        """Write the object as the exercise has it, keeping only what the cluster assigned."""
        desired = json.loads(json.dumps(obj))
        desired["metadata"]["resourceVersion"] = found["metadata"]["resourceVersion"]
        if obj["kind"] == "Service":
            for key in ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"):
                if key in found["spec"]:
                    desired["spec"].setdefault(key, found["spec"][key])
        self._cluster.replace(resource, desired)

    def _wait_ready(self, exercise: Exercise, objects: list[Obj]) -> None:
        """Wait until every Deployment of the setup has exactly its pods, ready and of the present template."""
        deployments = [obj for obj in objects if obj["kind"] == "Deployment"]
        deadline = time.monotonic() + READY_TIMEOUT_S
        for deployment in deployments:
            name, namespace = deployment["metadata"]["name"], deployment["metadata"]["namespace"]
            self._progress(f"waiting for {namespace}/{name}")
            while not self._is_rolled_out(name, namespace):
                if time.monotonic() > deadline:
                    raise LabError(
                        f"Deployment {namespace}/{name} of exercise {exercise.id} does not become ready: "
                        f"{self._why_not_ready(name, namespace)}",
                        hint=f"kubectl describe deployment -n {namespace} {name}",
                    )
                time.sleep(POLL_S)

    def _is_rolled_out(self, name: str, namespace: str) -> bool:
        deployment = self._cluster.get("deployments.apps", name, namespace)
        status, wanted = deployment.get("status") or {}, deployment["spec"].get("replicas", 1)
        if status.get("observedGeneration", 0) < deployment["metadata"]["generation"]:
            return False
        counts = [status.get(key, 0) for key in ("updatedReplicas", "readyReplicas", "replicas")]
        if counts != [wanted] * 3:
            return False
        selector = ",".join(f"{key}={value}" for key, value in deployment["spec"]["selector"]["matchLabels"].items())
        # Pods that are on their way out still answer requests; the start is clean only without them.
        present = len(self._cluster.list_objects("pods", namespace, label_selector=selector))
        return present == int(wanted)

    def _why_not_ready(self, name: str, namespace: str) -> str:
        deployment = self._cluster.get("deployments.apps", name, namespace)
        for condition in (deployment.get("status") or {}).get("conditions") or []:
            if condition["type"] in ("ReplicaFailure", "Progressing") and condition.get("message"):
                failure = condition["message"]
                if condition["type"] == "ReplicaFailure":
                    return str(failure)
        selector = ",".join(f"{key}={value}" for key, value in deployment["spec"]["selector"]["matchLabels"].items())
        for pod in self._cluster.list_objects("pods", namespace, label_selector=selector):
            status = pod.get("status") or {}
            for container in (status.get("initContainerStatuses") or []) + (status.get("containerStatuses") or []):
                waiting = (container.get("state") or {}).get("waiting")
                if waiting:
                    return f"{container['name']}: {waiting.get('reason')}: {waiting.get('message', '')}"
        return "its pods are not there yet"

    def _prove_start(self, exercise: Exercise) -> None:
        context = CheckContext(self._cluster, exercise)
        for call in exercise.starts:
            result: CheckResult = run_check(context, call, self._registry, within_s=READY_TIMEOUT_S / 3)
            if result.verdict.outcome != "PASS":
                raise LabError(
                    f"exercise {exercise.id} does not begin as it should: {call.name}: {result.verdict.found}",
                    hint=result.verdict.why or "is something else in its namespaces?",
                )

    def _delete(self, targets: list[tuple[str, str, str]]) -> None:
        for resource, namespace, name in targets:
            self._progress(f"deleting {resource.partition('.')[0]} {namespace}/{name}")
            try:
                self._cluster.delete(resource, name, namespace, grace_s=1 if resource == "pods" else None)
            except NotFoundError:
                continue

    def _wait_gone(self, exercise: Exercise, record: AttemptRecord) -> None:
        """Wait until no pod of the exercise is left."""
        deadline = time.monotonic() + READY_TIMEOUT_S
        for namespace in exercise.namespaces.values():
            before = {
                entry.partition("/")[2] for entry in record.before.get(namespace, ()) if entry.startswith("pods/")
            }
            while self._leftover_pods(namespace, before, exercise):
                if time.monotonic() > deadline:
                    raise LabError(f"pods of exercise {exercise.id} do not go away in namespace {namespace}")
                time.sleep(POLL_S)

    def _leftover_pods(self, namespace: str, before: set[str], exercise: Exercise) -> bool:
        workloads = [
            obj["spec"]["template"]["metadata"]["labels"]
            for obj in self._setup_objects(exercise)
            if obj["kind"] in ("Deployment", "StatefulSet", "DaemonSet") and obj["metadata"]["namespace"] == namespace
        ]
        try:
            pods = self._cluster.list_objects("pods", namespace)
        except RefusedError:
            return False
        return any(
            pod["metadata"]["name"] not in before
            and any(labels.items() <= (pod["metadata"].get("labels") or {}).items() for labels in workloads)
            for pod in pods
        )


def answers_name(exercise_id: str) -> str:
    """The ConfigMap that holds a learner's answers."""
    return f"meshlab-answers-{exercise_id}"


def parse_manifest(text: str, where: str) -> list[Obj]:
    """The objects of a manifest.

    Raises:
        LabError: it is not YAML, or holds something that is no object.
    """
    try:
        documents: list[Any] = [document for document in yaml.safe_load_all(text) if document]
    except yaml.YAMLError as error:
        raise LabError(f"{where} is not YAML: {error}") from error
    for document in documents:
        if not isinstance(document, dict) or not {"apiVersion", "kind", "metadata"} <= document.keys():
            raise LabError(f"{where} holds something that is not a Kubernetes object")
    return documents


def _main_namespace(source: ExerciseFile) -> str:
    return next(iter(source.namespaces.values()))
