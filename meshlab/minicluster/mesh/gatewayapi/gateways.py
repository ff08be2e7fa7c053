"""Gateways: their listeners as gateways of the model, the Service that stands behind them, their status."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.gatewayapi.classes import GROUP
from meshlab.minicluster.mesh.gatewayapi.cluster import Cluster
from meshlab.minicluster.mesh.gatewayapi.listeners import Listener, read_listeners
from meshlab.minicluster.mesh.gatewayapi.status import ConfigError, ListenerStatus, Status, condition
from meshlab.minicluster.mesh.istio.reading import created, integer, mapping, objects, string_map, text
from meshlab.minicluster.mesh.model import ConfigRef
from meshlab.minicluster.mesh.routing import Gateway

RESOURCE = f"gateways.{GROUP}"
NAME_OVERRIDE = "gateway.istio.io/name-override"
MANAGED_LABEL = "gateway.istio.io/managed"


@dataclass(frozen=True, slots=True)
class ReadGateway:
    """One Gateway of a class that is programmed here."""

    obj: Obj
    listeners: tuple[Listener, ...]
    services: tuple[str, ...]
    """Hosts of the Services whose proxies serve it."""
    error: ConfigError | None

    @property
    def key(self) -> tuple[str, str]:
        """(namespace, name)."""
        metadata = mapping(self.obj.get("metadata"))
        return text(metadata.get("namespace")), text(metadata.get("name"))

    def gateways(self) -> list[Gateway]:
        """A gateway of one server for each listener that can be served."""
        return [
            Gateway(
                namespace=listener.namespace,
                name=listener.internal_name,
                selector={},
                servers=(listener.server,),
                ref=ConfigRef(GROUP, "v1", "Gateway", listener.namespace, listener.gateway),
                created=created(self.obj),
                services=self.services,
            )
            for listener in self.listeners
            if listener.valid
        ]


def read_gateway(obj: Obj, cluster: Cluster) -> ReadGateway:
    """Read a Gateway of a class that is programmed here."""
    services, error = gateway_services(obj, cluster.domain)
    return ReadGateway(obj, tuple(read_listeners(obj, cluster)), tuple(services), error)


def is_managed(spec: Mapping[str, Any]) -> bool:
    """Whether istiod deploys the Gateway: unless its addresses name a Service that is there already."""
    addresses = objects(spec.get("addresses"))
    if not addresses:
        return True
    return len(addresses) == 1 and (text(addresses[0].get("type")) or "IPAddress") == "IPAddress"


def deployment_name(obj: Obj) -> str:
    """The name of the objects that are deployed for a managed Gateway."""
    metadata = mapping(obj.get("metadata"))
    override = string_map(metadata.get("annotations")).get(NAME_OVERRIDE, "")
    return override or f"{text(metadata.get('name'))}-{text(mapping(obj.get('spec')).get('gatewayClassName'))}"


def gateway_services(obj: Obj, domain: str) -> tuple[list[str], ConfigError | None]:
    """The hosts of the Services behind a Gateway, and what is wrong with its addresses."""
    spec, namespace = mapping(obj.get("spec")), text(mapping(obj.get("metadata")).get("namespace"))
    if is_managed(spec):
        return [f"{deployment_name(obj)}.{namespace}.svc.{domain}"], None
    found, skipped = [], []
    for address in objects(spec.get("addresses")):
        value = text(address.get("value"))
        if text(address.get("type")) != "Hostname":
            skipped.append(value)
        else:
            found.append(value if "." in value else f"{value}.{namespace}.svc.{domain}")
    if skipped:
        message = f"only Hostname is supported, ignoring [{' '.join(skipped)}]"
        return found, ConfigError("UnsupportedAddress", message)
    return found, None


def gateway_status(gateway: ReadGateway, attached: Mapping[str, int], cluster: Cluster) -> Status:
    """What the Gateway's status should say.

    Args:
        gateway: the Gateway.
        attached: the number of routes by listener.
        cluster: where its Services are looked up.
    """
    namespace, name = gateway.key
    reach = _reach(gateway, cluster)
    message = "Resource programmed"
    if reach.internal:
        message = f"Resource programmed, assigned to service(s) {joined(reach.internal)}"
    return Status(
        RESOURCE,
        namespace,
        name,
        integer(mapping(gateway.obj.get("metadata")).get("generation")) or 0,
        conditions=(
            condition("Accepted", "Accepted", "Resource accepted", gateway.error),
            condition("Programmed", "Programmed", message, _programming_error(gateway, reach)),
        ),
        addresses=tuple(reach.external or [host for host in reach.hosts if host not in reach.pending]) or None,
        listeners=tuple(
            ListenerStatus(item.section, item.kinds, attached.get(item.section, 0), item.conditions)
            for item in gateway.listeners
        ),
    )


def remote_status(obj: Obj) -> Status:
    """The status of a Gateway that stands for one of another cluster."""
    metadata = mapping(obj.get("metadata"))
    return Status(
        RESOURCE,
        text(metadata.get("namespace")),
        text(metadata.get("name")),
        integer(metadata.get("generation")) or 0,
        conditions=(
            condition("Accepted", "Accepted", "Resource accepted"),
            condition("Programmed", "Programmed", "This Gateway is remote; Istio will not program it"),
        ),
        addresses=tuple(text(item.get("value")) for item in objects(mapping(obj.get("spec")).get("addresses"))),
        listeners=(),
    )


@dataclass(slots=True)
class _Reach:
    """Where a Gateway can be reached."""

    internal: list[str]
    """``host:port`` of Services with proxies behind them."""
    hosts: list[str]
    external: list[str]
    pending: list[str]
    warnings: list[str]
    unusable: bool = False


def _reach(gateway: ReadGateway, cluster: Cluster) -> _Reach:
    found = _Reach([], [], [], [], [])
    ports = sorted({listener.port for listener in gateway.listeners})
    for host in gateway.services:
        service = cluster.hosts.get(host)
        if service is None or service.namespace != gateway.key[0]:
            where = (
                ""
                if service is None
                else (f' in namespace "{gateway.key[0]}", but it was found in namespace(s) "{service.namespace}"')
            )
            found.warnings.append(f'hostname "{host}" not found{where}')
            found.unusable = True
            continue
        raw = cluster.services.get((service.namespace, service.name), {})
        balancers = objects(mapping(mapping(raw.get("status")).get("loadBalancer")).get("ingress"))
        external = [text(item.get("ip")) or text(item.get("hostname")) for item in balancers]
        for port in ports:
            served = service.port(port)
            if served is not None and served.endpoints:
                found.internal.append(f"{host}:{port}")
                if host not in found.hosts:
                    found.hosts.append(host)
                if external:
                    found.external += [address for address in external if address not in found.external]
                elif mapping(raw.get("spec")).get("type") == "LoadBalancer" and host not in found.pending:
                    found.pending.append(host)
                    found.warnings.append(f'address pending for hostname "{host}"')
            elif not any(p.endpoints for p in service.ports):
                found.warnings.append(f'no instances found for hostname "{host}"')
            else:
                _unknown_port(found, host, port, service.ports, raw)
    found.internal.sort()
    found.warnings = sorted(set(found.warnings))
    return found


def _unknown_port(found: _Reach, host: str, port: int, ports: Sequence[Any], service: Obj) -> None:
    hints = sorted({str(p.number) for p in ports for e in p.endpoints if e.port == port})
    if hints:
        found.warnings.append(
            f'port {port} not found for hostname "{host}" (hint: the service port should be specified, not the '
            f"workload port. Did you mean one of these ports: [{' '.join(hints)}]?)"
        )
    elif MANAGED_LABEL in string_map(mapping(service.get("metadata")).get("labels")) and any(
        p.number == port for p in ports
    ):
        return  # its endpoints will follow
    else:
        found.warnings.append(f'port {port} not found for hostname "{host}"')
    found.unusable = True


def _programming_error(gateway: ReadGateway, reach: _Reach) -> ConfigError | None:
    if not gateway.services:
        return ConfigError("UnsupportedAddress", "Failed to assign to any requested addresses")
    if not reach.warnings:
        return None
    warnings = "; ".join(reach.warnings)
    if reach.internal:
        message = f"Assigned to service(s) {joined(reach.internal)}, but failed to assign to all requested addresses: "
    else:
        message = "Failed to assign to any requested addresses: "
    return ConfigError("AddressNotUsable" if reach.unusable else "AddressNotAssigned", message + warnings)


def joined(values: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b, and c``."""
    if len(values) <= 2:
        return " and ".join(values)
    return f"{', '.join(values[:-1])}, and {values[-1]}"
