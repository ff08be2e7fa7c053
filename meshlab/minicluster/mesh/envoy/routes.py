"""Routes: one HttpRoute of the model as the routes of an Envoy virtual host."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.envoy.filters import CORS_FILTER, FAULT_FILTER, HTTP
from meshlab.minicluster.mesh.envoy.matching import route_match, string_matcher
from meshlab.minicluster.mesh.envoy.vocabulary import (
    any_of,
    cluster_name,
    config_path,
    duration,
    extension,
    fraction,
    istio_metadata,
)
from meshlab.minicluster.mesh.policy import HashKey
from meshlab.minicluster.mesh.routing import (
    Cors,
    Destination,
    Fault,
    HeaderOperations,
    Headers,
    HttpMatch,
    HttpRoute,
    L4Route,
    Redirect,
    Retry,
    Rewrite,
    RouteTable,
    Split,
)
from meshlab.minicluster.mesh.scope import Scope

DEFAULT_RETRY_ON = ("connect-failure", "refused-stream", "unavailable", "cancelled", "retriable-status-codes")
DEFAULT_ATTEMPTS = 2
HOST_ATTEMPTS = 5

PREVIOUS_HOSTS: Obj = extension(
    "envoy.retry_host_predicates.previous_hosts",
    "envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate",
)

REDIRECT_CODES = {
    301: "MOVED_PERMANENTLY",
    302: "FOUND",
    303: "SEE_OTHER",
    307: "TEMPORARY_REDIRECT",
    308: "PERMANENT_REDIRECT",
}


@dataclass(frozen=True, slots=True)
class Listening:
    """Where requests come in: decides which matches apply and what a destination without a port means."""

    scope: Scope
    gateways: frozenset[str]
    port: int


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
    name = ".".join(part for part in (route.name, match.name if match is not None else "") if part)
    if name:
        found["name"] = name
    headers = route.headers
    if route.redirect is not None:
        found["redirect"] = _redirect(route.redirect, match)
    elif route.direct_response is not None:
        response: Obj = {"status": route.direct_response.status}
        if route.direct_response.body is not None:
            response["body"] = {"inline_string": route.direct_response.body}
        found["direct_response"] = response
    else:
        found["route"] = _action(route, match, listening)
        if len(route.splits) == 1:
            headers = _joined(route.headers, route.splits[0].headers)
        operation = route.splits[0].destination.host
        found["decorator"] = {"operation": f"{operation}:{listening.port}{_operation_path(matcher)}"}
    found |= _header_members(headers)
    filters: Obj = {}
    if route.fault is not None:
        filters[FAULT_FILTER] = _fault(route.fault)
    if route.cors is not None:
        filters[CORS_FILTER] = _cors(route.cors)
    if filters:
        found["typed_per_filter_config"] = filters
    return found


def default_route(destination: Destination, listening: Listening, operation: str) -> Obj:
    """The route of a service that no table routes."""
    return {
        "name": "default",
        "match": {"prefix": "/"},
        "route": {
            "cluster": _cluster(destination, listening),
            "timeout": "0s",
            "retry_policy": retry_policy(None),
            **_hash_policies([destination], listening),
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
    return [(_cluster(split.destination, listening), split.weight or 1) for split in splits]


def cluster_members(clusters: Sequence[tuple[str, int]]) -> Obj:
    """One cluster, or several by weight, as members of a route action."""
    if len(clusters) == 1:
        return {"cluster": clusters[0][0]}
    return {"weighted_clusters": {"clusters": [{"name": name, "weight": weight} for name, weight in clusters]}}


def _cluster(destination: Destination, listening: Listening) -> str:
    service = listening.scope.find_service(destination.host)
    host = service.host if service is not None else destination.host
    port = listening.scope.destination_port(destination, listening.port)
    return cluster_name("outbound", port, destination.subset, host)


def _action(route: HttpRoute, match: HttpMatch | None, listening: Listening) -> Obj:
    action: Obj = {"timeout": duration(route.timeout_s or 0.0)}
    if len(route.splits) == 1:
        action["cluster"] = _cluster(route.splits[0].destination, listening)
    else:
        action["weighted_clusters"] = {
            "clusters": [
                {
                    "name": _cluster(split.destination, listening),
                    "weight": split.weight,
                    **_header_members(split.headers),
                }
                for split in route.splits
            ]
        }
    policy = retry_policy(route.retry)
    if policy is not None:
        action["retry_policy"] = policy
    if route.rewrite is not None:
        action |= _rewrite(route.rewrite, match)
    host = _host_from(route)
    if host and "host_rewrite_literal" not in action:
        action["host_rewrite_literal"] = host
    if route.mirrors:
        action["request_mirror_policies"] = [
            {
                "cluster": _cluster(mirror.destination, listening),
                "runtime_fraction": {"default_value": fraction(mirror.percent)},
                "trace_sampled": False,
            }
            for mirror in route.mirrors
        ]
    action |= _hash_policies([split.destination for split in route.splits], listening)
    return action


def _host_from(route: HttpRoute) -> str:
    """A host that is set like a header; Envoy wants it as a rewrite."""
    operations = [route.headers.request]
    if len(route.splits) == 1:
        operations.append(route.splits[0].headers.request)
    return next((v for o in operations for n, v in (*o.set, *o.add) if n.lower() in ("host", ":authority")), "")


def retry_policy(retry: Retry | None) -> Obj | None:
    """A retry policy; None as argument is Istio's default, None as result is: never."""
    if retry is not None and retry.attempts <= 0:
        return None
    policy: Obj = {
        "num_retries": retry.attempts if retry is not None else DEFAULT_ATTEMPTS,
        "retry_on": ",".join((retry.retry_on if retry is not None else ()) or DEFAULT_RETRY_ON),
        "host_selection_retry_max_attempts": str(HOST_ATTEMPTS),
    }
    if retry is None or retry.ignore_previous_hosts:
        policy["retry_host_predicate"] = [PREVIOUS_HOSTS]
    if retry is None:
        return policy
    if retry.status_codes:
        policy["retriable_status_codes"] = list(retry.status_codes)
    if retry.per_try_timeout_s:
        policy["per_try_timeout"] = duration(retry.per_try_timeout_s)
    if retry.back_off_s:
        # Envoy's own maximum is ten times the base.
        policy["retry_back_off"] = {"base_interval": duration(max(retry.back_off_s, 0.001))}
    if retry.remote_localities:
        policy["retry_priority"] = extension(
            "envoy.retry_priorities.previous_priorities",
            "envoy.extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig",
            update_frequency=2,
        )
    return policy


