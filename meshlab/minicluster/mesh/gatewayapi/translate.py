"""The Gateway API's resources as parts of the neutral model, and the statuses they should have: the front door."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.gatewayapi.backends import RouteContext
from meshlab.minicluster.mesh.gatewayapi.classes import GROUP, known_classes
from meshlab.minicluster.mesh.gatewayapi.cluster import Cluster, Key
from meshlab.minicluster.mesh.gatewayapi.gateways import (
    RESOURCE,
    ReadGateway,
    gateway_status,
    read_gateway,
    remote_status,
)
from meshlab.minicluster.mesh.gatewayapi.httproutes import convert_rules
from meshlab.minicluster.mesh.gatewayapi.parents import Attachment, attachments, parent_statuses
from meshlab.minicluster.mesh.gatewayapi.references import Grants
from meshlab.minicluster.mesh.gatewayapi.status import Status, condition
from meshlab.minicluster.mesh.gatewayapi.tables import Tables, l4_routes
from meshlab.minicluster.mesh.istio.reading import Problems, created, integer, mapping, objects, text
from meshlab.minicluster.mesh.model import ConfigRef, Service
from meshlab.minicluster.mesh.routing import Gateway, RouteTable

T = TypeVar("T")

CLASSES = f"gatewayclasses.{GROUP}"
ROUTES = {
    "HTTPRoute": f"httproutes.{GROUP}",
    "GRPCRoute": f"grpcroutes.{GROUP}",
    "TCPRoute": f"tcproutes.{GROUP}",
    "TLSRoute": f"tlsroutes.{GROUP}",
}
GRANTS = f"referencegrants.{GROUP}"
WATCHED = (CLASSES, RESOURCE, *ROUTES.values(), GRANTS)
"""The resources that are read."""


@dataclass(frozen=True, slots=True)
class GatewayApi:
    """What the resources of the Gateway API come to."""

    gateways: tuple[Gateway, ...] = ()
    tables: tuple[RouteTable, ...] = ()
    statuses: tuple[Status, ...] = ()


def translate_gateway_api(
    resources: Mapping[str, Sequence[Obj]],
    services: Iterable[Service],
    secrets: Mapping[Key, Obj],
    domain: str,
    problems: Problems,
) -> GatewayApi:
    """Translate.

    Args:
        resources: the cluster's objects by ``plural.group``.
        services: the model's services.
        secrets: the Secrets of the namespaces that `referenced_namespaces` names.
        domain: the cluster's domain.
        problems: where resources are noted that cannot be read at all.
    """
    if not any(resources.get(key) for key in WATCHED):
        return GatewayApi()
    cluster = Cluster.of(resources, services, secrets, Grants.read(resources.get(GRANTS, ())), domain)
    classes = known_classes(resources.get(CLASSES, ()))
    statuses = [_class_status(obj) for obj in resources.get(CLASSES, ()) if text(_meta(obj, "name")) in classes]
    read: list[ReadGateway] = []

    def add_gateway(obj: Obj, _: ConfigRef) -> list[ReadGateway | Status]:
        info = classes.get(text(mapping(obj.get("spec")).get("gatewayClassName")))
        if info is None:
            return []
        return [read_gateway(obj, cluster) if info.programs else remote_status(obj)]

    for obj in sorted(resources.get(RESOURCE, ()), key=_age):
        for item in problems.guard(obj, add_gateway):
            if isinstance(item, Status):
                statuses.append(item)
            else:
                read.append(item)
    listeners = {gateway.key: gateway.listeners for gateway in read}
    attached: dict[Key, Counter[str]] = {gateway.key: Counter() for gateway in read}
    tables = Tables()
    for kind, resource in ROUTES.items():

        def add_route(route: Obj, _: ConfigRef, kind: str = kind) -> list[Status]:
            found = attachments(route, kind, listeners, cluster)
            added = _add_route(route, kind, found, tables, cluster)
            taken = {item.listener for item in found if item.listener is not None and item.denied is None}
            for listener in taken:
                attached[listener.namespace, listener.gateway][listener.section] += 1
            return added

        for route in sorted(resources.get(resource, ()), key=_age):
            statuses += problems.guard(route, add_route)
    statuses += [gateway_status(gateway, attached[gateway.key], cluster) for gateway in read]
    return GatewayApi(
        gateways=tuple(item for gateway in read for item in gateway.gateways()),
        tables=tuple(tables.tables()),
        statuses=tuple(statuses),
    )


def _add_route(route: Obj, kind: str, found: Sequence[Attachment], tables: Tables, cluster: Cluster) -> list[Status]:
    namespace = text(_meta(route, "namespace"))

    def converted(convert: Callable[[Obj, RouteContext], T], *, mesh: bool) -> T:
        return convert(route, RouteContext(kind, namespace, cluster, mesh))

    if kind in ("HTTPRoute", "GRPCRoute"):
        http, error = converted(convert_rules, mesh=False)
        mesh_http, mesh_error = converted(convert_rules, mesh=True)
        tables.add_http(route, found, http, mesh_http)
    else:
        l4, error = converted(l4_routes, mesh=False)
        mesh_l4, mesh_error = converted(l4_routes, mesh=True)
        tables.add_l4(route, found, l4, mesh_l4, tls=kind == "TLSRoute")
    return [
        Status(
            ROUTES[kind],
            namespace,
            text(_meta(route, "name")),
            integer(_meta(route, "generation")) or 0,
            parents=parent_statuses(found, error, mesh_error),
        )
    ]


def referenced_namespaces(resources: Mapping[str, Sequence[Obj]]) -> set[str]:
    """The namespaces whose Secrets listeners point at."""
    return {
        text(reference.get("namespace")) or text(_meta(obj, "namespace"))
        for obj in resources.get(RESOURCE, ())
        for listener in objects(mapping(obj.get("spec")).get("listeners"))
        for reference in objects(mapping(listener.get("tls")).get("certificateRefs"))
    }


def _class_status(obj: Obj) -> Status:
    return Status(
        CLASSES,
        "",
        text(_meta(obj, "name")),
        integer(_meta(obj, "generation")) or 0,
        conditions=(condition("Accepted", "Accepted", "Handled by Istio controller"),),
    )


def _meta(obj: Obj, key: str) -> object:
    return mapping(obj.get("metadata")).get(key)


def _age(obj: Obj) -> tuple[str, str, str]:
    return (created(obj), text(_meta(obj, "namespace")), text(_meta(obj, "name")))
