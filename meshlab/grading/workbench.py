"""An exercise on a cluster: set up, put back, taken away, with everybody else's objects left alone.

What must be remembered of an attempt stands in the cluster itself, in a ConfigMap of the exercise's first namespace:
which variables were drawn, and which objects were there before. So another machine with nothing but the kubeconfig
gives the same verdicts, and ``reset`` knows what the learner made.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import yaml

from meshlab.cluster.facade import Cluster, NotFoundError, Obj, RefusedError
from meshlab.course.exercises import ExerciseFile, load, render_file
from meshlab.course.ids import short_id, timestamp
from meshlab.course.model import CheckCall, Exercise
from meshlab.errors import LabError, UsageError
from meshlab.grading import scripts
from meshlab.grading.attempt import AttemptRecord, answers_name
from meshlab.grading.engine import CheckResult, run_check
from meshlab.grading.registry import CheckContext, Registry
from meshlab.grading.rollout import READY_TIMEOUT_S, wait_rolled_out

EXERCISE_LABEL = "meshlab.dev/exercise"
POLL_S = 0.1
CONFLICT_TRIES = 5

_DERIVED = {"events", "endpoints", "endpointslices", "leases", "controllerrevisions", "podmetrics"}
_WORKLOADS = ("Deployment", "StatefulSet", "DaemonSet")
_PROVIDED = {("serviceaccounts", "default"), ("configmaps", "kube-root-ca.crt"), ("configmaps", "istio-ca-root-cert")}

Progress = Callable[[str], None]


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
        return None if found is None else AttemptRecord.from_config_map(found, source.id)

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
            UsageError: the cluster is not as the exercise must find it, or an object that it would create exists and is
                not meshlab's.
            LabError: the objects do not become ready, or the precondition does not hold.
        """
        self._prove_before(exercise)
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
            record = self._settle(exercise, record, objects)
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

    def reset(self, exercise: Exercise, record: AttemptRecord) -> AttemptRecord:
        """Put the exercise back to its start: the learner's objects and answers go, the exercise's own are as written.

        Returns:
            The record, brought up to date.
        """
        self._tear_down(exercise)
        self._delete(self.made_by_learner(exercise, record))
        self._cluster.delete("configmaps", answers_name(exercise.id), exercise.main_namespace)
        for namespace, labels in record.namespace_labels.items():
            self._restore_namespace_labels(namespace, labels)
        objects = self._setup_objects(exercise)
        # A pod that was recreated may differ from its template by what a webhook added then.
        recreated = [pod for pod in self._pods_of(objects) if _path_of(pod) not in record.pods]
        self._apply(objects)
        self._delete([("pods", pod["metadata"]["namespace"], pod["metadata"]["name"]) for pod in recreated])
        return self._settle(exercise, record, objects)

    def remove(self, exercise: Exercise, record: AttemptRecord) -> None:
        """Take the exercise away: the cluster is as it was before ``start``."""
        self._tear_down(exercise)
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
        """``resource namespace/name`` of every object that the exercise may leave behind.

        That is what stands in its namespaces, and those namespaces themselves; for an exercise on the whole cluster it
        is every namespace and all that belongs to none.
        """
        found = set()
        for namespace in exercise.namespaces.values():
            if self._cluster.find("namespaces", namespace) is not None:
                found.add(f"namespaces {namespace}")
                found |= {f"{kind} {namespace}/{obj['metadata']['name']}" for kind, obj in self._own_objects(namespace)}
        if exercise.scope == "cluster":
            for resource in self._cluster.cluster_resources():
                if resource.partition(".")[0] not in _DERIVED:
                    objects = self._cluster.list_objects(resource)
                    found |= {f"{resource} {obj['metadata']['name']}" for obj in objects if not _is_leaving(obj)}
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
        body = {
            "metadata": {
                "name": AttemptRecord.name_for(exercise.id),
                "labels": {EXERCISE_LABEL: exercise.id},
            },
            "data": record.to_data(),
        }
        self._cluster.create("configmaps", body, exercise.main_namespace)

    def _apply(self, objects: list[Obj]) -> None:
        for obj in objects:
            metadata = obj["metadata"]
            resource = self._cluster.resource_of(obj)
            self._progress(f"{obj['kind']} {metadata['namespace']}/{metadata['name']}")
            for attempt in range(1, CONFLICT_TRIES + 1):
                try:
                    self._write(resource, obj)
                    break
                except RefusedError as refused:
                    # A controller may write its status between our reading and our writing.
                    if refused.reason != "Conflict" or attempt == CONFLICT_TRIES:
                        raise

    def _write(self, resource: str, obj: Obj) -> None:
        metadata = obj["metadata"]
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

    def _settle(self, exercise: Exercise, record: AttemptRecord, objects: list[Obj]) -> AttemptRecord:
        """Wait until the exercise stands as written, prove it, and remember its pods."""
        deployments = [obj for obj in objects if obj["kind"] == "Deployment"]
        wait_rolled_out(self._cluster, deployments, self._progress)
        self._prove_start(exercise)
        record = replace(record, pods=sorted(_path_of(pod) for pod in self._pods_of(objects)))
        self._cluster.patch(
            "configmaps", AttemptRecord.name_for(exercise.id), {"data": record.to_data()}, exercise.main_namespace
        )
        return record

    def _prove_before(self, exercise: Exercise) -> None:
        for call, result in self._judged(exercise, exercise.before, within_s=0):
            verdict = result.verdict
            if verdict.outcome == "ERROR":
                raise LabError(f"{call.name}: {verdict.found}", hint=verdict.hint)
            if verdict.outcome != "PASS":
                raise UsageError(
                    f"exercise {exercise.id} cannot start here: {verdict.found}",
                    title="Something is in the way",
                    hint=verdict.hint,
                )

    def _prove_start(self, exercise: Exercise) -> None:
        for call, result in self._judged(exercise, exercise.starts, within_s=READY_TIMEOUT_S / 3):
            if result.verdict.outcome != "PASS":
                raise LabError(
                    f"exercise {exercise.id} does not begin as it should: {call.name}: {result.verdict.found}",
                    hint=result.verdict.why or "is something else in its namespaces?",
                )

    def _judged(
        self, exercise: Exercise, calls: Sequence[CheckCall], *, within_s: float
    ) -> Iterator[tuple[CheckCall, CheckResult]]:
        context = CheckContext(self._cluster, exercise)
        for call in calls:
            yield call, run_check(context, call, self._registry, within_s=within_s)

    def _tear_down(self, exercise: Exercise) -> None:
        for name in exercise.teardown:
            self._progress(f"running {name}")
            scripts.run(exercise, name, self._cluster)

    def _delete(self, targets: list[tuple[str, str, str]]) -> None:
        for resource, namespace, name in targets:
            self._progress(f"deleting {resource.partition('.')[0]} {namespace}/{name}")
            try:
                self._cluster.delete(resource, name, namespace, grace_s=1 if resource == "pods" else None)
            except NotFoundError:
                continue

    def _wait_gone(self, exercise: Exercise, record: AttemptRecord) -> None:
        """Wait until no pod of the exercise is left, nor a namespace that it brought."""
        deadline = time.monotonic() + READY_TIMEOUT_S
        objects = self._setup_objects(exercise)
        while left := self._left(record, objects):
            if time.monotonic() > deadline:
                raise LabError(f"what exercise {exercise.id} made does not go away: {', '.join(left)}")
            time.sleep(POLL_S)

    def _left(self, record: AttemptRecord, objects: list[Obj]) -> list[str]:
        namespaces = [name for name in record.created_namespaces if self._cluster.find("namespaces", name) is not None]
        before = {
            f"{namespace}/{entry.removeprefix('pods/')}"
            for namespace, entries in record.before.items()
            for entry in entries
            if entry.startswith("pods/")
        }
        return namespaces + [path for pod in self._pods_of(objects) if (path := _path_of(pod)) not in before]

    def _pods_of(self, objects: list[Obj]) -> list[Obj]:
        """The pods that the exercise's own workloads have now, also those that are on their way out."""
        found = []
        for obj in objects:
            if obj["kind"] in _WORKLOADS:
                labels = obj["spec"]["template"]["metadata"]["labels"]
                selector = ",".join(f"{key}={value}" for key, value in labels.items())
                try:
                    found += self._cluster.list_objects("pods", obj["metadata"]["namespace"], label_selector=selector)
                except RefusedError:
                    continue
        return found


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


def _path_of(obj: Obj) -> str:
    return f"{obj['metadata']['namespace']}/{obj['metadata']['name']}"


def _is_leaving(obj: Obj) -> bool:
    return bool(obj["metadata"].get("deletionTimestamp"))


def _main_namespace(source: ExerciseFile) -> str:
    return next(iter(source.namespaces.values()))
