"""Between the version in which a kind is kept and the other ones in which it is served.

Custom resources convert by name alone (``conversion: None``), and so do nearly all built-in kinds. The two that differ
are rows of a table here: events, read through two APIs, and the old form of autoscalers.
"""

from __future__ import annotations

from collections.abc import Callable

from meshlab.minicluster.kubeapi import Obj

_EVENT_NAMES = {
    "regarding": "involvedObject",
    "note": "message",
    "reportingController": "reportingComponent",
    "deprecatedSource": "source",
    "deprecatedFirstTimestamp": "firstTimestamp",
    "deprecatedLastTimestamp": "lastTimestamp",
    "deprecatedCount": "count",
}


def _rename(obj: Obj, names: dict[str, str]) -> Obj:
    return {names.get(key, key): value for key, value in obj.items()}


def _event_in(obj: Obj) -> Obj:
    return _rename(obj, _EVENT_NAMES)


def _event_out(obj: Obj) -> Obj:
    return _rename(obj, {theirs: ours for ours, theirs in _EVENT_NAMES.items()})


def _autoscaler_in(obj: Obj) -> Obj:
    spec = dict(obj.get("spec") or {})
    average = spec.pop("targetCPUUtilizationPercentage", None)
    if average is not None:
        target = {"type": "Utilization", "averageUtilization": average}
        spec["metrics"] = [{"type": "Resource", "resource": {"name": "cpu", "target": target}}]
    return {**obj, "spec": spec}


def _autoscaler_out(obj: Obj) -> Obj:
    spec = dict(obj.get("spec") or {})
    for metric in spec.pop("metrics", None) or ():
        resource = metric.get("resource") or {}
        average = (resource.get("target") or {}).get("averageUtilization")
        if resource.get("name") == "cpu" and average is not None:
            spec["targetCPUUtilizationPercentage"] = average
    spec.pop("behavior", None)
    status = {key: value for key, value in (obj.get("status") or {}).items() if key != "currentMetrics"}
    status.setdefault("currentReplicas", 0)
    status.setdefault("desiredReplicas", 0)
    return {**obj, "spec": spec, "status": status}


Converter = Callable[[Obj], Obj]
_CONVERTERS: dict[tuple[str, str], Converter] = {
    ("events.k8s.io/v1", "v1"): _event_in,
    ("v1", "events.k8s.io/v1"): _event_out,
    ("autoscaling/v1", "autoscaling/v2"): _autoscaler_in,
    ("autoscaling/v2", "autoscaling/v1"): _autoscaler_out,
}


def convert(obj: Obj, api_version: str) -> Obj:
    """The object in another served version of its kind; the input is not changed."""
    current = obj.get("apiVersion")
    if current == api_version:
        return obj
    converter = _CONVERTERS.get((str(current), api_version))
    return {**(converter(obj) if converter is not None else obj), "apiVersion": api_version}
