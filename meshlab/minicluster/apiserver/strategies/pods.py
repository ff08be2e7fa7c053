"""Pods: what of them may change, and how they are deleted."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator

from meshlab.minicluster.apiserver.statuses import Problem, forbidden_field
from meshlab.minicluster.apiserver.strategies import podspec
from meshlab.minicluster.apiserver.strategies.base import Strategy, copy_field, fill
from meshlab.minicluster.kubeapi import Obj

_IMMUTABLE = (
    "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
    "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)
_MUTABLE_FIELDS = ("activeDeadlineSeconds", "tolerations")
_WELL_KNOWN_PRIORITIES = {"system-cluster-critical": 2_000_000_000, "system-node-critical": 2_000_001_000}
_TOLERATED_S = 300
_TOLERATED_TAINTS = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")


class PodStrategy(Strategy):
    """Pods."""

    returns_deleted_object = True

    def default(self, obj: Obj) -> None:
        fill(obj, {"spec": {}})
        spec = obj["spec"]
        podspec.default_pod_spec(spec)
        fill(spec, {"enableServiceLinks": True})
        if spec.get("hostNetwork"):
            for _, container in podspec.containers(spec):
                for port in container.get("ports") or ():
                    fill(port, {"hostPort": port.get("containerPort")})

    def prepare_create(self, obj: Obj) -> None:
        spec = obj["spec"]
        priority_class = spec.get("priorityClassName")
        if priority_class:
            record = self.environment.store.get("scheduling.k8s.io/priorityclasses", ("", priority_class))
            found = record.obj["value"] if record else _WELL_KNOWN_PRIORITIES.get(priority_class, 0)
        else:
            found = 0
        fill(spec, {"priority": found, "preemptionPolicy": "PreemptLowerPriority"})
        _add_tolerations(spec)
        super().prepare_create(obj)

    def reset_status(self, obj: Obj) -> None:
        obj["status"] = {"phase": "Pending", "qosClass": podspec.qos_class(obj["spec"])}

    def prepare_status_update(self, new: Obj, old: Obj) -> None:
        super().prepare_status_update(new, old)
        copy_field(old["metadata"], new["metadata"], "deletionTimestamp")
        new["status"] = {**(new.get("status") or {})}
        if old.get("status", {}).get("qosClass"):
            new["status"]["qosClass"] = old["status"]["qosClass"]

    def prepare_update(self, new: Obj, old: Obj) -> None:
        super().prepare_update(new, old)
        copy_field(old["spec"], new["spec"], "ephemeralContainers")

    def prepare_subresource_update(self, subresource: str, new: Obj, old: Obj) -> None:
        if subresource not in ("ephemeralcontainers", "binding"):
            super().prepare_subresource_update(subresource, new, old)
            return
        field = "ephemeralContainers" if subresource == "ephemeralcontainers" else "nodeName"
        spec = dict(old["spec"])
        copy_field(new["spec"], spec, field)
        new["spec"] = spec
        copy_field(old, new, "status")

    def validate(self, obj: Obj) -> Iterable[Problem]:
        return podspec.pod_spec_problems(obj["spec"], "spec")

    def validate_update(self, new: Obj, old: Obj) -> Iterator[Problem]:
        if _frozen(new["spec"]) != _frozen(old["spec"]):
            yield forbidden_field("spec", _IMMUTABLE)

    def grace_period_s(self, obj: Obj, requested: int | None) -> int:
        spec = obj["spec"]
        phase = (obj.get("status") or {}).get("phase")
        # A pod that no node runs, or that has ended, has nothing to wind down.
        if not spec.get("nodeName") or phase in ("Succeeded", "Failed"):
            return 0
        if requested is not None:
            return max(requested, 0)
        return max(int(spec.get("terminationGracePeriodSeconds") or 0), 0)


def _add_tolerations(spec: Obj) -> None:
    """What upstream's DefaultTolerationSeconds admission adds."""
    tolerations = list(spec.get("tolerations") or ())
    for taint in _TOLERATED_TAINTS:
        if not any(
            t.get("key") in (None, "", taint) and t.get("effect") in (None, "", "NoExecute") for t in tolerations
        ):
            tolerations.append(
                {"effect": "NoExecute", "key": taint, "operator": "Exists", "tolerationSeconds": _TOLERATED_S}
            )
    spec["tolerations"] = tolerations


def _frozen(spec: Obj) -> Obj:
    """The part of a pod's spec that never changes."""
    frozen: Obj = copy.deepcopy({key: value for key, value in spec.items() if key not in _MUTABLE_FIELDS})
    # Ephemeral containers have a subresource of their own; an update of the pod puts them back.
    frozen.pop("ephemeralContainers", None)
    for _, container in podspec.containers(frozen):
        container.pop("image", None)
    return frozen
