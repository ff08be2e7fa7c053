"""Routes: one HttpRoute of the model as the routes of an Envoy virtual host."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.envoy.filters import CORS_FILTER, FAULT_FILTER
from meshlab.minicluster.mesh.envoy.matching import route_match
from meshlab.minicluster.mesh.envoy.routeparts import (
    cors_settings,
    direct_response_action,
    fault_settings,
    hash_policy,
    header_members,
    redirect_action,
    retry_policy,
    rewrite_members,
)
from meshlab.minicluster.mesh.envoy.tracing import NOT_TRACED
from meshlab.minicluster.mesh.envoy.vocabulary import (
    cluster_name,
    config_path,
    duration,
    fraction,
    istio_metadata,
)
from meshlab.minicluster.mesh.policy import HashKey
from meshlab.minicluster.mesh.routing import (
    Destination,
    HeaderOperations,
    HttpMatch,
    HttpRoute,
    L4Route,
    Retry,
    RouteTable,
    Split,
)
from meshlab.minicluster.mesh.scope import Scope

UNKNOWN_SERVICE = "UnknownService"
"""Istio's name for the cluster of a destination that may not be used; there is none of that name."""


@dataclass(frozen=True, slots=True)
class Listening:
    """Where requests come in: decides which matches apply and what a destination without a port means."""

    scope: Scope
    gateways: frozenset[str]
    port: int
    tls: bool = False
    """Whether clients speak TLS there."""


def table_routes(table: RouteTable, listening: Listening) -> list[Obj]:
    """The routes of a table, in its order, up to the first one that takes every request."""
    found: list[Obj] = []
    for route in table.http:
        applying: Iterable[HttpMatch | None] = [
            match
            for match in route.matches
            if listening.scope.source_matches(match, listening.gateways, listening.port)
        ]
        for match in applying if route.matches else (None,):
            found.append(http_route(route, match, table, listening))
            if match is None or match.is_catch_all:
                return found
    return found


def http_route(route: HttpRoute, match: HttpMatch | None, table: RouteTable, listening: Listening) -> Obj:
    """One route for one of its matches."""
    matcher = route_match(match)
    found: Obj = {"match": matcher, "metadata": istio_metadata(config=config_path(table.ref))}
    # A match's name follows a dot even where the route has none, as upstream.
    name = f"{route.name}.{match.name}" if match is not None and match.name else route.name
    if name:
        found["name"] = name
    if match is not None and match.stat_prefix:
        found["stat_prefix"] = match.stat_prefix
    headers = [route.headers]
    operation = f"{table.ref.name}:{listening.port}"
    if route.redirect is not None:
        found["redirect"] = redirect_action(route.redirect, match, listening.port, tls=listening.tls)
    elif route.direct_response is not None:
        found["direct_response"] = direct_response_action(route.direct_response)
    else:
        found["route"] = _action(route, match, listening)
        if len(route.splits) == 1:
            headers.append(route.splits[0].headers)
            if found["route"]["cluster"] != UNKNOWN_SERVICE:
                _, port, _, host = found["route"]["cluster"].split("|")
                operation = f"{host}:{port}"
    found["decorator"] = {"operation": operation + _operation_path(matcher)}
    found |= header_members(*headers)
    filters: Obj = {}
    if route.fault is not None:
        filters[FAULT_FILTER] = fault_settings(route.fault)
    if route.cors is not None:
        filters[CORS_FILTER] = cors_settings(route.cors)
    if filters:
        found["typed_per_filter_config"] = filters
    return found


def default_route(destination: Destination, listening: Listening, operation: str) -> Obj:
    """The route of a service that no table routes."""
    hashing = _hash_policies([destination], listening)
    return {
        "name": "default",
        "match": {"prefix": "/"},
        "route": {
            "cluster": cluster_of(destination, listening),
            "timeout": "0s",
            **_retries(None, listening, sticky=bool(hashing)),
            **hashing,
        },
        "decorator": {"operation": operation},
    }


def tunnel_route(cluster: Obj) -> Obj:
    """A route that takes CONNECT requests and hands their bytes on.

    Args:
        cluster: the members that name the cluster or the weighted clusters.
    """
    return {
        "name": "connect",
        "match": {"connect_matcher": {}},
        "route": {
            **cluster,
            "timeout": "0s",
            "upgrade_configs": [{"upgrade_type": "CONNECT", "connect_config": {}}],
        },
        **NOT_TRACED,
    }


def l4_clusters(routes: Sequence[L4Route], listening: Listening, sni: str = "") -> list[tuple[str, int]] | None:
    """The (cluster, weight) pairs of the first connection route that applies; None if none does.

    Args:
        routes: tcp or tls routes.
        listening: where the connection comes in.
        sni: the server name that the client asks for; only compared if a match wants some.
    """
    for route in routes:
        applies = not route.matches or any(
            listening.scope.source_matches(match, listening.gateways, listening.port)
            and (not match.sni_hosts or any(_sni_matches(host, sni) for host in match.sni_hosts))
            for match in route.matches
        )
        if applies:
            return split_clusters(route.splits, listening)
    return None


