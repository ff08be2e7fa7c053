"""ServiceEntry and WorkloadEntry: hosts that Kubernetes does not know."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.hostnames import is_address
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

RESOLUTIONS = {
    "STATIC": Resolution.ENDPOINTS,
    "DNS": Resolution.DNS,
    "DNS_ROUND_ROBIN": Resolution.DNS,
    "DYNAMIC_DNS": Resolution.NONE,
    "NONE": Resolution.NONE,
}


def translate_service_entries(
    entries: Iterable[Obj], workload_entries: Iterable[Obj], workloads: Sequence[Workload], problems: Problems
) -> list[Service]:
    """The services that ServiceEntries declare: one per host."""
    listed = [(text(mapping(e.get("metadata")).get("namespace")), mapping(e.get("spec"))) for e in workload_entries]

    def translate(obj: Obj, ref: ConfigRef) -> list[Service]:
        spec = mapping(obj.get("spec"))
        resolution = RESOLUTIONS.get(text(spec.get("resolution")) or "NONE")
        if resolution is None:
            problems.add("serviceentry.resolution", ref, f"resolution {spec.get('resolution')!r} is unknown", "error")
            return []
        own: list[Mapping[str, Any]] = objects(spec.get("endpoints"))
        selector = string_map(mapping(spec.get("workloadSelector")).get("labels"))
        pods: list[Workload] = []
        if selector:
            pods = [w for w in workloads if w.namespace == ref.namespace and w.ip and matches(selector, w.labels)]
            own = [
                e
                for namespace, e in listed
                if namespace == ref.namespace and matches(selector, string_map(e.get("labels")))
            ]
        return [
            Service(
                host=host.lower(),
                name=host.lower(),
                namespace=ref.namespace,
                ports=tuple(_ports(spec, host, own, pods, resolution)),
                addresses=tuple(a for a in texts(spec.get("addresses")) if is_address(a)),
                resolution=resolution,
                export_to=exported_to(spec.get("exportTo"), ref.namespace),
                mesh_external=spec.get("location") != "MESH_INTERNAL",
                kubernetes=False,
                subject_alt_names=texts(spec.get("subjectAltNames")),
                created=created(obj),
            )
            for host in texts(spec.get("hosts"))
        ]

    return [service for entry in entries for service in problems.guard(entry, translate)]


def _ports(
    spec: Mapping[str, Any],
    host: str,
    entries: Sequence[Mapping[str, Any]],
    pods: Sequence[Workload],
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
            for entry in entries
            if text(entry.get("address"))
        ]
        found += [endpoint(pod.ip, target, pod) for pod in pods]
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
