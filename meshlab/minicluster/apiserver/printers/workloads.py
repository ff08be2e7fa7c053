"""Deployments, jobs and the other things that make pods."""

from __future__ import annotations

from datetime import datetime

from meshlab.minicluster.apiserver.printers.columns import (
    NONE,
    UNSET,
    Cells,
    Printer,
    at,
    columns,
    containers,
    label_selector,
    labels,
    name,
    object_age,
)
from meshlab.minicluster.apiserver.printers.durations import age, human_duration, parse_time
from meshlab.minicluster.kubeapi import Obj


def _tail(obj: Obj) -> Cells:
    """The wide columns of a workload: containers, images, selector."""
    names, images = containers(at(obj, "spec.template"))
    return [names, images, label_selector(at(obj, "spec.selector"))]


def _deployment(obj: Obj, now: datetime) -> Cells:
    return [
        name(obj),
        f"{at(obj, 'status.readyReplicas', 0)}/{at(obj, 'spec.replicas', 0)}",
        at(obj, "status.updatedReplicas", 0),
        at(obj, "status.availableReplicas", 0),
        object_age(obj, now),
        *_tail(obj),
    ]


def _replica_set(obj: Obj, now: datetime) -> Cells:
    return [
        name(obj),
        at(obj, "spec.replicas", 0),
        at(obj, "status.replicas", 0),
        at(obj, "status.readyReplicas", 0),
        object_age(obj, now),
        *_tail(obj),
    ]


def _replication_controller(obj: Obj, now: datetime) -> Cells:
    return [*_replica_set(obj, now)[:-1], labels(at(obj, "spec.selector"))]


def _stateful_set(obj: Obj, now: datetime) -> Cells:
    return [
        name(obj),
        f"{at(obj, 'status.readyReplicas', 0)}/{at(obj, 'spec.replicas', 0)}",
        object_age(obj, now),
        *_tail(obj)[:2],
    ]


def _daemon_set(obj: Obj, now: datetime) -> Cells:
    return [
        name(obj),
        at(obj, "status.desiredNumberScheduled", 0),
        at(obj, "status.currentNumberScheduled", 0),
        at(obj, "status.numberReady", 0),
        at(obj, "status.updatedNumberScheduled", 0),
        at(obj, "status.numberAvailable", 0),
        labels(at(obj, "spec.template.spec.nodeSelector")),
        object_age(obj, now),
        *_tail(obj),
    ]


def _job(obj: Obj, now: datetime) -> Cells:
    completions = at(obj, "spec.completions")
    parallelism = at(obj, "spec.parallelism", 0)
    wanted = completions if completions is not None else f"1 of {parallelism}" if parallelism > 1 else 1
    started, completed = at(obj, "status.startTime"), at(obj, "status.completionTime")
    if not started:
        duration = ""
    elif not completed:
        duration = age(started, now)
    else:
        duration = human_duration((parse_time(completed) - parse_time(started)).total_seconds())
    return [
        name(obj),
        _job_status(obj),
        f"{at(obj, 'status.succeeded', 0)}/{wanted}",
        duration,
        object_age(obj, now),
        *_tail(obj),
    ]


def _job_status(obj: Obj) -> str:
    true = {item["type"] for item in at(obj, "status.conditions", []) if item.get("status") == "True"}
    for condition, word in (
        ("Complete", "Complete"),
        ("Failed", "Failed"),
        ("", "Terminating"),
        ("Suspended", "Suspended"),
        ("FailureTarget", "FailureTarget"),
        ("SuccessCriteriaMet", "SuccessCriteriaMet"),
    ):
        if condition in true or (not condition and obj["metadata"].get("deletionTimestamp")):
            return word
    return "Running"


def _cron_job(obj: Obj, now: datetime) -> Cells:
    last = at(obj, "status.lastScheduleTime")
    names, images = containers(at(obj, "spec.jobTemplate.spec.template"))
    return [
        name(obj),
        at(obj, "spec.schedule", ""),
        at(obj, "spec.timeZone", NONE),
        "True" if at(obj, "spec.suspend", False) else "False",
        len(at(obj, "status.active", [])),
        age(last, now) if last else NONE,
        object_age(obj, now),
        names,
        images,
        label_selector(at(obj, "spec.jobTemplate.spec.selector")),
    ]


