"""What makes a VirtualService invalid."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.istio.reading import mapping, objects, sequence, text, texts
from meshlab.minicluster.mesh.istio.validation_common import (
    Caution,
    Listed,
    Messages,
    duration,
    export_to,
    is_address,
    labels,
    port,
    quote,
    subnet,
    wildcard_domain,
)
from meshlab.minicluster.mesh.istio.validation_route import (
    JWT_CLAIM,
    authority_rewrite,
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
from meshlab.minicluster.mesh.istio.validation_unreachable import unreachable_rules

MESH = "mesh"
PASSED_ON = re.compile(r"outbound_\.?(?P<port>[^_]*)_[^_]*_(?P<host>.*)")
"""The SNI names of AUTO_PASSTHROUGH: ``outbound_.80_._.a.example.com``."""


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
    sni = any(texts(match.get("sniHosts")) for route in tls for match in objects(route.get("match")))
    yield from _hosts(hosts, mesh=mesh, sni=sni)
    if not http and not tcp and not tls:
        yield "http, tcp or tls must be provided in virtual service"
    for route in http:
        yield from _http_route(route, delegate=not hosts)
    for route in tls:
        yield from _tls_route(route, hosts, mesh=MESH in gateways)
    for route in tcp:
        yield from _tcp_route(route)
    yield from export_to(text(mapping(obj.get("metadata")).get("namespace")), spec.get("exportTo"))
    for kind in (http, tcp, tls):
        yield from map(Caution, unreachable_rules(kind))


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
                    if JWT_CLAIM.fullmatch(key):
                        found = " ".join(gateways)
                        yield (
                            f"JWT claim based routing (key: {key}) is only supported for gateway, "
                            f"found no gateways: [{found}]"
                        )


def _hosts(hosts: Sequence[str], *, mesh: bool, sni: bool) -> Messages:
    valid = True
    for host in hosts:
        wrong = [] if is_address(host) else list(_domain(host, passed_on=sni and not mesh))
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


def _domain(name: str, *, passed_on: bool) -> Messages:
    """A name with wildcards; at gateways also one that another gateway passes on."""
    if not passed_on or not name.startswith("outbound_"):
        yield from wildcard_domain(name)
        return
    parts = PASSED_ON.fullmatch(name)
    form = "outbound_.<PORT>_._.<HOSTNAME>"
    if parts is None:
        yield f"domain name {name} invalid, should follow '{form}' format"
    else:
        for label, kind in ((parts["port"].strip("."), "[0-9]"), (parts["host"].strip("."), "[a-zA-Z]")):
            if re.search(kind, label) is None:
                yield f"domain name {quote(name)} invalid (label {quote(label)} invalid). should follow {form} format"
                return


def _overlap(first: str, second: str) -> bool:
    if first.startswith("*") and second.startswith("*"):
        return first[1:].endswith(second[1:]) or second[1:].endswith(first[1:])
    if first.startswith("*"):
        return second.endswith(first[1:])
    if second.startswith("*"):
        return first.endswith(second[1:])
    return first == second


def _http_route(route: Mapping[str, Any], *, delegate: bool) -> Messages:
    yield from _action(route, delegate=delegate)
    for match in objects(route.get("match")):
        yield from http_match(match)
    yield from header_operations(route.get("headers"))
    yield from cors(route.get("corsPolicy"))
    yield from fault(route.get("fault"))
    yield from _mirror_percentages(route)
    yield from destination(route.get("mirror"))
    for mirror in objects(route.get("mirrors")):
        yield from mirror_policy(mirror)
    yield from redirect_action(route.get("redirect"))
    yield from direct_response(route.get("directResponse"))
    yield from retry(route.get("retries"))
    yield from rewrite_action(route.get("rewrite"))
    yield from authority_rewrite(route.get("rewrite"), route.get("headers"))
    yield from _http_destinations(objects(route.get("route")))
    yield from duration(route.get("timeout"))


def _mirror_percentages(route: Mapping[str, Any]) -> Messages:
    whole = route.get("mirrorPercent", route.get("mirror_percent"))
    if isinstance(whole, int):
        if whole > 100:
            yield f"mirror_percent must have a max value of 100 (it has {whole})"
        yield Caution('using deprecated setting "mirrorPercent", use "mirrorPercentage" instead')
    value = mapping(route.get("mirrorPercentage")).get("value", 0)
    if value > 100:
        yield f"mirror_percentage must have a max value of 100 (it has {value:f})"
    if value < 0:
        yield f"mirror_percentage must have a min value of 0 (it has {value:f})"


def _action(route: Mapping[str, Any], *, delegate: bool) -> Messages:
    """What a route does: hand over, or one of destinations, a redirect and an answer of its own."""
    destinations = bool(route.get("route"))
    if route.get("delegate") is not None and not delegate:
        name = text(route.get("name"))
        if route.get("redirect") is not None:
            yield f"root HTTP route {name} must not specify redirect"
        if destinations:
            yield f"root HTTP route {name} must not specify route"
        return
    if route.get("delegate") is not None:
        yield "delegate HTTP route cannot contain delegate"
    actions = [
        (name, other)
        for field, name, other in (
            ("redirect", "redirect", "direct_response"),
            ("directResponse", "direct_response", "redirect"),
        )
        if route.get(field) is not None
    ]
    if actions:
        name, other = actions[0]
        if destinations:
            yield f"HTTP route cannot contain both route and {name}"
        if route.get("fault") is not None:
            yield f"HTTP route cannot contain both fault and {name}"
        if route.get("rewrite") is not None:
            yield f"HTTP route rule cannot contain both rewrite and {name}"
        if len(actions) > 1:
            yield f"HTTP route rule cannot contain both {other} and {name}"
    elif not destinations:
        yield "HTTP route, redirect or direct_response is required"
    if route.get("mirror") is not None and route.get("mirrors"):
        yield "HTTP route cannot contain both mirror and mirrors"


def _http_destinations(splits: Sequence[Mapping[str, Any]]) -> Messages:
    for split in splits:
        yield from header_operations(split.get("headers"))
    yield from _destinations(splits)


def _destinations(splits: Sequence[Mapping[str, Any]]) -> Messages:
    total = 0
    for split in splits:
        if split.get("destination") is None:
            yield Listed("destination is required")
        yield from destination(split.get("destination"))
        weight = split.get("weight") or 0
        if weight < 0:
            yield f"weight {weight} < 0"
        total += weight
    if len(splits) > 1 and total == 0:
        yield "total destination weight = 0"


def _tls_route(route: Mapping[str, Any], hosts: Sequence[str], *, mesh: bool) -> Messages:
    if not sequence(route.get("match")):
        yield "TLS route must have at least one match condition"
    for match in objects(route.get("match")):
        names = texts(match.get("sniHosts"))
        if not names:
            yield "TLS match must have at least one SNI host"
        for name in names:
            wrong = list(_domain(name, passed_on=not mesh))
            if wrong and is_address(name):
                yield Caution(
                    f"using an IP address ({quote(name)}) goes against SNI spec and most clients do not support this"
                )
                continue
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
    for block in texts(match.get("destinationSubnets")):
        yield from subnet(block)
    if match.get("port"):
        yield from port(match["port"])
    yield from labels(match.get("sourceLabels"))
    yield from gateway_names(texts(match.get("gateways")))
