"""How a rendered object meets the one in the cluster: a three-way merge, pure.

What was rendered last time is kept in an annotation, as ``kubectl apply`` does. So a second install with other options
takes away what is no longer rendered, undoes hand edits of rendered fields, and leaves alone what others own: the
CA bundle that istiod writes, node ports and cluster IPs that the API server gave.
"""

from __future__ import annotations

import copy
import json
from typing import Any

from meshlab.minicluster.kubeapi import Obj

LAST_APPLIED = "install.operator.istio.io/last-applied-configuration"

MERGE_KEYS: dict[str, tuple[str, ...]] = {
    "containers": ("name",),
    "initContainers": ("name",),
    "volumes": ("name",),
    "env": ("name",),
    "webhooks": ("name",),
    "volumeMounts": ("mountPath",),
    "ports": ("containerPort", "port", "protocol"),
}
"""Lists whose items have an identity; every other list is replaced as a whole."""


def with_last_applied(desired: Obj) -> Obj:
    """The object as it is written: itself plus the record of what was rendered (not for CRDs, which are too large)."""
    if desired["kind"] == "CustomResourceDefinition":
        return desired
    record = json.dumps(desired, separators=(",", ":"), sort_keys=True, ensure_ascii=False)
    result = dict(desired)
    result["metadata"] = dict(desired["metadata"])
    result["metadata"]["annotations"] = dict(desired["metadata"].get("annotations") or {}) | {LAST_APPLIED: record}
    return result


def reconcile(live: Obj, desired: Obj) -> Obj | None:
    """What to write over ``live`` so that it is as rendered; None when it is already."""
    if desired["kind"] == "CustomResourceDefinition":
        if covers(live["spec"], desired["spec"]) and covers(live["metadata"], desired["metadata"]):
            return None
        metadata = merge3(live["metadata"], {}, desired["metadata"])
        return {**live, "metadata": metadata, "spec": {**live["spec"], **copy.deepcopy(desired["spec"])}}
    record = (live["metadata"].get("annotations") or {}).get(LAST_APPLIED)
    try:
        last = json.loads(record) if record else {}
    except ValueError:
        last = {}  # somebody edited the annotation: merge without knowledge of the past
    wanted = with_last_applied(desired)
    if desired["kind"] == "ValidatingWebhookConfiguration":
        wanted = _keep_failure_policy(live, wanted)
    result: Obj = merge3(live, last, wanted)
    return None if result == live else result


def merge3(live: Any, last: Any, desired: Any, field: str = "") -> Any:
    """Merge one value: ``desired`` wins, what only ``last`` had goes, what only ``live`` has stays."""
    if isinstance(live, dict) and isinstance(desired, dict):
        last = last if isinstance(last, dict) else {}
        result = {key: value for key, value in live.items() if key in desired or key not in last}
        for key, value in desired.items():
            result[key] = merge3(live[key], last.get(key), value, key) if key in live else copy.deepcopy(value)
        return result
    keys = MERGE_KEYS.get(field)
    if keys and isinstance(live, list) and isinstance(desired, list):
        return _merge_items(live, last if isinstance(last, list) else [], desired, keys)
    return copy.deepcopy(desired)


def _merge_items(live: list[Obj], last: list[Obj], desired: list[Obj], keys: tuple[str, ...]) -> list[Obj]:
    live_by, last_by = ({_identity(item, keys): item for item in items} for items in (live, last))
    wanted = {_identity(item, keys): item for item in desired}
    result = [
        merge3(live_by[identity], last_by.get(identity), item) if identity in live_by else copy.deepcopy(item)
        for identity, item in wanted.items()
    ]
    result += [item for identity, item in live_by.items() if identity not in wanted and identity not in last_by]
    return result


def _identity(item: Obj, keys: tuple[str, ...]) -> tuple[Any, ...]:
    return tuple(item.get(key, "TCP" if key == "protocol" else None) for key in keys)


def covers(live: Any, desired: Any) -> bool:
    """Whether everything rendered is in ``live`` already, whatever the server added beside it."""
    if isinstance(live, dict) and isinstance(desired, dict):
        return all(key in live and covers(live[key], value) for key, value in desired.items())
    if isinstance(live, list) and isinstance(desired, list):
        return len(live) == len(desired) and all(covers(a, b) for a, b in zip(live, desired, strict=True))
    return bool(live == desired)


def _keep_failure_policy(live: Obj, desired: Obj) -> Obj:
    """Keep what istiod made of ``failurePolicy``: it turns Ignore into Fail once it can answer."""
    current = {hook.get("name"): hook.get("failurePolicy") for hook in live.get("webhooks") or []}
    hooks = [
        {**hook, "failurePolicy": current.get(hook["name"]) or hook["failurePolicy"]} for hook in desired["webhooks"]
    ]
    return {**desired, "webhooks": hooks}