def _controller_revision(obj: Obj, now: datetime) -> Cells:
    owner = next((item for item in obj["metadata"].get("ownerReferences") or () if item.get("controller")), None)
    controller = NONE
    if owner is not None:
        group = owner["apiVersion"].rpartition("/")[0]
        kind = owner["kind"].lower()
        controller = f"{kind}.{group}/{owner['name']}" if group else f"{kind}/{owner['name']}"
    return [name(obj), controller, obj.get("revision", 0), object_age(obj, now)]


def _budget(obj: Obj, now: datetime) -> Cells:
    return [
        name(obj),
        at(obj, "spec.minAvailable", "N/A"),
        at(obj, "spec.maxUnavailable", "N/A"),
        at(obj, "status.disruptionsAllowed", 0),
        object_age(obj, now),
    ]


def _autoscaler(obj: Obj, now: datetime) -> Cells:
    target = at(obj, "spec.scaleTargetRef", {})
    return [
        name(obj),
        f"{target.get('kind', '')}/{target.get('name', '')}",
        _metrics(obj),
        str(at(obj, "spec.minReplicas", UNSET)),
        at(obj, "spec.maxReplicas", 0),
        at(obj, "status.currentReplicas", 0),
        object_age(obj, now),
    ]


def _metrics(obj: Obj) -> str:
    """Current and wanted values of an autoscaler's metrics: ``cpu: 20%/80%``."""
    if "targetCPUUtilizationPercentage" in (obj.get("spec") or {}):
        current = at(obj, "status.currentCPUUtilizationPercentage")
        shown = "<unknown>" if current is None else f"{current}%"
        return f"cpu: {shown}/{obj['spec']['targetCPUUtilizationPercentage']}%"
    wanted = at(obj, "spec.metrics", [])
    current_metrics = at(obj, "status.currentMetrics", [])
    texts = []
    for index, metric in enumerate(wanted):
        source = metric.get("type", "")
        body = metric.get(source[:1].lower() + source[1:]) or {}
        now_body: Obj = {}
        if index < len(current_metrics):
            now_body = current_metrics[index].get(source[:1].lower() + source[1:]) or {}
        label = f"{body.get('name', '')}: " if source in {"Resource", "ContainerResource"} else ""
        target = body.get("target") or {}
        if "averageUtilization" in target:
            value = at(now_body, "current.averageUtilization")
            texts.append(f"{label}{'<unknown>' if value is None else f'{value}%'}/{target['averageUtilization']}%")
        else:
            key = "averageValue" if "averageValue" in target else "value"
            value = at(now_body, f"current.{key}")
            suffix = " (avg)" if key == "averageValue" and source in {"Object", "External"} else ""
            texts.append(f"{label}{value or '<unknown>'}/{target.get(key, '<auto>')}{suffix}")
    if not texts:
        return NONE
    return ", ".join(texts[:2]) + (f" + {len(texts) - 2} more..." if len(texts) > 2 else "")


PRINTERS = {
    "apps/deployments": Printer(
        columns("Name|Ready|Up-to-date|Available|Age|Containers*|Images*|Selector*"),
        _deployment,
    ),
    "apps/replicasets": Printer(
        columns("Name|#Desired|#Current|#Ready|Age|Containers*|Images*|Selector*"),
        _replica_set,
    ),
    "replicationcontrollers": Printer(
        columns("Name|#Desired|#Current|#Ready|Age|Containers*|Images*|Selector*"),
        _replication_controller,
    ),
    "apps/statefulsets": Printer(columns("Name|Ready|Age|Containers*|Images*"), _stateful_set),
    "apps/daemonsets": Printer(
        columns("Name|#Desired|#Current|#Ready|#Up-to-date|#Available|Node Selector|Age|Containers*|Images*|Selector*"),
        _daemon_set,
    ),
    "apps/controllerrevisions": Printer(columns("Name|Controller|#Revision|Age"), _controller_revision),
    "batch/jobs": Printer(
        columns("Name|Status|Completions|Duration|Age|Containers*|Images*|Selector*"),
        _job,
    ),
    "batch/cronjobs": Printer(
        columns("Name|Schedule|Timezone|Suspend|#Active|Last Schedule|Age|Containers*|Images*|Selector*"),
        _cron_job,
    ),
    "policy/poddisruptionbudgets": Printer(
        columns("Name|Min Available|Max Unavailable|#Allowed Disruptions|Age"),
        _budget,
    ),
    "autoscaling/horizontalpodautoscalers": Printer(
        columns("Name|Reference|Targets|MinPods|#MaxPods|#Replicas|Age"),
        _autoscaler,
    ),
}
