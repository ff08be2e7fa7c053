"""Route configurations of captured HTTP, named as upstream's: by port, or by host and port where HTTP was sniffed."""

from __future__ import annotations

from collections.abc import Sequence

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.envoy.routes import Listening, cluster_of
from meshlab.minicluster.mesh.envoy.telemetry import WITHOUT_PEER, route_via
from meshlab.minicluster.mesh.envoy.virtualhosts import (
    DEFAULT_PORT,
    MESH,
    RoutedPort,
    append_host,
    lab_prefix,
    routes_without_service,
    virtual_host,
)
from meshlab.minicluster.mesh.envoy.vocabulary import BLACK_HOLE, CAPTURED_PASSTHROUGH, PASSTHROUGH, lab_passthrough
from meshlab.minicluster.mesh.scope import Scope

MAX_BODY_BYTES = 1048576


def port_routes(scope: Scope, number: int, group: Sequence[RoutedPort], *, moved: bool) -> Obj:
    """The route configuration of a port: a virtual host for each service that has it.

    Args:
        scope: what the clients see.
        number: the port.
        group: the services that have it.
        moved: whether another port is really bound behind it.
    """
    hosts: list[Obj] = []
    taken: set[str] = set()
    for found in group:
        append_host(hosts, taken, found.captured)
    if number == DEFAULT_PORT:
        for pattern, routes in routes_without_service(scope):
            append_host(hosts, taken, virtual_host(f"{pattern}:{number}", [pattern], routes))
    append_host(hosts, taken, _other_host(scope, number if moved else 0))
    return _configuration(str(number), hosts, ignore_port_in_host_matching=True)


def any_host_routes(found: RoutedPort) -> Obj:
    """The route configuration of one address and port, whatever host requests name."""
    return _configuration(found.name, [virtual_host(found.name, ["*"], found.routes)])


def _configuration(name: str, hosts: Sequence[Obj], **members: object) -> Obj:
    return {
        "name": name,
        "validate_clusters": False,
        "max_direct_response_body_size_bytes": MAX_BODY_BYTES,
        "virtual_hosts": list(hosts),
        **members,
    }


def _other_host(scope: Scope, moved_port: int) -> Obj:
    """What happens to requests for hosts that nobody declared."""
    if not scope.allow_unknown_hosts:
        route: Obj = {"name": "block_all", "match": {"prefix": "/"}, "direct_response": {"status": 502}}
        return virtual_host("block_all", ["*"], [{**route, **route_via(BLACK_HOLE)}])
    if scope.sidecar is not None and scope.sidecar.egress_proxy is not None:
        target = cluster_of(scope.sidecar.egress_proxy, Listening(scope, MESH, DEFAULT_PORT))
        return virtual_host("allow_any", ["*"], [_through(target, "")])
    inside = lab_prefix(scope)
    routes = [_through(lab_passthrough(moved_port), inside)] if inside else []
    routes.append(_through(CAPTURED_PASSTHROUGH, ""))
    host = virtual_host("allow_any", ["*"], [{**route, **route_via(PASSTHROUGH)} for route in routes])
    return {**host, **WITHOUT_PEER}


def _through(cluster: str, authority_prefix: str) -> Obj:
    match: Obj = {"prefix": "/"}
    if authority_prefix:
        match["headers"] = [{"name": ":authority", "string_match": {"prefix": authority_prefix}}]
    return {"name": "allow_any", "match": match, "route": {"cluster": cluster, "timeout": "0s"}}
