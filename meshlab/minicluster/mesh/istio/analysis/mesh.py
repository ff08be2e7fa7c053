"""What analyzers know of the mesh itself: its MeshConfig, and which pods and deployments are part of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import yaml

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.istio.analysis.model import Resource, Snapshot
from meshlab.minicluster.mesh.istio.inject_decision import INJECTION

PROXY = "istio-proxy"
INJECT = "sidecar.istio.io/inject"
DEFAULT_ROOT = "istio-system"


def mesh_config(snapshot: Snapshot) -> Obj:
    """The MeshConfig in ConfigMap ``istio`` (or ``istio-<revision>``, where no default revision is installed)."""
    found = {
        item.name: item.obj["data"]["mesh"]
        for item in snapshot.of("configmaps")
        if (item.name == "istio" or item.name.startswith("istio-")) and "mesh" in (item.obj.get("data") or {})
    }
    if not found:
        return {}
    try:
        value: Any = yaml.safe_load(found[min(found)])
    except yaml.YAMLError:
        return {}
    return value if isinstance(value, dict) else {}


def root_namespace(snapshot: Snapshot) -> str:
    """The namespace whose policies are mesh-wide."""
    return str(mesh_config(snapshot).get("rootNamespace") or DEFAULT_ROOT)


def containers(spec: Obj) -> list[Obj]:
    """Containers of a pod's spec, init containers (native sidecars) included."""
    return [*(spec.get("containers") or []), *(spec.get("initContainers") or [])]


def has_proxy(items: Iterable[Obj]) -> bool:
    """Whether one of the containers is Istio's proxy."""
    return any(item.get("name") == PROXY for item in items)


def pod_in_mesh(pod: Resource, snapshot: Snapshot) -> bool:
    """Whether a pod has a sidecar, or will have one by its labels, annotations or namespace, in that order."""
    return _in_mesh(pod.labels, pod.annotations, containers(pod.spec), pod.namespace, snapshot)


def deployment_in_mesh(deployment: Resource, snapshot: Snapshot) -> bool:
    """The same for the pods that a Deployment makes."""
    template = deployment.spec.get("template") or {}
    metadata = template.get("metadata") or {}
    return _in_mesh(
        metadata.get("labels") or {},
        metadata.get("annotations") or {},
        (template.get("spec") or {}).get("containers") or [],
        deployment.namespace,
        snapshot,
    )


def _in_mesh(
    labels: Mapping[str, str],
    annotations: Mapping[str, str],
    items: Iterable[Obj],
    namespace: str,
    snapshot: Snapshot,
) -> bool:
    if has_proxy(items):
        return True
    for said in (labels, annotations):
        if INJECT in said:
            return said[INJECT] == "true"
    return any(item.labels.get(INJECTION) == "enabled" for item in snapshot.of("namespaces") if item.name == namespace)
