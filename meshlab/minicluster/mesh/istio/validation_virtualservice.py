"""What makes a VirtualService invalid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.istio.reading import mapping, objects, sequence, text, texts
from meshlab.minicluster.mesh.istio.validation_common import (
    Messages,
    duration,
    export_to,
    is_address,
    labels,
    percentage,
    port,
    quote,
    wildcard_domain,
)
from meshlab.minicluster.mesh.istio.validation_route import (
    JWT_CLAIM,
    cors,
    destination,
    direct_response,
    fault,
    gateway_names,
    header_operations,
    http_match,
    mirror_policy,
    redirect_action,
    retry,
    rewrite_action,
)

MESH = "mesh"


def validate_virtual_service(obj: Obj) -> Messages:
    """The messages for one VirtualService."""
    spec = mapping(obj.get("spec"))
    hosts, gateways = texts(spec.get("hosts")), texts(spec.get("gateways"))
    http, tcp, tls = (objects(spec.get(kind)) for kind in ("http", "tcp", "tls"))
    if not hosts:
        yield from _delegate(spec)
    yield from gateway_names(gateways)
    mesh = not gateways or MESH in gateways
    if mesh:
        yield from _jwt_claims(http, gateways)
    yield from _hosts(hosts, mesh=mesh)
    if not http and not tcp and not tls:
        yield "http, tcp or tls must be provided in virtual service"
    for route in http:
        yield from _http_route(route, delegate=not hosts)
    for route in tls:
        yield from _tls_route(route, hosts)
    for route in tcp:
        yield from _tcp_route(route)
    yield from export_to(text(mapping(obj.get("metadata")).get("namespace")), spec.get("exportTo"))


def _delegate(spec: Mapping[str, Any]) -> Messages:
    if spec.get("gateways"):
        yield "delegate virtual service must have no gateways specified"
    if spec.get("tls"):
        yield "delegate virtual service must have no tls route specified"
    if spec.get("tcp"):
        yield "delegate virtual service must have no tcp route specified"


def _jwt_claims(routes: Sequence[Mapping[str, Any]], gateways: Sequence[str]) -> Messages:
    for route in routes:
        for match in objects(route.get("match")):
            for field in ("headers", "withoutHeaders"):
                for key in mapping(match.get(field)):
                    if key.startswith(JWT_CLAIM):
                        found = " ".join(gateways)
                        yield (
                            f"JWT claim based routing (key: {key}) is only supported for gateway, "
                            f"found no gateways: [{found}]"
                        )


def _hosts(hosts: Sequence[str], *, mesh: bool) -> Messages:
    valid = True
    for host in hosts:
        wrong = [] if is_address(host) else list(wildcard_domain(host))
        if not wrong and mesh and host == "*":
            wrong = ["wildcard host * is not allowed for virtual services bound to the mesh gateway"]
        yield from wrong
        valid = valid and not wrong
    if not valid:
        return
    for index, first in enumerate(hosts):
        for second in hosts[index + 1 :]:
            if _overlap(first, second):
                yield f"duplicate hosts in virtual service: {first} & {second}"


def _overlap(first: str, second: str) -> bool:
    if first.startswith("*") and second.startswith("*"):
        return first[1:].endswith(second[1:]) or second[1:].endswith(first[1:])
    if first.startswith("*"):
        return second.endswith(first[1:])
    if second.startswith("*"):
        return first.endswith(second[1:])
    return first == second


def _http_route(route: Mapping[str, Any], *, delegate: bool) -> Messages:
    if route.get("delegate") is not None:
        if delegate:
            yield "delegate HTTP route cannot contain delegate"
        if route.get("route") or route.get("redirect") or route.get("directResponse"):
            yield "HTTP route cannot contain both route and delegate"
        if not mapping(route["delegate"]).get("name"):
            yield "delegate name is required"
    else:
        yield from _action(route)
    for match in objects(route.get("match")):
        yield from http_match(match)
    yield from header_operations(route.get("headers"))
    yield from cors(route.get("corsPolicy"))
    yield from fault(route.get("fault"))
    for mirror in objects(route.get("mirrors")):
        yield from mirror_policy(mirror)
    if route.get("mirrors") and route.get("mirror"):
        yield "HTTP route cannot contain both mirror and mirrors"
    yield from percentage(route.get("mirrorPercentage"))
    yield from redirect_action(route.get("redirect"))
    yield from direct_response(route.get("directResponse"))
    yield from destination(route.get("mirror"))
    yield from retry(route.get("retries"))
    yield from rewrite_action(route.get("rewrite"))
    yield from _http_destinations(objects(route.get("route")))
    yield from duration(route.get("timeout")) if route.get("timeout") not in ("0s", "0") else ()


def _action(route: Mapping[str, Any]) -> Messages:
    has_route, fault, rewrite = bool(route.get("route")), route.get("fault"), route.get("rewrite")
    for field, name in (("redirect", "redirect"), ("directResponse", "direct_response")):
        if route.get(field) is None:
            continue
        if has_route:
            yield f"HTTP route cannot contain both route and {name}"
        if fault is not None:
            yield f"HTTP route cannot contain both fault and {name}"
        if rewrite is not None:
            yield f"HTTP route rule cannot contain both rewrite and {name}"
    if route.get("redirect") is not None and route.get("directResponse") is not None:
        yield "HTTP route cannot contain both direct_response and redirect"
    if not has_route and route.get("redirect") is None and route.get("directResponse") is None:
        yield "HTTP route, redirect or direct_response is required"


def _http_destinations(splits: Sequence[Mapping[str, Any]]) -> Messages:
    for split in splits:
        yield from header_operations(split.get("headers"))
    yield from _destinations(splits)


def _destinations(splits: Sequence[Mapping[str, Any]]) -> Messages:
    total = 0
    for split in splits:
        if split.get("destination") is None:
            yield "destination is required"
        yield from destination(split.get("destination"))
        weight = split.get("weight") or 0
        if weight < 0:
            yield f"weight {weight} < 0"
        total += weight
    if len(splits) > 1 and total == 0:
        yield "total destination weight = 0"


def _tls_route(route: Mapping[str, Any], hosts: Sequence[str]) -> Messages:
    if not sequence(route.get("match")):
        yield "TLS route must have at least one match condition"
    for match in objects(route.get("match")):
        names = texts(match.get("sniHosts"))
        if not names:
            yield "TLS match must have at least one SNI host"
        for name in names:
            if is_address(name):
                continue
            wrong = list(wildcard_domain(name))
            yield from wrong
            if not wrong and not any(_covers(host, name) for host in hosts):
                yield (
                    f"SNI host {quote(name)} is not a compatible subset of any of the virtual service hosts: "
                    f"[{', '.join(hosts)}]"
                )
        yield from _l4_match(match)
    if not sequence(route.get("route")):
        yield "TLS route is required"
    yield from _destinations(objects(route.get("route")))


def _covers(host: str, name: str) -> bool:
    return name.endswith(host[1:]) if host.startswith("*") else host == name


def _tcp_route(route: Mapping[str, Any]) -> Messages:
    for match in objects(route.get("match")):
        yield from _l4_match(match)
    if not sequence(route.get("route")):
        yield "TCP route is required"
    yield from _destinations(objects(route.get("route")))


def _l4_match(match: Mapping[str, Any]) -> Messages:
    if match.get("port"):
        yield from port(match["port"])
    yield from labels(match.get("sourceLabels"))
    yield from gateway_names(texts(match.get("gateways")))