def _sni_matches(pattern: str, sni: str) -> bool:
    return pattern in ("*", sni) or (pattern.startswith("*.") and sni.endswith(pattern[1:]))


def split_clusters(splits: Sequence[Split], listening: Listening) -> list[tuple[str, int]]:
    """The (cluster, weight) pairs of a split."""
    return [(cluster_of(split.destination, listening), split.weight or 1) for split in splits]


def cluster_members(clusters: Sequence[tuple[str, int]]) -> Obj:
    """One cluster, or several by weight, as members of a route action."""
    if len(clusters) == 1:
        return {"cluster": clusters[0][0]}
    return {"weighted_clusters": {"clusters": [{"name": name, "weight": weight} for name, weight in clusters]}}


def cluster_of(destination: Destination, listening: Listening) -> str:
    """The name of the cluster that a destination means."""
    if not destination.host:
        return UNKNOWN_SERVICE
    service = listening.scope.find_service(destination.host)
    host = service.host if service is not None else destination.host
    port = listening.scope.destination_port(destination, listening.port)
    return cluster_name("outbound", port, destination.subset, host)


def _action(route: HttpRoute, match: HttpMatch | None, listening: Listening) -> Obj:
    action: Obj = {"timeout": duration(route.timeout_s or 0.0)}
    if route.missing_destination_status == 500:
        action["cluster_not_found_response_code"] = "INTERNAL_SERVER_ERROR"
    if len(route.splits) == 1:
        action["cluster"] = cluster_of(route.splits[0].destination, listening)
    else:
        action["weighted_clusters"] = {
            "clusters": [
                {
                    "name": cluster_of(split.destination, listening),
                    "weight": split.weight,
                    **header_members(split.headers),
                    **_host_rewrite(split.headers.request),
                }
                for split in route.splits
            ]
        }
    hashing = _hash_policies([split.destination for split in route.splits], listening)
    action |= hashing
    # As upstream: retries stay with the endpoint that the hash chose, but only where there is one destination.
    action |= _retries(route.retry, listening, sticky=bool(hashing) and len(route.splits) == 1)
    if route.rewrite is not None:
        action |= rewrite_members(route.rewrite, match)
    host = _host_from(route)
    if host and "host_rewrite_literal" not in action:
        action["host_rewrite_literal"] = host
    if route.mirrors:
        action["request_mirror_policies"] = [
            {
                "cluster": cluster_of(mirror.destination, listening),
                "runtime_fraction": {"default_value": fraction(mirror.percent)},
                "trace_sampled": False,
            }
            for mirror in route.mirrors
        ]
    return action


def _retries(retry: Retry | None, listening: Listening, *, sticky: bool) -> Obj:
    """The retry policy as a member of a route action, if there is to be one."""
    policy = retry_policy(retry or listening.scope.mesh.settings.default_retry, sticky=sticky)
    return {"retry_policy": policy} if policy is not None else {}


def _host_from(route: HttpRoute) -> str:
    """A host that is set like a header; Envoy wants it as a rewrite."""
    operations = [route.headers.request]
    if len(route.splits) == 1:
        operations.append(route.splits[0].headers.request)
    return next((_host_rewrite(o)["host_rewrite_literal"] for o in operations if _host_rewrite(o)), "")


def _host_rewrite(operations: HeaderOperations) -> Obj:
    named = (v for n, v in (*operations.set, *operations.add) if n.lower() in ("host", ":authority") and v)
    host = next(named, "")
    return {"host_rewrite_literal": host} if host else {}


def _hash_policies(destinations: Iterable[Destination], listening: Listening) -> Obj:
    """What the consistent-hash policies of the destinations look at."""
    keys: dict[HashKey, None] = {}
    for destination in destinations:
        service = listening.scope.find_service(destination.host)
        port = listening.scope.destination_port(destination, listening.port)
        traffic = listening.scope.traffic_policy(
            service.host if service is not None else destination.host,
            service.namespace if service is not None else "",
            port,
            destination.subset,
        )
        if traffic.load_balancing is not None and traffic.load_balancing.hash_key is not None:
            keys[traffic.load_balancing.hash_key] = None
    return {"hash_policy": [hash_policy(key) for key in keys]} if keys else {}


def _operation_path(matcher: Obj) -> str:
    if "path" in matcher:
        return str(matcher["path"])
    for kind in ("prefix", "path_separated_prefix"):
        if kind in matcher:
            return f"{matcher[kind]}*"
    return str(matcher["safe_regex"]["regex"])
