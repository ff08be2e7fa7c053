"""Deployments: the services of one agree about its ports, and nothing runs as the proxy's user.

IST0116, IST0137, IST0144.
"""

from __future__ import annotations

from collections.abc import Iterator

from meshlab.minicluster.kubeapi import Obj, matches_labels
from meshlab.minicluster.mesh.istio.analysis.mesh import PROXY, deployment_in_mesh
from meshlab.minicluster.mesh.istio.analysis.messages import go_list, quoted
from meshlab.minicluster.mesh.istio.analysis.model import Message, Resource, Snapshot, message

PROXY_UID = 1337
DEPLOYMENTS = "deployments.apps"
MANAGED_BY = "gateway.istio.io/managed"
WAYPOINT = "istio.io-mesh-controller"


def services(snapshot: Snapshot) -> Iterator[Message]:
    """For each Deployment of the mesh: one protocol for a port, and one port for a target port."""
    for deployment in snapshot.of(DEPLOYMENTS):
        if deployment.labels.get(MANAGED_BY) == WAYPOINT or not deployment_in_mesh(deployment, snapshot):
            continue
        protocols: dict[int, dict[str, list[str]]] = {}
        ports: dict[str, dict[int, str]] = {}
        for service in _services(deployment, snapshot):
            for port in service.spec.get("ports") or []:
                number, protocol = int(port.get("port") or 0), str(port.get("protocol") or "TCP")
                protocols.setdefault(number, {}).setdefault(protocol, []).append(service.full_name)
                ports.setdefault(str(port.get("targetPort") or number), {})[number] = service.full_name
        for number, by_protocol in sorted(protocols.items()):
            if len(by_protocol) > 1:
                names = go_list(sorted(name for found in by_protocol.values() for name in found))
                yield message("IST0116", deployment, deployment.name, number, names, path=("metadata", "name"))
        for target, by_port in sorted(ports.items()):
            if len(by_port) > 1:
                names = go_list(sorted(by_port.values()))
                numbers = go_list([str(number) for number in sorted(by_port)])
                arguments = (deployment.name, names, quoted(target), numbers)
                yield message("IST0137", deployment, *arguments, path=("metadata", "name"))


def _services(deployment: Resource, snapshot: Snapshot) -> list[Resource]:
    labels = ((deployment.spec.get("template") or {}).get("metadata") or {}).get("labels")
    return [
        service
        for service in snapshot.of("services")
        if service.namespace == deployment.namespace and matches_labels(service.spec.get("selector"), labels)
    ]


def user_ids(snapshot: Snapshot) -> Iterator[Message]:
    """Applications do not run as the user whose traffic is left out of redirection; Istio's own pods may."""
    for resource in (*snapshot.of("pods"), *snapshot.of(DEPLOYMENTS)):
        pod = resource.spec if resource.kind == "Pod" else (resource.spec.get("template") or {}).get("spec") or {}
        if "istio" not in resource.labels and any(_runs_as_proxy(part) for part in _applications(pod)):
            yield message("IST0144", resource)


def _applications(pod: Obj) -> list[Obj]:
    return [pod, *(item for item in pod.get("containers") or [] if item.get("name") not in (PROXY, "istio-operator"))]


def _runs_as_proxy(part: Obj) -> bool:
    return (part.get("securityContext") or {}).get("runAsUser") == PROXY_UID
