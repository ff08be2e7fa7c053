"""The ReplicaSets of a Deployment: which one is new, what a new one looks like, and the annotations it carries.

Pure functions; `controller` writes what they return.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from meshlab.minicluster.controllers.deployment.arithmetic import (
    DESIRED_REPLICAS,
    HASH_LABEL,
    MAX_REPLICAS,
    REVISION,
    REVISION_HISTORY,
    by_age,
    max_surge,
    replicas_of,
    revision_of,
)
from meshlab.minicluster.controllers.ownership import controller_reference
from meshlab.minicluster.kubeapi import Obj

API_VERSION, KIND = "apps/v1", "Deployment"
NOT_COPIED = frozenset(
    {
        "kubectl.kubernetes.io/last-applied-configuration",
        REVISION,
        REVISION_HISTORY,
        DESIRED_REPLICAS,
        MAX_REPLICAS,
        "deprecated.deployment.rollback.to",
    }
)
"""Annotations of the Deployment that its ReplicaSets do not inherit."""


def template_without_hash(template: Obj) -> Obj:
    """A pod template as the Deployment has it: without the label that tells ReplicaSets apart."""
    metadata = dict(template.get("metadata") or {})
    labels = {key: value for key, value in (metadata.get("labels") or {}).items() if key != HASH_LABEL}
    metadata.pop("creationTimestamp", None)
    metadata.pop("labels", None)
    if labels:
        metadata["labels"] = labels
    return {"metadata": {k: v for k, v in metadata.items() if v}, "spec": template.get("spec") or {}}


def find_new_set(deployment: Obj, sets: Sequence[Obj]) -> Obj | None:
    """The oldest ReplicaSet whose template is the Deployment's."""
    template = template_without_hash(deployment["spec"]["template"])
    for each in by_age(sets):
        if template_without_hash(each["spec"]["template"]) == template:
            return each
    return None


def new_replica_set(deployment: Obj, pod_template_hash: str, replicas: int, revision: int) -> Obj:
    """The ReplicaSet to create for the Deployment's present template."""
    metadata, spec = deployment["metadata"], deployment["spec"]
    template = spec["template"]
    template_metadata = dict(template.get("metadata") or {})
    labels = {**(template_metadata.get("labels") or {}), HASH_LABEL: pod_template_hash}
    template_metadata["labels"] = labels
    selector = dict(spec["selector"])
    selector["matchLabels"] = {**(selector.get("matchLabels") or {}), HASH_LABEL: pod_template_hash}
    annotations = {**_inherited(deployment), REVISION: str(revision), **size_annotations(deployment)}
    set_spec: Obj = {
        "replicas": replicas,
        "selector": selector,
        "template": {"metadata": template_metadata, "spec": template.get("spec") or {}},
    }
    if spec.get("minReadySeconds"):
        set_spec["minReadySeconds"] = spec["minReadySeconds"]
    return {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": f"{metadata['name']}-{pod_template_hash}",
            "namespace": metadata["namespace"],
            "labels": labels,
            "annotations": annotations,
            "ownerReferences": [controller_reference(deployment, API_VERSION, KIND)],
        },
        "spec": set_spec,
    }


def size_annotations(deployment: Obj) -> dict[str, str]:
    """What a ReplicaSet remembers of the Deployment's size when it was last sized."""
    wanted = replicas_of(deployment)
    return {DESIRED_REPLICAS: str(wanted), MAX_REPLICAS: str(wanted + max_surge(deployment))}


def refreshed_new_set(deployment: Obj, new_set: Obj, revision: int) -> Obj | None:
    """The new ReplicaSet with inherited annotations, revision and minReadySeconds up to date; None if it is."""
    metadata, spec = new_set["metadata"], new_set["spec"]
    old: dict[str, str] = metadata.get("annotations") or {}
    annotations = {**old, **_inherited(deployment)}
    if revision_of(new_set) < revision:
        annotations[REVISION] = str(revision)
        if REVISION in old:
            history = [text for text in old.get(REVISION_HISTORY, "").split(",") if text]
            annotations[REVISION_HISTORY] = ",".join([*history, old[REVISION]])
    min_ready_s = deployment["spec"].get("minReadySeconds") or 0
    if annotations == old and (spec.get("minReadySeconds") or 0) == min_ready_s:
        return None
    return {
        **new_set,
        "metadata": {**metadata, "annotations": annotations},
        "spec": {**spec, "minReadySeconds": min_ready_s},
    }


def resized(deployment: Obj, replica_set: Obj, replicas: int) -> Obj | None:
    """The ReplicaSet with another size, and with the size annotations of now; None if nothing changes."""
    metadata, spec = replica_set["metadata"], replica_set["spec"]
    annotations: dict[str, Any] = {**(metadata.get("annotations") or {}), **size_annotations(deployment)}
    if replicas == replicas_of(replica_set) and annotations == metadata.get("annotations"):
        return None
    return {**replica_set, "metadata": {**metadata, "annotations": annotations}, "spec": {**spec, "replicas": replicas}}


def surplus_history(deployment: Obj, old_sets: Sequence[Obj]) -> list[Obj]:
    """The ReplicaSets beyond ``revisionHistoryLimit`` that may be deleted: the lowest revisions, if empty."""
    limit = deployment["spec"].get("revisionHistoryLimit")
    alive = [each for each in old_sets if not each["metadata"].get("deletionTimestamp")]
    if limit is None or limit == 2**31 - 1 or len(alive) <= limit:
        return []
    oldest = sorted(alive, key=revision_of)[: len(alive) - limit]
    return [
        each
        for each in oldest
        if replicas_of(each) == 0
        and not (each.get("status") or {}).get("replicas")
        and each["metadata"].get("generation", 0) <= (each.get("status") or {}).get("observedGeneration", 0)
    ]


def _inherited(deployment: Obj) -> dict[str, str]:
    annotations = deployment["metadata"].get("annotations") or {}
    return {key: value for key, value in annotations.items() if key not in NOT_COPIED}
