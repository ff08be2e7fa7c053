"""Patches on route configurations, virtual hosts and routes.

Upstream has a route configuration per outbound port, named by the port. Here one holds all outbound virtual hosts; a
port then chooses among those by the port in their names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.envoy.patching.listeners import outbound_port
from meshlab.minicluster.mesh.envoy.patching.selection import GATEWAY, INBOUND, OUTBOUND, Patches
from meshlab.minicluster.mesh.envoy.patching.sequences import changed
from meshlab.minicluster.mesh.envoy.patchvalues import MESSAGES, merged
from meshlab.minicluster.mesh.envoy.vocabulary import HTTP_PROXY, any_of
from meshlab.minicluster.mesh.patches import ConfigPatch, RouteMatch

ACTIONS: Mapping[str, str] = {"ROUTE": "route", "REDIRECT": "redirect", "DIRECT_RESPONSE": "direct_response"}
SWITCHED_ON: Obj = any_of("envoy.config.route.v3.FilterConfig", config={}, disabled=False)

INSERTIONS = ("ADD", "INSERT_FIRST", "INSERT_BEFORE", "INSERT_AFTER")

GatewayPorts = Mapping[int, frozenset[int]]
"""The servers' ports behind each port on which a gateway's proxy listens."""


def patch_routes(configurations: dict[str, Obj], patches: Patches, gateway_ports: GatewayPorts) -> dict[str, Obj]:
    """The route configurations, patched."""
    return {name: _configuration(found, patches, gateway_ports) for name, found in configurations.items()}


def _configuration(configuration: Obj, patches: Patches, ports: GatewayPorts) -> Obj:
    name = configuration["name"]

    def for_configuration(patch: ConfigPatch, host: Obj | None = None) -> bool:
        match = patch.route
        if match is None:
            return True
        if context == GATEWAY:
            return _gateway_matches(match, name, ports)
        if context == INBOUND:
            return match.name in ("", name) and str(match.port or "") in ("", name.split("|")[1])
        return _outbound_matches(match, host) if name == HTTP_PROXY else _captured_matches(match, name)

    context = GATEWAY if patches.gateway else INBOUND if name.startswith("inbound|") else OUTBOUND
    found = configuration
    for patch in patches.of_kind("ROUTE_CONFIGURATION", context):
        if patch.operation == "MERGE" and for_configuration(patch):
            found = merged(MESSAGES["ROUTE_CONFIGURATION"], found, patch.value)
    hosts: list[Obj] = []
    for host in found.get("virtual_hosts", ()):
        after = _virtual_host(host, patches, context, for_configuration)
        if after is not None:
            hosts.append(after)
    hosts += [
        dict(patch.value)
        for patch in patches.of_kind("VIRTUAL_HOST", context)
        if patch.operation == "ADD" and for_configuration(patch)
    ]
    if name == HTTP_PROXY:
        hosts = [_switched_on(host, patches) for host in hosts]
    return {**found, "virtual_hosts": hosts}


def _virtual_host(
    host: Obj, patches: Patches, context: str, for_configuration: Callable[[ConfigPatch, Obj], bool]
) -> Obj | None:
    def chosen(apply_to: str) -> list[ConfigPatch]:
        return [
            patch
            for patch in patches.of_kind(apply_to, context)
            if for_configuration(patch, host)
            and (patch.route is None or patch.route.virtual_host in ("", host.get("name")))
        ]

    found = host
    for patch in chosen("VIRTUAL_HOST"):
        match patch.operation:
            case "REMOVE":
                return None
            case "MERGE":
                found = merged(MESSAGES["VIRTUAL_HOST"], found, patch.value)
            case "REPLACE":
                found = dict(patch.value)
    routing = chosen("HTTP_ROUTE")
    if not routing:
        return found
    routes: Sequence[Obj] = [
        after for route in found.get("routes", ()) if (after := _route(route, routing)) is not None
    ]
    for patch in routing:
        if patch.operation in ("REMOVE", "MERGE", "REPLACE"):
            continue
        match = patch.route
        picks = (lambda route, match=match: _route_matches(route, match)) if match and match.has_route else None
        if patch.operation == "INSERT_FIRST" and picks is not None and not any(map(picks, routes)):
            continue
        routes = changed(routes, patch, picks)
    return {**found, "routes": list(routes)}


def _route(route: Obj, patches: Sequence[ConfigPatch]) -> Obj | None:
    found = route
    for patch in patches:
        if not _route_matches(found, patch.route):
            continue
        if patch.operation == "REMOVE":
            return None
        if patch.operation == "MERGE":
            found = merged(MESSAGES["HTTP_ROUTE"], found, patch.value)
    return found


def _route_matches(route: Obj, match: RouteMatch | None) -> bool:
    if "connect_matcher" in route.get("match", {}):
        # Upstream has no such routes: they stand for connections that it would have captured.
        return False
    if match is None:
        return True
    action = ACTIONS.get(match.action)
    return match.route_name in ("", route.get("name", "")) and (action is None or action in route)


def _captured_matches(match: RouteMatch, name: str) -> bool:
    """Whether a patch is for the routes of captured HTTP: ``8000``, or ``host:8000`` where it was sniffed."""
    if match.name not in ("", name):
        return False
    return str(match.port or "") in ("", name.rpartition(":")[2])


def _outbound_matches(match: RouteMatch, host: Obj | None) -> bool:
    """Whether a patch is for the outbound side; with a virtual host: for that part of it."""
    wanted = str(match.port) if match.port else match.name
    if wanted in ("", HTTP_PROXY):
        return True
    owner, _, port = wanted.rpartition(":")
    if host is None:
        return port.isdecimal()
    name = str(host.get("name", ""))
    # ``host:port`` names the route configuration of one sniffed port.
    return name == wanted if owner else name.endswith(f":{wanted}")


def _gateway_matches(match: RouteMatch, name: str, ports: GatewayPorts) -> bool:
    """Whether a patch is for a gateway's route configuration.

    Those are named ``http.PORT`` or ``https.PORT.PORTNAME.GATEWAY.NAMESPACE``.
    """
    kind, *parts = name.split(".")
    port = int(parts[0]) if parts and parts[0].isdecimal() else 0
    secured = kind == "https" and len(parts) == 4
    port_name, gateway = (parts[1], f"{parts[3]}/{parts[2]}") if secured else ("", "")
    return (
        match.name in ("", name)
        and (not match.port or match.port in ports.get(port, frozenset({port})))
        and match.port_name in ("", port_name)
        and match.gateway in ("", gateway)
    )


def _switched_on(host: Obj, patches: Patches) -> Obj:
    """A virtual host with the filters that were inserted for its port."""
    names: dict[str, Obj] = {}
    for patch in patches.of_kind("HTTP_FILTER", OUTBOUND):
        port = outbound_port(patch, OUTBOUND)
        here = port and patch.operation in INSERTIONS and str(host.get("name", "")).endswith(f":{port}")
        if here and patch.value.get("name"):
            names[str(patch.value["name"])] = SWITCHED_ON
    if not names:
        return host
    return {**host, "typed_per_filter_config": {**names, **host.get("typed_per_filter_config", {})}}
