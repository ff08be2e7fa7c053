"""Injection templates of one's own: pod fragments of the installation, laid over the pod as upstream lays them.

``values.sidecarInjectorWebhook.templates`` names fragments; a pod asks for them by ``inject.istio.io/templates``, most
often as ``sidecar,NAME``. Upstream runs them through Go's text/template first; here only plain ones work.
"""

from __future__ import annotations

import copy
from typing import Any

import yaml

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.istio.inject_decision import PROXY_CONTAINER

MERGE_KEYS = {
    "containers": "name",
    "initContainers": "name",
    "volumes": "name",
    "imagePullSecrets": "name",
    "env": "name",
    "volumeMounts": "mountPath",
    "ports": "containerPort",
    "tolerations": "",
}
"""By which member the items of a list are told apart (Kubernetes' strategic merge); an empty one: they are added."""


class UnusableTemplate(Exception):
    """The fragment cannot be applied; the message says why."""


def apply_fragment(pod: Obj, name: str, text: str) -> None:
    """Lay a fragment over a pod, in place.

    Raises:
        UnusableTemplate: it needs a template engine, or is no fragment of a pod.
    """
    if "{{" in text:
        raise UnusableTemplate(f"injection template {name!r} has Go template actions, which this istiod does not run")
    try:
        fragment = yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        raise UnusableTemplate(f"injection template {name!r} is not valid YAML: {error}") from error
    if not isinstance(fragment, dict):
        raise UnusableTemplate(f"injection template {name!r} is no fragment of a pod")
    metadata = fragment.get("metadata") or {}
    for member in ("labels", "annotations"):
        if metadata.get(member):
            pod["metadata"][member] = {**(pod["metadata"].get(member) or {}), **metadata[member]}
    spec = copy.deepcopy(fragment.get("spec") or {})
    _follow_proxy(pod["spec"], spec)
    pod["spec"] = merged(pod["spec"], spec)


def _follow_proxy(spec: Obj, fragment: Obj) -> None:
    """A fragment names the proxy among the containers; where it is a native sidecar it is meant all the same."""
    if any(container["name"] == PROXY_CONTAINER for container in spec.get("initContainers") or []):
        proxies = [c for c in fragment.get("containers") or [] if c.get("name") == PROXY_CONTAINER]
        if proxies:
            fragment["containers"] = [c for c in fragment["containers"] if c not in proxies]
            fragment["initContainers"] = [*(fragment.get("initContainers") or []), *proxies]


def merged(base: Any, overlay: Any, member: str = "") -> Any:
    """The overlay laid over the base: objects by member, lists by their items' keys, all else replaced."""
    if isinstance(base, dict) and isinstance(overlay, dict):
        result = dict(base)
        for key, value in overlay.items():
            result[key] = merged(base[key], value, key) if key in base else value
        return result
    if isinstance(base, list) and isinstance(overlay, list) and member in MERGE_KEYS:
        key = MERGE_KEYS[member]
        items = list(base)
        for item in overlay:
            same = [i for i, old in enumerate(items) if key and old.get(key) == item.get(key)]
            if same:
                items[same[0]] = merged(items[same[0]], item)
            else:
                items.append(item)
        return items
    return overlay