def _rewrite(rewrite: Rewrite, match: HttpMatch | None) -> Obj:
    found: Obj = {}
    if rewrite.regex:
        found["regex_rewrite"] = {"pattern": {"regex": rewrite.regex}, "substitution": rewrite.substitution}
    elif rewrite.uri and match is not None and match.uri is not None and match.uri.kind == "regex":
        found["regex_rewrite"] = {"pattern": {"regex": match.uri.value}, "substitution": rewrite.uri}
    elif rewrite.uri:
        found["prefix_rewrite"] = rewrite.uri
    if rewrite.authority:
        found["host_rewrite_literal"] = rewrite.authority
    return found


def _redirect(redirect: Redirect, match: HttpMatch | None) -> Obj:
    found: Obj = {"response_code": REDIRECT_CODES.get(redirect.code, "MOVED_PERMANENTLY")}
    if redirect.uri:
        # With %PREFIX()% only what the match covered is replaced.
        if redirect.uri.startswith("%PREFIX()%") and match is not None and match.uri is not None:
            found["prefix_rewrite"] = redirect.uri.removeprefix("%PREFIX()%")
        else:
            found["path_redirect"] = redirect.uri
    if redirect.authority:
        found["host_redirect"] = redirect.authority
    if redirect.scheme:
        found["scheme_redirect"] = redirect.scheme
    if redirect.port is not None:
        found["port_redirect"] = redirect.port
    elif redirect.derive_port == "FROM_PROTOCOL_DEFAULT" and redirect.scheme:
        found["port_redirect"] = 443 if redirect.scheme == "https" else 80
    return found


