"""Which pod a person means by ``name``, ``name.namespace``, ``deploy/name`` or ``service/name.namespace``."""

from __future__ import annotations

from meshlab.minicluster.kubeapi import Obj, StatusError
from meshlab.minicluster.mesh.istio.istioctl.errors import CommandError
from meshlab.minicluster.mesh.istio.istioctl.session import Session

KINDS = {
    "deployments.apps": ("deployment", "deployments", "deploy"),
    "replicasets.apps": ("replicaset", "replicasets", "rs"),
    "statefulsets.apps": ("statefulset", "statefulsets", "sts"),
    "daemonsets.apps": ("daemonset", "daemonsets", "ds"),
    "services": ("service", "services", "svc"),
    "pods": ("pod", "pods", "po", ""),
}


def split_name(text: str, default_namespace: str) -> tuple[str, str, str]:
    """``[kind/]name[.namespace]`` as (kind, name, namespace); the namespace is what follows the last dot."""
    kind, _, rest = text.rpartition("/")
    name, dot, namespace = rest.rpartition(".")
    if not dot:
        return kind, rest, default_namespace
    return kind, name, namespace


async def find_pod(session: Session, text: str) -> Obj:
    """The pod that is meant; of a workload or service, its first running one.

    Raises:
        CommandError: it does not exist, or has no running pod.
    """
    kind, name, namespace = split_name(text, session.default_namespace)
    resource = next((resource for resource, names in KINDS.items() if kind.lower() in names), None)
    if resource is None:
        raise CommandError(f'"{text}": a {kind} has no pods', hint="use a pod, deployment, replicaset or service.")
    try:
        found = await session.api.get(resource, name, namespace)
    except StatusError as error:
        if error.code != 404:
            raise
        raise CommandError(
            f'{resource.split(".", maxsplit=1)[0]} "{name}" not found in namespace "{namespace}"',
            hint="write  name.namespace  or add  -n namespace.",
        ) from error
    if resource == "pods":
        return found
    selector = found["spec"].get("selector") or {}
    labels = selector if resource == "services" else selector.get("matchLabels") or {}
    text_selector = ",".join(f"{key}={value}" for key, value in labels.items())
    pods = (await session.api.list("pods", namespace, label_selector=text_selector)).items if labels else []
    running = [pod for pod in pods if (pod.get("status") or {}).get("phase") == "Running"]
    if not running:
        raise CommandError(f"{kind}/{name} has no running pods in namespace {namespace}")
    return running[0]


def proxy_container(pod: Obj) -> str:
    """``istio-proxy``.

    Raises:
        CommandError: the pod has no sidecar.
    """
    spec = pod["spec"]
    for container in [*(spec.get("initContainers") or []), *(spec.get("containers") or [])]:
        if container["name"] == "istio-proxy":
            return "istio-proxy"
    name = f"{pod['metadata']['name']}.{pod['metadata'].get('namespace')}"
    raise CommandError(
        f"pod {name} has no istio-proxy container: it is not part of the mesh",
        hint=f"istioctl x check-inject {name}  says why it was not injected.",
    )
