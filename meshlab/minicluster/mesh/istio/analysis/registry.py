"""The hosts of the mesh as analyzers see them: Kubernetes services and ServiceEntries, by full name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from meshlab.minicluster.mesh.hostnames import host_matches
from meshlab.minicluster.mesh.istio.analysis.model import Resource, Snapshot
from meshlab.minicluster.mesh.istio.hosts import resolve_host


@dataclass(frozen=True, slots=True)
class Host:
    """One host: where it is defined, its port numbers, and the labels that select its workloads."""

    namespace: str
    ports: tuple[int, ...]
    selector: Mapping[str, str]
    export_to: tuple[str, ...] = ("*",)
    has_selector: bool = True

    def visible_from(self, namespace: str) -> bool:
        """Whether configuration of that namespace may refer to it."""
        return any(
            entry in ("*", namespace) or (entry == "." and namespace == self.namespace) for entry in self.export_to
        )


class Registry:
    """All hosts of a snapshot."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._hosts: dict[str, list[Host]] = {}
        for service in snapshot.of("services"):
            self._add(f"{service.name}.{service.namespace}.svc.cluster.local", _service(service))
        for entry in snapshot.of("serviceentries.networking.istio.io"):
            for host in entry.spec.get("hosts") or []:
                self._add(resolve_host(str(host), entry.namespace), _entry(entry))

    def _add(self, name: str, host: Host) -> None:
        self._hosts.setdefault(name, []).append(host)

    def find(self, host: str, namespace: str, export_to: Sequence[str] = ()) -> Host | None:
        """What ``host``, written in a resource of ``namespace``, refers to; wildcards of ServiceEntries count.

        Where the resource is exported to certain namespaces only, the host has to be visible from one of those.
        """
        viewers = {namespace if scope == "." else scope for scope in export_to}
        if not viewers or "*" in viewers:
            viewers = {namespace}
        full = resolve_host(host, namespace)
        visible = {
            name: found
            for name, hosts in self._hosts.items()
            if (found := next((item for item in hosts if any(map(item.visible_from, viewers))), None))
        }
        if full in visible:
            return visible[full]
        if "*" in full:
            suffix = full.lstrip("*")
            return next((item for name, item in visible.items() if name.endswith(suffix)), None)
        patterns = [name for name in visible if "*" in name and host_matches(name, full)]
        return visible[max(patterns, key=len)] if patterns else None


def _service(service: Resource) -> Host:
    ports = tuple(int(port["port"]) for port in service.spec.get("ports") or [] if "port" in port)
    exported = service.annotations.get("networking.istio.io/exportTo")
    export_to = tuple(part.strip() for part in exported.split(",")) if exported else ("*",)
    selector = service.spec.get("selector") or {}
    return Host(service.namespace, ports, selector, export_to, bool(selector))


def _entry(entry: Resource) -> Host:
    ports = tuple(int(port["number"]) for port in entry.spec.get("ports") or [] if "number" in port)
    selector = (entry.spec.get("workloadSelector") or {}).get("labels") or {}
    export_to = tuple(entry.spec.get("exportTo") or ("*",))
    return Host(entry.namespace, ports, selector, export_to, bool(selector))
