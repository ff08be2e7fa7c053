"""The proxy's image: pods run the one that injection gives, and `auto` is replaced (IST0146, IST0147, IST0158)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

import yaml

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.istio.analysis.mesh import PROXY, containers, mesh_config, root_namespace
from meshlab.minicluster.mesh.istio.analysis.messages import go_list
from meshlab.minicluster.mesh.istio.analysis.model import Message, Resource, Snapshot, message
from meshlab.minicluster.mesh.istio.analysis.webhook import WEBHOOKS, hooks, takes
from meshlab.minicluster.mesh.istio.inject_decision import DEFAULT_REVISION, INJECTION, REVISION, InjectionConfig
from meshlab.minicluster.mesh.istio.proxyconfig import with_proxy_configs

INJECTOR = "istio-sidecar-injector"
OWN_IMAGE = "sidecar.istio.io/proxyImage"
OVERRIDES = "proxy.istio.io/config"


def mismatches(snapshot: Snapshot) -> Iterator[Message]:
    """Namespaces with pods whose proxy is not the one that their revision's injector would give them now."""
    injectors = {item.name: _values(item) for item in snapshot.of("configmaps") if item.name.startswith(INJECTOR)}
    for namespace in snapshot.of("namespaces"):
        revision = namespace.labels.get(REVISION)
        if revision is None and namespace.labels.get(INJECTION) != "enabled":
            continue
        name = INJECTOR if revision in (None, "", DEFAULT_REVISION) else f"{INJECTOR}-{revision}"
        if name not in injectors:
            continue
        stale = [
            pod.name
            for pod in snapshot.of("pods")
            if pod.namespace == namespace.name
            and not pod.annotations.get(OWN_IMAGE)
            and _image(pod) not in ("", _expected(injectors[name], pod, snapshot))
        ]
        if stale:
            yield message("IST0158", namespace, go_list(stale))


def automatic(snapshot: Snapshot) -> Iterator[Message]:
    """``image: auto`` is left in no pod, and asked for only where an injector takes the pods."""
    injectors = [
        hook for item in snapshot.of(WEBHOOKS) for hook in hooks(item) if str(hook.get("name", "")).endswith("istio.io")
    ]
    for pod in snapshot.of("pods"):
        if _is_automatic(pod.spec):
            yield message("IST0147", pod, "Pod", pod.name)
    namespaces = {item.name: item.labels for item in snapshot.of("namespaces")}
    for deployment in snapshot.of("deployments.apps"):
        template = deployment.spec.get("template") or {}
        labels: Mapping[str, str] = (template.get("metadata") or {}).get("labels") or {}
        own = namespaces.get(deployment.namespace, {})
        if _is_automatic(template.get("spec") or {}) and not any(takes(hook, own, labels) for hook in injectors):
            yield message("IST0146", deployment, "Deployment", deployment.name)


def _is_automatic(spec: Obj) -> bool:
    return any(item.get("name") == PROXY and item.get("image") == "auto" for item in spec.get("containers") or [])


def _image(pod: Resource) -> str:
    return next((str(item.get("image", "")) for item in containers(pod.spec) if item.get("name") == PROXY), "")


def _values(config_map: Resource) -> Obj:
    try:
        values = json.loads((config_map.obj.get("data") or {}).get("values") or "{}")
    except ValueError:
        return {}
    found = values.get("global") if isinstance(values, dict) else None
    return found if isinstance(found, dict) else {}


def _expected(values: Obj, pod: Resource, snapshot: Snapshot) -> str:
    """The image by the installation's values, with the variant that the pod's ProxyConfig, or the mesh's, asks for."""
    image = str((values.get("proxy") or {}).get("image") or "")
    if "/" in image:
        return image
    entries = [item.obj for item in snapshot.of("proxyconfigs.networking.istio.io")]
    config = with_proxy_configs(
        InjectionConfig(mesh_config=mesh_config(snapshot)),
        entries,
        pod.namespace,
        pod.labels,
        root_namespace(snapshot),
    )
    settings = dict(config.mesh_config.get("defaultConfig") or {})
    settings |= yaml.safe_load(pod.annotations.get(OVERRIDES) or "") or {}
    variant = (settings.get("image") or {}).get("imageType")
    return f"{values.get('hub')}/{image}:{values.get('tag')}" + (f"-{variant}" if variant else "")
