"""ServiceEntry and WorkloadEntry: hosts that Kubernetes does not know."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.hostnames import is_address, is_network
from meshlab.minicluster.mesh.istio.ipallocate import allocated_addresses
from meshlab.minicluster.mesh.istio.protocol import declared_protocol
from meshlab.minicluster.mesh.istio.reading import (
    Problems,
    created,
    exported_to,
    integer,
    mapping,
    objects,
    string_map,
    text,
    texts,
)
from meshlab.minicluster.mesh.istio.services import endpoint
from meshlab.minicluster.mesh.istio.workloads import parse_locality
from meshlab.minicluster.mesh.model import ConfigRef, Endpoint, Resolution, Service, ServicePort, Workload, matches

UNIX_ADDRESS = "unix://"

RESOLUTIONS = {
    "STATIC": Resolution.ENDPOINTS,
    "DNS": Resolution.DNS,
    "DNS_ROUND_ROBIN": Resolution.DNS,
    "DYNAMIC_DNS": Resolution.NONE,
    "NONE": Resolution.NONE,
}


@dataclass(frozen=True, slots=True)
class ListedWorkload:
    """A WorkloadEntry: a workload that is no pod."""

    namespace: str
    name: str
    spec: Mapping[str, Any]
    labels: Mapping[str, str]

    def endpoint(self, port_name: str, port: int) -> Endpoint:
        """It behind a service port.

        Args:
            port_name: the name of the service port, by which the entry may give another port.
            port: the port to take where it does not.
        """
        found = _listed(self.spec, integer(mapping(self.spec.get("ports")).get(port_name)) or port)
        return replace(found, namespace=self.namespace, workload=self.name, labels=self.labels)


def translate_workload_entries(entries: Iterable[Obj]) -> list[ListedWorkload]:
    """The WorkloadEntries that name an address; the labels of their metadata count like those of the spec."""
    found = []
    for entry in entries:
        metadata, spec = mapping(entry.get("metadata")), mapping(entry.get("spec"))
        labels = {**string_map(metadata.get("labels")), **string_map(spec.get("labels"))}
        if text(spec.get("address")):
            found.append(ListedWorkload(text(metadata.get("namespace")), text(metadata.get("name")), spec, labels))
    return found


def with_listed_workloads(services: Iterable[Service], listed: Sequence[ListedWorkload]) -> list[Service]:
    """Kubernetes Services with the WorkloadEntries that their selectors pick as further endpoints."""
    found = []
    for service in services:
        own = [w for w in listed if w.namespace == service.namespace and matches(service.selector, w.labels)]
        if service.selector and own:
            ports = tuple(
                replace(
                    port,
                    endpoints=port.endpoints
                    + tuple(w.endpoint(port.name, integer(port.target_port) or port.number) for w in own),
                )
                for port in service.ports
            )
            service = replace(service, ports=ports)  # noqa: PLW2901
        found.append(service)
    return found


def translate_service_entries(
    entries: Iterable[Obj],
    listed: Sequence[ListedWorkload],
    workloads: Sequence[Workload],
    default_export: frozenset[str],
    problems: Problems,
) -> list[Service]:
    """The services that ServiceEntries declare: one per host and namespace, ports and endpoints of several joined."""

    def translate(obj: Obj, ref: ConfigRef) -> list[Service]:
        spec = mapping(obj.get("spec"))
        resolution = RESOLUTIONS.get(text(spec.get("resolution")) or "NONE")
        if resolution is None:
            problems.add("serviceentry.resolution", ref, f"resolution {spec.get('resolution')!r} is unknown", "error")
            return []
        addresses = texts(spec.get("addresses"))
        selector = string_map(mapping(spec.get("workloadSelector")).get("labels"))
        picked: list[Workload | ListedWorkload] = []
        if selector:
            candidates: tuple[Workload | ListedWorkload, ...] = (*(w for w in workloads if w.ip), *listed)
            picked = [w for w in candidates if w.namespace == ref.namespace and matches(selector, w.labels)]
        return [
            Service(
                host=host.lower(),
                name=host.lower(),
                namespace=ref.namespace,
                ports=tuple(_ports(spec, host, picked, resolution)),
                addresses=tuple(a for a in addresses if is_address(a)),
                networks=tuple(a for a in addresses if not is_address(a) and is_network(a)),
                allocated=allocated_addresses(obj, host),
                resolution=resolution,
                export_to=exported_to(spec.get("exportTo"), ref.namespace, default_export),
                mesh_external=spec.get("location") != "MESH_INTERNAL",
                kubernetes=False,
                subject_alt_names=texts(spec.get("subjectAltNames")),
                one_address=spec.get("resolution") == "DNS_ROUND_ROBIN",
                created=created(obj),
            )
            for host in texts(spec.get("hosts"))
        ]

    joined: dict[tuple[str, str], Service] = {}
    for service in (service for entry in entries for service in problems.guard(entry, translate)):
        key = (service.host, service.namespace)
        joined[key] = _joined(joined[key], service) if key in joined else service
    return list(joined.values())


def _joined(older: Service, newer: Service) -> Service:
    """Two entries for one host: ports of both; endpoints too where the ports are the same and both are static."""
    ports = {port.number: port for port in older.ports}
    for port in newer.ports:
        known = ports.setdefault(port.number, port)
        if known is not port and older.resolution is newer.resolution is Resolution.ENDPOINTS:
            more = tuple(e for e in port.endpoints if e not in known.endpoints)
            ports[port.number] = replace(known, endpoints=known.endpoints + more)
    return replace(older, ports=tuple(ports.values()))


def _ports(
    spec: Mapping[str, Any],
    host: str,
    picked: Sequence[Workload | ListedWorkload],
    resolution: Resolution,
) -> Iterable[ServicePort]:
    for port in objects(spec.get("ports")):
        number = integer(port.get("number"))
        if number is None:
            continue
        name = text(port.get("name"))
        target = integer(port.get("targetPort")) or number
        found = [
            _listed(entry, integer(mapping(entry.get("ports")).get(name)) or target)
            for entry in objects(spec.get("endpoints"))
            if text(entry.get("address"))
        ]
        found += [
            w.endpoint(name, target) if isinstance(w, ListedWorkload) else endpoint(w.ip, target, w) for w in picked
        ]
        if resolution is Resolution.ENDPOINTS:
            # Names there would make the proxy refuse the whole update.
            found = [e for e in found if is_address(e.address) or e.address.startswith(UNIX_ADDRESS)]
        if resolution is Resolution.DNS and not found and "*" not in host:
            found = [Endpoint(host, target)]
        protocol = declared_protocol(text(port.get("protocol")) or name)
        yield ServicePort(name, number, protocol, tuple(sorted(found, key=lambda e: (e.address, e.port))), target)


def _listed(entry: Mapping[str, Any], port: int) -> Endpoint:
    labels = string_map(entry.get("labels"))
    return Endpoint(
        address=text(entry.get("address")),
        port=port,
        labels=labels,
        service_account=text(entry.get("serviceAccount")),
        mesh_tls=labels.get("security.istio.io/tlsMode") == "istio",
        locality=parse_locality(text(entry.get("locality"))),
        weight=integer(entry.get("weight")) or 1,
    )