def _joined(wider: Headers, narrower: Headers) -> Headers:
    def join(left: HeaderOperations, right: HeaderOperations) -> HeaderOperations:
        return HeaderOperations(left.add + right.add, left.set + right.set, left.remove + right.remove)

    return Headers(join(wider.request, narrower.request), join(wider.response, narrower.response))


def _header_members(headers: Headers) -> Obj:
    found: Obj = {}
    for direction, operations in (("request", headers.request), ("response", headers.response)):
        added = [
            {"header": {"key": name, "value": value}, "append_action": action}
            for pairs, action in (
                (operations.set, "OVERWRITE_IF_EXISTS_OR_ADD"),
                (operations.add, "APPEND_IF_EXISTS_OR_ADD"),
            )
            for name, value in pairs
            if _may_change(name)
        ]
        removed = [name for name in operations.remove if _may_change(name)]
        if added:
            found[f"{direction}_headers_to_add"] = added
        if removed:
            found[f"{direction}_headers_to_remove"] = removed
    return found


def _may_change(name: str) -> bool:
    """Envoy refuses a whole configuration that touches pseudo-headers or the host like other headers."""
    return bool(name) and not name.startswith(":") and name.lower() != "host"


def _fault(fault: Fault) -> Obj:
    members: Obj = {}
    if fault.delay_s:
        members["delay"] = {"fixed_delay": duration(fault.delay_s), "percentage": fraction(fault.delay_percent)}
    grpc = GRPC_STATUS.get(fault.abort_grpc_status)
    if fault.abort_status is not None and 200 <= fault.abort_status < 600:
        members["abort"] = {"http_status": fault.abort_status, "percentage": fraction(fault.abort_percent)}
    elif grpc is not None:
        members["abort"] = {"grpc_status": grpc, "percentage": fraction(fault.abort_percent)}
    return any_of(HTTP + "fault.v3.HTTPFault", **members)


GRPC_STATUS = {
    name: code
    for code, name in enumerate(
        (
            "OK",
            "CANCELLED",
            "UNKNOWN",
            "INVALID_ARGUMENT",
            "DEADLINE_EXCEEDED",
            "NOT_FOUND",
            "ALREADY_EXISTS",
            "PERMISSION_DENIED",
            "RESOURCE_EXHAUSTED",
            "FAILED_PRECONDITION",
            "ABORTED",
            "OUT_OF_RANGE",
            "UNIMPLEMENTED",
            "INTERNAL",
            "UNAVAILABLE",
            "DATA_LOSS",
            "UNAUTHENTICATED",
        )
    )
}


def _cors(cors: Cors) -> Obj:
    members: Obj = {
        "allow_origin_string_match": [string_matcher(origin) for origin in cors.origins],
        "filter_enabled": {"default_value": {"numerator": 100, "denominator": "HUNDRED"}},
    }
    for key, values in (
        ("allow_methods", cors.methods),
        ("allow_headers", cors.allow_headers),
        ("expose_headers", cors.expose_headers),
    ):
        if values:
            members[key] = ",".join(values)
    if cors.max_age_s is not None:
        members["max_age"] = str(round(cors.max_age_s))
    if cors.credentials is not None:
        members["allow_credentials"] = cors.credentials
    if cors.forward_unmatched_preflights is not None:
        members["forward_not_matching_preflights"] = cors.forward_unmatched_preflights
    return any_of(HTTP + "cors.v3.CorsPolicy", **members)


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
    return {"hash_policy": [_hash_policy(key) for key in keys]} if keys else {}


def _hash_policy(key: HashKey) -> Obj:
    if key.header:
        return {"header": {"header_name": key.header}}
    if key.cookie:
        cookie: Obj = {"name": key.cookie}
        if key.cookie_ttl_s is not None:
            cookie["ttl"] = duration(key.cookie_ttl_s)
        if key.cookie_path:
            cookie["path"] = key.cookie_path
        return {"cookie": cookie}
    if key.query_parameter:
        return {"query_parameter": {"name": key.query_parameter}}
    return {"connection_properties": {"source_ip": True}}


def _operation_path(matcher: Obj) -> str:
    if "path" in matcher:
        return str(matcher["path"])
    if "prefix" in matcher:
        return f"{matcher['prefix']}*"
    return str(matcher["safe_regex"]["regex"])
