"""Deployments, ReplicaSets, StatefulSets, DaemonSets, Jobs and CronJobs: templates with a selector."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator

from meshlab.minicluster.apiserver.selectors import selector_from_object
from meshlab.minicluster.apiserver.statuses import Problem, invalid_value, required
from meshlab.minicluster.apiserver.strategies import podspec
from meshlab.minicluster.apiserver.strategies.base import Strategy, fill
from meshlab.minicluster.kubeapi import Obj, StatusError


def default_rolling(strategy: Obj, defaults: Obj) -> None:
    """Fill in a ``RollingUpdate`` strategy in place."""
    fill(strategy, {"type": "RollingUpdate"})
    if strategy["type"] == "RollingUpdate":
        fill(strategy, {"rollingUpdate": {}})
        fill(strategy["rollingUpdate"], defaults)


class WorkloadStrategy(Strategy):
    """What all workloads with a label selector and a template share."""

    selector_is_immutable = True

    def default(self, obj: Obj) -> None:
        fill(obj, {"spec": {}})
        fill(obj["spec"], {"template": {}})
        podspec.default_template(obj["spec"]["template"])

    def validate(self, obj: Obj) -> Iterator[Problem]:
        spec = obj["spec"]
        selector = spec.get("selector")
        labels = (spec["template"].get("metadata") or {}).get("labels") or {}
        if selector is None:
            yield required("spec.selector")
        elif not selector.get("matchLabels") and not selector.get("matchExpressions"):
            yield invalid_value(
                "spec.selector", selector, f"empty selector is invalid for {self.resource.kind.lower()}"
            )
        else:
            try:
                matched = selector_from_object(selector).matches(labels)
            except StatusError as error:
                yield invalid_value("spec.selector", selector, error.message)
            else:
                if not matched:
                    yield invalid_value(
                        "spec.template.metadata.labels", labels, "`selector` does not match template `labels`"
                    )
        if (spec.get("replicas") or 0) < 0:
            yield invalid_value("spec.replicas", spec["replicas"], "must be greater than or equal to 0")
        yield from podspec.template_problems(spec["template"], "spec.template")

    def validate_update(self, new: Obj, old: Obj) -> Iterator[Problem]:
        if self.selector_is_immutable and new["spec"].get("selector") != old["spec"].get("selector"):
            yield invalid_value("spec.selector", new["spec"].get("selector"), "field is immutable")


class DeploymentStrategy(WorkloadStrategy):
    """Deployments."""

    def default(self, obj: Obj) -> None:
        super().default(obj)
        spec = obj["spec"]
        fill(spec, {"replicas": 1, "revisionHistoryLimit": 10, "progressDeadlineSeconds": 600, "strategy": {}})
        default_rolling(spec["strategy"], {"maxSurge": "25%", "maxUnavailable": "25%"})

    def validate(self, obj: Obj) -> Iterator[Problem]:
        yield from super().validate(obj)
        strategy = obj["spec"]["strategy"]
        if strategy["type"] == "Recreate" and strategy.get("rollingUpdate") is not None:
            yield Problem(
                "FieldValueForbidden",
                "spec.strategy.rollingUpdate",
                "Forbidden: may not be specified when strategy `type` is 'Recreate'",
            )

    def generation_changed(self, new: Obj, old: Obj) -> bool:
        # Upstream counts changed annotations too, as they are copied to the ReplicaSets.
        annotations = new["metadata"].get("annotations") != old["metadata"].get("annotations")
        return annotations or super().generation_changed(new, old)


class ReplicaSetStrategy(WorkloadStrategy):
    """ReplicaSets."""

    def default(self, obj: Obj) -> None:
        super().default(obj)
        spec = obj["spec"]
        fill(spec, {"replicas": 1})
        labels = (spec["template"].get("metadata") or {}).get("labels")
        if labels:
            fill(spec, {"selector": {"matchLabels": dict(labels)}} if spec.get("selector") is None else {})

    def reset_status(self, obj: Obj) -> None:
        obj["status"] = {"replicas": 0}


class ReplicationControllerStrategy(Strategy):
    """ReplicationControllers: a ReplicaSet from before label selectors were objects."""

    def default(self, obj: Obj) -> None:
        fill(obj, {"spec": {}})
        spec = obj["spec"]
        fill(spec, {"replicas": 1, "template": {}})
        podspec.default_template(spec["template"])
        labels = (spec["template"].get("metadata") or {}).get("labels")
        if labels and not spec.get("selector"):
            spec["selector"] = dict(labels)

    def reset_status(self, obj: Obj) -> None:
        obj["status"] = {"replicas": 0}


class StatefulSetStrategy(WorkloadStrategy):
    """StatefulSets."""

    def default(self, obj: Obj) -> None:
        super().default(obj)
        spec = obj["spec"]
        fill(
            spec,
            {
                "replicas": 1,
                "revisionHistoryLimit": 10,
                "podManagementPolicy": "OrderedReady",
                "updateStrategy": {},
                "persistentVolumeClaimRetentionPolicy": {},
            },
        )
        fill(spec["persistentVolumeClaimRetentionPolicy"], {"whenDeleted": "Retain", "whenScaled": "Retain"})
        default_rolling(spec["updateStrategy"], {"partition": 0})
        for claim in spec.get("volumeClaimTemplates") or ():
            fill(claim, {"spec": {}, "status": {}})
            fill(claim["spec"], {"volumeMode": "Filesystem"})
            fill(claim["status"], {"phase": "Pending"})

    def reset_status(self, obj: Obj) -> None:
        obj["status"] = {"availableReplicas": 0, "replicas": 0}


class DaemonSetStrategy(WorkloadStrategy):
    """DaemonSets."""

    def default(self, obj: Obj) -> None:
        super().default(obj)
        spec = obj["spec"]
        fill(spec, {"revisionHistoryLimit": 10, "updateStrategy": {}})
        default_rolling(spec["updateStrategy"], {"maxSurge": 0, "maxUnavailable": 1})

    def reset_status(self, obj: Obj) -> None:
        obj["status"] = dict.fromkeys(
            ("currentNumberScheduled", "desiredNumberScheduled", "numberMisscheduled", "numberReady"), 0
        )


_JOB_DEFAULTS = {
    "backoffLimit": 6,
    "completionMode": "NonIndexed",
    "suspend": False,
    "podReplacementPolicy": "TerminatingOrFailed",
}


def _default_job_spec(spec: Obj) -> None:
    fill(spec, {"template": {}})
    podspec.default_template(spec["template"])
    if spec.get("completions") is None and spec.get("parallelism") is None:
        spec["completions"] = 1
    fill(spec, {"parallelism": 1, **_JOB_DEFAULTS})


class JobStrategy(Strategy):
    """Jobs; their selector is made from their uid unless ``manualSelector`` is set."""

    def default(self, obj: Obj) -> None:
        fill(obj, {"spec": {}})
        _default_job_spec(obj["spec"])

    def prepare_create(self, obj: Obj) -> None:
        super().prepare_create(obj)
        spec = obj["spec"]
        if spec.get("manualSelector"):
            return
        metadata = obj["metadata"]
        generated = {"batch.kubernetes.io/controller-uid": metadata["uid"]}
        labels = {
            **generated,
            "batch.kubernetes.io/job-name": metadata["name"],
            "controller-uid": metadata["uid"],
            "job-name": metadata["name"],
        }
        template = copy.deepcopy(spec["template"])
        template.setdefault("metadata", {})["labels"] = {**(template["metadata"].get("labels") or {}), **labels}
        spec["template"] = template
        spec["selector"] = {"matchLabels": generated}

    def validate(self, obj: Obj) -> Iterator[Problem]:
        yield from podspec.template_problems(obj["spec"]["template"], "spec.template", ("OnFailure", "Never"))

    def validate_update(self, new: Obj, old: Obj) -> Iterator[Problem]:
        for field in ("selector", "template", "completionMode"):
            if new["spec"].get(field) != old["spec"].get(field):
                shown = json.loads(json.dumps(new["spec"].get(field)))
                yield invalid_value(f"spec.{field}", shown, "field is immutable")


class CronJobStrategy(Strategy):
    """CronJobs."""

    def default(self, obj: Obj) -> None:
        fill(obj, {"spec": {}})
        spec = obj["spec"]
        fill(
            spec,
            {
                "concurrencyPolicy": "Allow",
                "suspend": False,
                "successfulJobsHistoryLimit": 3,
                "failedJobsHistoryLimit": 1,
                "jobTemplate": {},
            },
        )
        template = spec["jobTemplate"]
        fill(template, {"metadata": {}, "spec": {}})
        job = template["spec"]
        fill(job, {"template": {}})
        podspec.default_template(job["template"])

    def validate(self, obj: Obj) -> Iterator[Problem]:
        if not obj["spec"].get("schedule"):
            yield required("spec.schedule")
        yield from podspec.template_problems(
            obj["spec"]["jobTemplate"]["spec"]["template"], "spec.jobTemplate.spec.template", ("OnFailure", "Never")
        )
