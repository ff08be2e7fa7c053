"""The downward API: which value stands behind a ``fieldRef`` or ``resourceFieldRef``."""

from __future__ import annotations

import json
import re
from typing import Any

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.node import quantity

_SUBSCRIPT = re.compile(r"metadata\.(labels|annotations)\['(.+)'\]")


def field_value(pod: Obj, path: str) -> str:
    """The value at ``path`` of a pod whose status has its addresses; empty where the pod has none.

    Raises:
        ValueError: the downward API does not offer that path.
    """
    metadata, spec, status = pod["metadata"], pod["spec"], pod.get("status") or {}
    if match := _SUBSCRIPT.fullmatch(path):
        return str((metadata.get(match[1]) or {}).get(match[2], ""))
    if path in ("metadata.labels", "metadata.annotations"):
        values = metadata.get(path.partition(".")[2]) or {}
        # Go's %q; JSON's escapes agree with it for everything that a label or annotation usually holds.
        return "\n".join(f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in sorted(values.items()))
    plain: dict[str, Any] = {
        "metadata.name": metadata.get("name"),
        "metadata.namespace": metadata.get("namespace"),
        "metadata.uid": metadata.get("uid"),
        "spec.nodeName": spec.get("nodeName"),
        "spec.serviceAccountName": spec.get("serviceAccountName"),
        "status.hostIP": status.get("hostIP"),
        "status.hostIPs": ",".join(entry["ip"] for entry in status.get("hostIPs") or []),
        "status.podIP": status.get("podIP"),
        "status.podIPs": ",".join(entry["ip"] for entry in status.get("podIPs") or []),
    }
    if path not in plain:
        raise ValueError(f"unsupported fieldPath: {path}")
    return str(plain[path] or "")


def resource_value(container: Obj, reference: Obj, allocatable: Obj) -> str:
    """The value of a ``resourceFieldRef``: a limit that is not set is what the node has to give.

    Raises:
        ValueError: not a resource the downward API offers.
    """
    wanted = str(reference["resource"])
    kind, _, name = wanted.partition(".")
    if kind not in ("limits", "requests") or not name:
        raise ValueError(f"unsupported container resource : {wanted}")
    resources = container.get("resources") or {}
    value = (resources.get(kind) or {}).get(name)
    if value is None and kind == "requests":
        value = (resources.get("limits") or {}).get(name)
    if value is None:
        value = allocatable.get(name, "0") if kind == "limits" else "0"
    return quantity.divided(value, reference.get("divisor"))
