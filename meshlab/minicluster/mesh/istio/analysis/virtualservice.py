"""What a VirtualService refers to: hosts, ports, subsets, gateways (IST0101, IST0109, IST0112, IST0132)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.hostnames import host_matches
from meshlab.minicluster.mesh.istio.analysis.messages import go_list, quoted
from meshlab.minicluster.mesh.istio.analysis.model import Message, Path, Resource, Snapshot, message
from meshlab.minicluster.mesh.istio.analysis.registry import Registry
from meshlab.minicluster.mesh.istio.hosts import resolve_host

VIRTUAL_SERVICES = "virtualservices.networking.istio.io"
DESTINATION_RULES = "destinationrules.networking.istio.io"
GATEWAYS = "gateways.networking.istio.io"


@dataclass(frozen=True, slots=True)
class Destination:
    """One place where a VirtualService sends traffic."""

    host: str
    subset: str
    port: int | None
    mirror: bool
    path: Path


def destinations(virtual_service: Resource) -> Iterator[Destination]:
    """Route destinations of http, tcp and tls rules, then mirrors."""
    spec = virtual_service.spec
    for protocol in ("http", "tcp", "tls"):
        for index, rule in enumerate(_objects(spec.get(protocol))):
            for number, route in enumerate(_objects(rule.get("route"))):
                path: Path = ("spec", protocol, index, "route", number, "destination")
                yield from _destination(route.get("destination"), path, mirror=False)
    for index, rule in enumerate(_objects(spec.get("http"))):
        yield from _destination(rule.get("mirror"), ("spec", "http", index, "mirror"), mirror=True)
        for number, mirror in enumerate(_objects(rule.get("mirrors"))):
            path = ("spec", "http", index, "mirrors", number, "destination")
            yield from _destination(mirror.get("destination"), path, mirror=True)


def _objects(value: object) -> list[Obj]:
    return [item if isinstance(item, dict) else {} for item in value] if isinstance(value, list) else []


def _destination(value: object, path: Path, *, mirror: bool) -> Iterator[Destination]:
    if isinstance(value, dict) and value.get("host"):
        number = (value.get("port") or {}).get("number")
        port = int(number) if isinstance(number, int) else None
        yield Destination(str(value["host"]), str(value.get("subset") or ""), port, mirror, (*path, "host"))


def hosts(snapshot: Snapshot) -> Iterator[Message]:
    """Every destination's host exists, and its port; several ports need a choice."""
    registry = Registry(snapshot)
    for resource in snapshot.of(VIRTUAL_SERVICES):
        for target in destinations(resource):
            found = registry.find(target.host, resource.namespace)
            if found is None:
                what = "mirror host" if target.mirror else "host"
                yield message("IST0101", resource, what, quoted(target.host), path=target.path)
            elif target.port is None:
                if len(found.ports) > 1:
                    ports = go_list([str(port) for port in found.ports])
                    yield message("IST0112", resource, quoted(target.host), ports, path=target.path)
            elif target.port not in found.ports:
                value = quoted(f"{target.host}:{target.port}")
                yield message("IST0101", resource, "host:port", value, path=target.path)


def subsets(snapshot: Snapshot) -> Iterator[Message]:
    """Every subset that is routed to is defined by some DestinationRule for that host."""
    defined = {
        (resolve_host(str(rule.spec.get("host", "")), rule.namespace), str(subset.get("name")))
        for rule in snapshot.of(DESTINATION_RULES)
        for subset in _objects(rule.spec.get("subsets"))
    }
    for resource in snapshot.of(VIRTUAL_SERVICES):
        for target in destinations(resource):
            if target.subset and (resolve_host(target.host, resource.namespace), target.subset) not in defined:
                what = "mirror+subset in destinationrule" if target.mirror else "host+subset in destinationrule"
                value = quoted(f"{target.host}+{target.subset}")
                yield message("IST0101", resource, what, value, path=target.path)


def gateways(snapshot: Snapshot) -> Iterator[Message]:
    """Every gateway exists and serves one of the hosts."""
    known = {gateway.full_name: gateway for gateway in snapshot.of(GATEWAYS)}
    for resource in snapshot.of(VIRTUAL_SERVICES):
        for index, reference in enumerate(resource.spec.get("gateways") or []):
            if reference == "mesh":
                continue
            name = str(reference)
            full = name if "/" in name else f"{resource.namespace}/{name}"
            path: Path = ("spec", "gateways", index)
            if full not in known:
                yield message("IST0101", resource, "gateway", quoted(name), path=path)
            elif not _served(known[full], resource):
                wanted = [str(host) for host in resource.spec.get("hosts") or []]
                yield message("IST0132", resource, go_list(wanted), resource.full_name, full, path=path)


def _served(gateway: Resource, virtual_service: Resource) -> bool:
    wanted = [resolve_host(str(host), virtual_service.namespace) for host in virtual_service.spec.get("hosts") or []]
    for server in _objects(gateway.spec.get("servers")):
        for entry in server.get("hosts") or []:
            scope, _, pattern = str(entry).rpartition("/")
            scope = gateway.namespace if scope == "." else scope
            if scope not in ("", "*", virtual_service.namespace):
                continue
            pattern = resolve_host(pattern, gateway.namespace)
            if any(host_matches(pattern, host) or host_matches(host, pattern) for host in wanted):
                return True
    return False


def conflicts(snapshot: Snapshot) -> Iterator[Message]:
    """No two VirtualServices on the mesh gateway have the same host: in a sidecar, only the oldest would count."""
    holders: dict[str, list[Resource]] = {}
    for resource in snapshot.of(VIRTUAL_SERVICES):
        bound = resource.spec.get("gateways") or ["mesh"]
        if "mesh" in bound:
            for host in resource.spec.get("hosts") or []:
                holders.setdefault(resolve_host(str(host), resource.namespace), []).append(resource)
    for host, resources in sorted(holders.items()):
        for resource in resources:
            clashing = [other for other in resources if other is resource or _overlap(resource, other)]
            if len(clashing) > 1:
                names = ",".join(sorted(other.full_name for other in clashing))
                yield message("IST0109", resource, names, host, path=("metadata", "name"))


def _overlap(left: Resource, right: Resource) -> bool:
    """Whether some namespace sees both, by ``exportTo``."""
    scopes = [
        {resource.namespace if scope == "." else str(scope) for scope in resource.spec.get("exportTo") or ["*"]}
        for resource in (left, right)
    ]
    return "*" in scopes[0] or "*" in scopes[1] or bool(scopes[0] & scopes[1])
