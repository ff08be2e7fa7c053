"""Namespaces, nodes, events, storage, access and extension of the API."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from meshlab.minicluster.apiserver.printers.columns import (
    NONE,
    UNSET,
    Cells,
    Column,
    Printer,
    Row,
    at,
    columns,
    joined,
    name,
    object_age,
)
from meshlab.minicluster.apiserver.printers.durations import UNKNOWN, age
from meshlab.minicluster.kubeapi import Obj

_ROLE_LABEL = "node-role.kubernetes.io/"
_ACCESS_MODES = {
    "ReadWriteOnce": "RWO",
    "ReadOnlyMany": "ROX",
    "ReadWriteMany": "RWX",
    "ReadWriteOncePod": "RWOP",
}


def _namespace(obj: Obj, now: datetime) -> Cells:
    return [name(obj), at(obj, "status.phase", "Active"), object_age(obj, now)]


def _config_map(obj: Obj, now: datetime) -> Cells:
    return [name(obj), len(obj.get("data") or ()) + len(obj.get("binaryData") or ()), object_age(obj, now)]


def _secret(obj: Obj, now: datetime) -> Cells:
    return [name(obj), obj.get("type", ""), len(obj.get("data") or ()), object_age(obj, now)]


def _service_account(obj: Obj, now: datetime) -> Cells:
    return [name(obj), len(obj.get("secrets") or ()), object_age(obj, now)]


def _node(obj: Obj, now: datetime) -> Cells:
    conditions = {item["type"]: item.get("status") for item in at(obj, "status.conditions", [])}
    status = "Unknown"
    if "Ready" in conditions:
        status = "Ready" if conditions["Ready"] == "True" else "NotReady"
    if at(obj, "spec.unschedulable", False):
        status += ",SchedulingDisabled"
    roles = sorted(
        key.removeprefix(_ROLE_LABEL) if key.startswith(_ROLE_LABEL) else value
        for key, value in (obj["metadata"].get("labels") or {}).items()
        if key.startswith(_ROLE_LABEL) or (key == "kubernetes.io/role" and value)
    )
    info = at(obj, "status.nodeInfo", {})
    addresses = at(obj, "status.addresses", [])
    return [
        name(obj),
        status,
        joined(roles),
        object_age(obj, now),
        info.get("kubeletVersion", ""),
        next((item["address"] for item in addresses if item["type"] == "InternalIP"), NONE),
        next((item["address"] for item in addresses if item["type"] == "ExternalIP"), NONE),
        info.get("osImage") or UNKNOWN,
        info.get("kernelVersion") or UNKNOWN,
        info.get("containerRuntimeVersion") or UNKNOWN,
    ]


def _event(obj: Obj, now: datetime) -> Cells:
    regarding = obj.get("involvedObject") or obj.get("regarding") or {}
    created = obj["metadata"].get("creationTimestamp")
    event_time = obj.get("eventTime")
    first = obj.get("firstTimestamp") or obj.get("deprecatedFirstTimestamp") or event_time or created
    last = obj.get("lastTimestamp") or obj.get("deprecatedLastTimestamp") or event_time or created
    count = obj.get("count") or obj.get("deprecatedCount") or 1
    series = obj.get("series")
    if series:
        last, count = series.get("lastObservedTime") or last, series.get("count", count)
    source = obj.get("source") or obj.get("deprecatedSource") or {}
    component = source.get("component") or obj.get("reportingComponent") or obj.get("reportingController") or ""
    host = source.get("host") or ""
    kind = str(regarding.get("kind", "")).lower()
    return [
        age(last, now),
        obj.get("type", ""),
        obj.get("reason", ""),
        f"{kind}/{regarding['name']}" if regarding.get("name") else kind,
        regarding.get("fieldPath", ""),
        f"{component}, {host}" if host else component,
        str(obj.get("message") or obj.get("note") or "").strip(),
        age(first, now),
        count,
        name(obj),
    ]


def _lease(obj: Obj, now: datetime) -> Cells:
    return [name(obj), at(obj, "spec.holderIdentity", ""), object_age(obj, now)]


def _volume(obj: Obj, now: datetime) -> Cells:
    claim = at(obj, "spec.claimRef")
    return [
        name(obj),
        str(at(obj, "spec.capacity.storage", "")),
        _access_modes(at(obj, "spec.accessModes", [])),
        at(obj, "spec.persistentVolumeReclaimPolicy", ""),
        _terminating(obj, at(obj, "status.phase", "")),
        f"{claim.get('namespace')}/{claim.get('name')}" if claim else "",
        at(obj, "spec.storageClassName", ""),
        at(obj, "spec.volumeAttributesClassName", UNSET),
        at(obj, "status.reason", ""),
        object_age(obj, now),
        at(obj, "spec.volumeMode", UNSET),
    ]


def _claim(obj: Obj, now: datetime) -> Cells:
    volume = at(obj, "spec.volumeName", "")
    return [
        name(obj),
        _terminating(obj, at(obj, "status.phase", "")),
        volume,
        str(at(obj, "status.capacity.storage", "")) if volume else "",
        _access_modes(at(obj, "status.accessModes", [])) if volume else "",
        at(obj, "spec.storageClassName", ""),
        at(obj, "spec.volumeAttributesClassName", UNSET),
        object_age(obj, now),
        at(obj, "spec.volumeMode", UNSET),
    ]


def _access_modes(modes: list[str]) -> str:
    return ",".join(short for mode, short in _ACCESS_MODES.items() if mode in modes)


def _terminating(obj: Obj, phase: str) -> str:
    return "Terminating" if obj["metadata"].get("deletionTimestamp") else phase


def _storage_class(obj: Obj, now: datetime) -> Cells:
    is_default = (obj["metadata"].get("annotations") or {}).get("storageclass.kubernetes.io/is-default-class")
    return [
        name(obj) + (" (default)" if is_default == "true" else ""),
        obj.get("provisioner", ""),
        obj.get("reclaimPolicy", "Delete"),
        obj.get("volumeBindingMode", UNSET),
        bool(obj.get("allowVolumeExpansion")),
        object_age(obj, now),
    ]


def _quota(obj: Obj, now: datetime) -> Cells:
    hard, used = at(obj, "status.hard", {}), at(obj, "status.used", {})
    requests: list[str] = []
    limits: list[str] = []
    for resource in sorted(hard):
        text = f"{resource}: {used.get(resource, 0)}/{hard[resource]}"
        (limits if resource.startswith("limits") else requests).append(text)
    return [name(obj), ", ".join(requests), ", ".join(limits), object_age(obj, now)]


def _priority_class(obj: Obj, now: datetime) -> Cells:
    return [
        name(obj),
        obj.get("value", 0),
        bool(obj.get("globalDefault")),
        object_age(obj, now),
        obj.get("preemptionPolicy", ""),
    ]


def _created(obj: Obj, now: datetime) -> Cells:
    return [name(obj), obj["metadata"].get("creationTimestamp") or UNKNOWN]


def _binding(obj: Obj, now: datetime) -> Cells:
    subjects: dict[str, list[str]] = {"User": [], "Group": [], "ServiceAccount": []}
    for subject in obj.get("subjects") or ():
        shown = subject.get("name", "")
        if subject.get("kind") == "ServiceAccount":
            shown = f"{subject.get('namespace', '')}/{shown}"
        subjects.setdefault(subject.get("kind", ""), []).append(shown)
    role = obj.get("roleRef") or {}
    return [
        name(obj),
        f"{role.get('kind')}/{role.get('name')}",
        object_age(obj, now),
        ", ".join(subjects["User"]),
        ", ".join(subjects["Group"]),
        ", ".join(subjects["ServiceAccount"]),
    ]


def _webhooks(obj: Obj, now: datetime) -> Cells:
    return [name(obj), len(obj.get("webhooks") or ()), object_age(obj, now)]


def _signing_request(obj: Obj, now: datetime) -> Cells:
    seconds = at(obj, "spec.expirationSeconds")
    conditions = [item["type"] for item in at(obj, "status.conditions", [])]
    status = next((word for word in ("Approved", "Denied", "Failed") if word in conditions), "Pending")
    if "Failed" in conditions and status != "Failed":
        status += ",Failed"
    if at(obj, "status.certificate"):
        status += ",Issued"
    return [
        name(obj),
        object_age(obj, now),
        at(obj, "spec.signerName", NONE),
        at(obj, "spec.username", ""),
        f"{seconds}s" if seconds else NONE,
        status,
    ]


def _api_service(obj: Obj, now: datetime) -> Cells:
    service = at(obj, "spec.service")
    available = next(
        (item for item in at(obj, "status.conditions", []) if item["type"] == "Available"), {"status": "Unknown"}
    )
    reason = f" ({available['reason']})" if available["status"] != "True" and available.get("reason") else ""
    return [
        name(obj),
        f"{service.get('namespace')}/{service.get('name')}" if service else "Local",
        available["status"] + reason,
        object_age(obj, now),
    ]


def _field(path: str, default: Any = "") -> Row:
    """A row of name, one field, age."""
    return lambda obj, now: [name(obj), at(obj, path, default), object_age(obj, now)]


_CREATED = (columns("Name")[0], Column("Created At", "date"))

PRINTERS: Mapping[str, Printer] = {
    "namespaces": Printer(columns("Name|Status|Age"), _namespace),
    "configmaps": Printer(columns("Name|#Data|Age"), _config_map),
    "secrets": Printer(columns("Name|Type|#Data|Age"), _secret),
    "serviceaccounts": Printer(columns("Name|#Secrets|Age"), _service_account),
    "nodes": Printer(
        columns("Name|Status|Roles|Age|Version|Internal-IP*|External-IP*|OS-Image*|Kernel-Version*|Container-Runtime*"),
        _node,
    ),
    "events": Printer(
        columns(
            "Last Seen|Type|Reason|Object|Subobject*|Source*|Message|First Seen*|#Count*|Name*",
        ),
        _event,
    ),
    "coordination.k8s.io/leases": Printer(columns("Name|Holder|Age"), _lease),
    "persistentvolumes": Printer(
        columns(
            "Name|Capacity|Access Modes|Reclaim Policy|Status|Claim|StorageClass|VolumeAttributesClass|Reason|Age"
            "|VolumeMode*"
        ),
        _volume,
    ),
    "persistentvolumeclaims": Printer(
        columns("Name|Status|Volume|Capacity|Access Modes|StorageClass|VolumeAttributesClass|Age|VolumeMode*"),
        _claim,
    ),
    "storage.k8s.io/storageclasses": Printer(
        (
            *columns("Name|Provisioner|ReclaimPolicy|VolumeBindingMode"),
            Column("AllowVolumeExpansion", "boolean"),
            *columns("Age"),
        ),
        _storage_class,
    ),
    "resourcequotas": Printer(columns("Name|Request|Limit|Age"), _quota),
    "scheduling.k8s.io/priorityclasses": Printer(
        (*columns("Name|#Value"), Column("Global-Default", "boolean"), *columns("Age|PreemptionPolicy")),
        _priority_class,
    ),
    "rbac.authorization.k8s.io/roles": Printer(_CREATED, _created),
    "rbac.authorization.k8s.io/clusterroles": Printer(_CREATED, _created),
    "rbac.authorization.k8s.io/rolebindings": Printer(
        columns("Name|Role|Age|Users*|Groups*|ServiceAccounts*"), _binding
    ),
    "rbac.authorization.k8s.io/clusterrolebindings": Printer(
        columns("Name|Role|Age|Users*|Groups*|ServiceAccounts*"), _binding
    ),
    "apiextensions.k8s.io/customresourcedefinitions": Printer(_CREATED, _created),
    "admissionregistration.k8s.io/mutatingwebhookconfigurations": Printer(columns("Name|#Webhooks|Age"), _webhooks),
    "admissionregistration.k8s.io/validatingwebhookconfigurations": Printer(columns("Name|#Webhooks|Age"), _webhooks),
    "certificates.k8s.io/certificatesigningrequests": Printer(
        columns("Name|Age|SignerName|Requestor|RequestedDuration|Condition"), _signing_request
    ),
    "apiregistration.k8s.io/apiservices": Printer(columns("Name|Service|Available|Age"), _api_service),
    "node.k8s.io/runtimeclasses": Printer(columns("Name|Handler|Age"), _field("handler")),
    "limitranges": Printer(_CREATED, _created),
}
