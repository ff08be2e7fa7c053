"""IST0102, IST0103, IST0123, IST0148: are namespaces and pods injected as their labels ask?"""

from __future__ import annotations

import json
from collections.abc import Iterator

from meshlab.minicluster.mesh.istio.analysis.mesh import containers, has_proxy
from meshlab.minicluster.mesh.istio.analysis.messages import go_list
from meshlab.minicluster.mesh.istio.analysis.model import SYSTEM_NAMESPACES, Message, Resource, Snapshot, message

INJECTION, REVISION, INJECT = "istio-injection", "istio.io/rev", "sidecar.istio.io/inject"
DATAPLANE_MODE = "istio.io/dataplane-mode"


def analyze(snapshot: Snapshot) -> Iterator[Message]:
    """Upstream's simple rule: the namespace's label, then the pods' containers."""
    every_namespace = any(_enables_every_namespace(item) for item in snapshot.of("configmaps"))
    injected = set()
    for namespace in snapshot.of("namespaces"):
        name, labels = namespace.name, namespace.labels
        if name == "istio-system" or name in SYSTEM_NAMESPACES:
            continue
        legacy, revision = labels.get(INJECTION, ""), labels.get(REVISION)
        ambient = labels.get(DATAPLANE_MODE) == "ambient"
        at = ("metadata", "name")
        ways = ((INJECTION, bool(legacy)), (REVISION, revision is not None), (DATAPLANE_MODE, ambient))
        stated = [label for label, present in ways if present]
        if len(stated) > 1 and not (ambient and stated[0] == INJECTION and legacy != "enabled"):
            yield message("IST0123", namespace, go_list(stated), path=at)
        elif ambient:
            continue
        elif not legacy and revision is None:
            code = "IST0148" if every_namespace else "IST0102"
            yield message(code, namespace, name, path=at)
        elif revision is not None or legacy == "enabled":
            injected.add(name)
    for pod in snapshot.of("pods"):
        if pod.namespace in injected and not _declines(pod) and not has_proxy(containers(pod.spec)):
            yield message("IST0103", pod, pod.full_name)


def _declines(pod: Resource) -> bool:
    wish = pod.labels.get(INJECT, pod.annotations.get(INJECT, ""))
    return str(wish).lower() == "false" or bool(pod.spec.get("hostNetwork"))


def _enables_every_namespace(config_map: Resource) -> bool:
    if config_map.name != "istio-sidecar-injector":
        return False
    try:
        values = json.loads((config_map.obj.get("data") or {}).get("values") or "{}")
    except ValueError:
        return False
    return bool((values.get("sidecarInjectorWebhook") or {}).get("enableNamespacesByDefault"))
