"""Which rules decide for a service, as its own pods or a gateway see it: the cluster's objects, read as istiod does."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.hostnames import host_matches
from meshlab.minicluster.mesh.istio.analysis.mesh import root_namespace
from meshlab.minicluster.mesh.istio.analysis.model import Resource, Snapshot
from meshlab.minicluster.mesh.istio.hosts import resolve_host
from meshlab.minicluster.mesh.istio.protocol import port_protocol
from meshlab.minicluster.mesh.model import Protocol

DESTINATION_RULES = "destinationrules.networking.istio.io"
VIRTUAL_SERVICES = "virtualservices.networking.istio.io"
HTTP = frozenset({Protocol.HTTP, Protocol.HTTP2, Protocol.GRPC, Protocol.GRPC_WEB})
WORDS = {Protocol.GRPC_WEB: "GRPC-Web", Protocol.AUTO: "UnsupportedProtocol"}
TCP_WORDS = {"mongo": "Mongo", "mysql": "MySQL", "redis": "Redis"}
"""Protocols that the proxy carries as TCP, but that Istio tells apart by name."""


@dataclass(frozen=True, slots=True)
class View:
    """The cluster, and the reader's namespace: names of other ones are written with theirs."""

    snapshot: Snapshot
    namespace: str = "default"
    ignore_unmeshed: bool = False

    def name(self, resource: Resource) -> str:
        """``name``, or ``name.namespace`` in another namespace than the reader's."""
        return resource.name if resource.namespace == self.namespace else f"{resource.name}.{resource.namespace}"


def full_host(service: Resource) -> str:
    """``web.default.svc.cluster.local``."""
    return f"{service.name}.{service.namespace}.svc.cluster.local"


def oldest(resources: Iterable[Resource]) -> list[Resource]:
    """By creation, then name."""
    return sorted(resources, key=lambda item: (str(item.obj["metadata"].get("creationTimestamp") or ""), item.name))


def destination_rule(service: Resource, namespace: str, snapshot: Snapshot) -> Resource | None:
    """The rule for a service: of the client's namespace, else the service's, else the mesh's; the oldest of each."""
    host = full_host(service)
    rules = [rule for rule in snapshot.of(DESTINATION_RULES) if _visible(rule, namespace) and _covers(rule, host)]
    for owner in dict.fromkeys((namespace, service.namespace, root_namespace(snapshot))):
        found = oldest(rule for rule in rules if rule.namespace == owner)
        if found:
            return max(found, key=lambda rule: len(str(rule.spec["host"]).replace("*", "")))
    return None


def _covers(rule: Resource, host: str) -> bool:
    return host_matches(resolve_host(str(rule.spec.get("host", "")), rule.namespace), host)


def _visible(resource: Resource, namespace: str) -> bool:
    scopes = resource.spec.get("exportTo") or ["*"]
    return "*" in scopes or namespace in scopes or ("." in scopes and resource.namespace == namespace)


def in_mesh(service: Resource, port: Obj, namespace: str, snapshot: Snapshot) -> Resource | None:
    """The VirtualService that sidecars apply to an HTTP port of a service: the one with the narrowest host."""
    if _protocol(port) not in HTTP:
        return None
    host = full_host(service)
    found = [
        (len(pattern.replace("*", "")), resource)
        for resource in oldest(snapshot.of(VIRTUAL_SERVICES))
        if "mesh" in (resource.spec.get("gateways") or ["mesh"]) and resource.spec.get("http")
        for pattern in (resolve_host(str(name), resource.namespace) for name in resource.spec.get("hosts") or [])
        if host_matches(pattern, host) and _visible(resource, namespace)
    ]
    return max(found, key=lambda item: item[0])[1] if found else None


def at_gateways(service: Resource, port: Obj, snapshot: Snapshot) -> Iterator[Resource]:
    """The VirtualServices of gateways whose HTTP routes begin with a port of a service, the oldest first."""
    several = len(service.spec.get("ports") or []) > 1
    for resource in oldest(snapshot.of(VIRTUAL_SERVICES)):
        names = [name for name in resource.spec.get("gateways") or [] if name != "mesh"]
        if names and any(
            resolve_host(str(target.get("host", "")), resource.namespace) == full_host(service)
            and (target.get("port") or {}).get("number", None if several else port.get("port")) == port.get("port")
            for target in _first_destinations(resource)
        ):
            yield resource


def _first_destinations(resource: Resource) -> Iterator[Obj]:
    for rule in resource.spec.get("http") or []:
        for route in (rule.get("route") or [])[:1]:
            yield route.get("destination") or {}


def _protocol(port: Obj) -> Protocol:
    return port_protocol(
        int(port.get("port") or 0),
        str(port.get("name") or ""),
        port.get("appProtocol"),
        str(port.get("protocol") or "TCP"),
    )


def protocol_word(port: Obj) -> str:
    """How upstream calls a service port's protocol; ``auto-detect`` where neither name nor appProtocol says it."""
    name = str(port.get("name") or "")
    if not name and port.get("appProtocol") is None:
        return "auto-detect"
    protocol = _protocol(port)
    if protocol is Protocol.TCP:
        return TCP_WORDS.get(str(port.get("appProtocol") or name).lower().partition("-")[0], "TCP")
    return WORDS.get(protocol, protocol.name)


def target_port(port: Obj, pods: Sequence[Resource]) -> int | None:
    """The pods' port behind a service port; None if the first pod has none of that name."""
    target = port.get("targetPort") or port.get("port")
    if isinstance(target, int):
        return target
    for container in pods[0].spec.get("containers") or [] if pods else []:
        for item in container.get("ports") or []:
            same = item.get("protocol", "TCP") == port.get("protocol", "TCP")
            if same and item.get("name") == target:
                return int(item["containerPort"])
    return None
