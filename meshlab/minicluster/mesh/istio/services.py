"""Kubernetes Services, EndpointSlices and pods as the services of the model."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.istio.protocol import port_protocol
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
from meshlab.minicluster.mesh.istio.workloads import REGION_LABEL, SUB_ZONE_LABEL, ZONE_LABEL
from meshlab.minicluster.mesh.model import ConfigRef, Endpoint, Resolution, Service, ServicePort, Workload

SERVICE_NAME_LABEL = "kubernetes.io/service-name"
EXPORT_ANNOTATION = "networking.istio.io/exportTo"

DISTRIBUTION_ANNOTATION = "networking.istio.io/traffic-distribution"
NEAR = (REGION_LABEL, ZONE_LABEL, SUB_ZONE_LABEL)

SliceIndex = Mapping[tuple[str, str], Sequence[Obj]]
"""EndpointSlices by (namespace, service name)."""


def translate_services(
    services: Iterable[Obj],
    slices: Iterable[Obj],
    workloads: Sequence[Workload],
    domain: str,
    default_export: frozenset[str],
    problems: Problems,
) -> list[Service]:
    """Every Service with its ports and the endpoints behind them."""
    by_service: dict[tuple[str, str], list[Obj]] = defaultdict(list)
    for item in slices:
        metadata = mapping(item.get("metadata"))
        name = string_map(metadata.get("labels")).get(SERVICE_NAME_LABEL)
        if name:
            by_service[text(metadata.get("namespace")), name].append(item)
    by_ip = {workload.ip: workload for workload in workloads if workload.ip}

    def translate(obj: Obj, _: ConfigRef) -> list[Service]:
        return [_service(obj, by_service, by_ip, domain, default_export)]

    found = [service for obj in services for service in problems.guard(obj, translate)]
    return _with_aliases(found, {_host(obj, domain): obj for obj in services}, domain)


def _host(obj: Obj, domain: str) -> str:
    metadata = mapping(obj.get("metadata"))
    return f"{text(metadata.get('name'))}.{text(metadata.get('namespace'))}.svc.{domain}"


def _service(
    obj: Obj, slices: SliceIndex, by_ip: Mapping[str, Workload], domain: str, default_export: frozenset[str]
) -> Service:
    metadata, spec = mapping(obj.get("metadata")), mapping(obj.get("spec"))
    namespace, name = text(metadata.get("namespace")), text(metadata.get("name"))
    addresses = texts(spec.get("clusterIPs")) or (text(spec.get("clusterIP")),)
    external_name = text(spec.get("externalName")) if spec.get("type") == "ExternalName" else ""
    own_slices = slices.get((namespace, name), ())
    ports = []
    for port in objects(spec.get("ports")):
        number = integer(port.get("port"))
        if number is None:
            continue
        port_name = text(port.get("name"))
        protocol = port_protocol(
            number, port_name, text(port.get("appProtocol")) or None, text(port.get("protocol")) or "TCP"
        )
        endpoints = [Endpoint(external_name, number)] if external_name else _endpoints(own_slices, port_name, by_ip)
        target: Any = port.get("targetPort")
        ports.append(
            ServicePort(
                name=port_name,
                number=number,
                protocol=protocol,
                endpoints=tuple(sorted(endpoints, key=lambda e: (e.address, e.port))),
                target_port=(target if isinstance(target, int | str) and target else number),
            )
        )
    annotation = string_map(metadata.get("annotations")).get(EXPORT_ANNOTATION, "")
    return Service(
        host=_host(obj, domain),
        name=name,
        namespace=namespace,
        ports=tuple(ports),
        addresses=tuple(address for address in addresses if address and address != "None"),
        resolution=Resolution.DNS if external_name else Resolution.ENDPOINTS,
        selector=string_map(spec.get("selector")),
        export_to=exported_to(
            [part.strip() for part in annotation.split(",") if part.strip()], namespace, default_export
        ),
        mesh_external=bool(external_name),
        failover_priority=_near_first(spec, metadata),
        created=created(obj),
    )


def _near_first(spec: Mapping[str, Any], metadata: Mapping[str, Any]) -> tuple[str, ...]:
    """The labels by which endpoints near the client are preferred, for ``trafficDistribution``."""
    wanted = string_map(metadata.get("annotations")).get(DISTRIBUTION_ANNOTATION) or text(
        spec.get("trafficDistribution")
    )
    return NEAR if wanted in ("PreferClose", "PreferSameZone", "PreferSameNode") else ()


def _endpoints(slices: Sequence[Obj], port_name: str, by_ip: Mapping[str, Workload]) -> list[Endpoint]:
    """The endpoints of one service port: those that are ready, as a slice says it (absent means ready)."""
    found: dict[tuple[str, int], Endpoint] = {}
    for item in slices:
        number = next(
            (integer(p.get("port")) for p in objects(item.get("ports")) if text(p.get("name")) == port_name), None
        )
        if number is None:
            continue
        for entry in objects(item.get("endpoints")):
            if mapping(entry.get("conditions")).get("ready") is False:
                continue
            for address in texts(entry.get("addresses")):
                found[address, number] = endpoint(address, number, by_ip.get(address))
    return list(found.values())


def endpoint(address: str, port: int, workload: Workload | None) -> Endpoint:
    """An endpoint with what is known of the pod behind it."""
    if workload is None:
        return Endpoint(address, port)
    return Endpoint(
        address=address,
        port=port,
        labels=workload.labels,
        namespace=workload.namespace,
        service_account=workload.service_account,
        workload=workload.owner,
        mesh_tls=workload.mesh_tls,
        locality=workload.locality,
    )


def _with_aliases(services: list[Service], objs: Mapping[str, Obj], domain: str) -> list[Service]:
    """ExternalName services that name another service of the cluster stand for that service's endpoints."""
    by_host = {service.host: service for service in services}
    found = []
    for service in services:
        target = text(mapping(mapping(objs.get(service.host)).get("spec")).get("externalName")).rstrip(".")
        aliased = by_host.get(target) or by_host.get(f"{target}.{domain}" if target.endswith(".svc") else "")
        if service.resolution is Resolution.DNS and aliased is not None and aliased is not service:
            own = service.ports or aliased.ports
            ports = tuple(
                replace(port, endpoints=real.endpoints, protocol=port.protocol if service.ports else real.protocol)
                for port in own
                if (real := aliased.port(port.number)) is not None
            )
            service = replace(service, ports=ports, resolution=Resolution.ENDPOINTS, mesh_external=False)  # noqa: PLW2901
        found.append(service)
    return found
