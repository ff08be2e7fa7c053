"""The parts of a route: retries, redirects, rewrites, header operations, faults, CORS, hash policies."""

from __future__ import annotations

import re

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.envoy.filters import HTTP
from meshlab.minicluster.mesh.envoy.matching import string_matcher
from meshlab.minicluster.mesh.envoy.vocabulary import any_of, duration, extension, fraction
from meshlab.minicluster.mesh.policy import HashKey
from meshlab.minicluster.mesh.routing import (
    GRPC_STATUS_NAMES,
    Cors,
    DirectResponse,
    Fault,
    HeaderOperations,
    Headers,
    HttpMatch,
    Redirect,
    Retry,
    Rewrite,
)

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

DEFAULT_PORTS = {"http": 80, "https": 443}

GRPC_STATUS = {name: code for code, name in enumerate(GRPC_STATUS_NAMES)}


def retry_policy(retry: Retry | None, *, sticky: bool = False) -> Obj | None:
    """A retry policy; None as argument is Istio's default, None as result is: never.

    Args:
        retry: the policy.
        sticky: whether a consistent hash chooses the endpoint, which retries then do not leave unless told to.
    """
    if retry is not None and retry.attempts <= 0:
        return None
    policy: Obj = {
        "num_retries": retry.attempts if retry is not None else DEFAULT_ATTEMPTS,
        "retry_on": ",".join((retry.retry_on if retry is not None else ()) or DEFAULT_RETRY_ON),
        "host_selection_retry_max_attempts": str(HOST_ATTEMPTS),
    }
    elsewhere = retry.ignore_previous_hosts if retry is not None else None
    if not sticky if elsewhere is None else elsewhere:
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


def rewrite_members(rewrite: Rewrite, match: HttpMatch | None) -> Obj:
    """What becomes of path and host, as members of a route action."""
    found: Obj = {}
    if rewrite.regex:
        found["regex_rewrite"] = {"pattern": {"regex": rewrite.regex}, "substitution": rewrite.substitution}
    elif rewrite.uri == "/" and match is not None and match.uri is not None and match.uri.kind == "path_prefix":
        found["regex_rewrite"] = _without_prefix(match.uri.value)
    elif rewrite.uri:
        found["prefix_rewrite"] = rewrite.uri
    if rewrite.authority:
        found["host_rewrite_literal"] = rewrite.authority
    return found


def _without_prefix(prefix: str) -> Obj:
    """Cut a prefix off a path; putting ``/`` in its place would leave two slashes where more of the path follows."""
    return {"pattern": {"regex": f"^{re.escape(prefix)}(/?)(.*)"}, "substitution": "/\\2"}


def redirect_action(redirect: Redirect, match: HttpMatch | None, port: int, *, tls: bool) -> Obj:
    """A redirect action.

    Args:
        redirect: what is wanted.
        match: the condition under which it happens.
        port: the port of the requests.
        tls: whether they come over TLS.
    """
    found: Obj = {"response_code": REDIRECT_CODES.get(redirect.code, "MOVED_PERMANENTLY")}
    if redirect.uri:
        # With %PREFIX()% only what the match covered is replaced.
        if redirect.uri.startswith("%PREFIX()%") and match is not None and match.uri is not None:
            prefix = redirect.uri.removeprefix("%PREFIX()%")
            if prefix == "/" and match.uri.kind == "path_prefix":
                found["regex_rewrite"] = _without_prefix(match.uri.value)
            else:
                found["prefix_rewrite"] = prefix
        else:
            found["path_redirect"] = redirect.uri
    if redirect.authority:
        found["host_redirect"] = redirect.authority
    if redirect.scheme:
        found["scheme_redirect"] = redirect.scheme
    wanted = port if redirect.derive_port == "FROM_REQUEST_PORT" else redirect.port
    scheme = redirect.scheme or ("https" if tls else "http")
    # The scheme's own port is not spelled out; it is also what Envoy takes if there is none.
    if wanted and DEFAULT_PORTS.get(scheme) != wanted:
        found["port_redirect"] = wanted
    return found


def direct_response_action(response: DirectResponse) -> Obj:
    """A fixed answer."""
    found: Obj = {"status": response.status}
    if response.body is not None:
        found["body"] = {"inline_string": response.body}
    elif response.body_base64:
        found["body"] = {"inline_bytes": response.body_base64}
    return found


def header_members(*headers: Headers) -> Obj:
    """Header operations as members of a route or of a weighted cluster, in upstream's order.

    Envoy overwrites first and appends then, whatever the order.
    """
    found: Obj = {}
    for direction in ("request", "response"):
        operations: list[HeaderOperations] = [getattr(each, direction) for each in headers]
        added = [
            {"header": {"key": name, "value": value}, "append_action": action}
            for each in operations
            for pairs, action in (
                (each.set, "OVERWRITE_IF_EXISTS_OR_ADD"),
                (each.add, "APPEND_IF_EXISTS_OR_ADD"),
            )
            for name, value in pairs
            if _may_change(name)
        ]
        removed = [name for each in operations for name in each.remove if _may_change(name)]
        if added:
            found[f"{direction}_headers_to_add"] = added
        if removed:
            found[f"{direction}_headers_to_remove"] = removed
    return found


def _may_change(name: str) -> bool:
    """Envoy refuses a whole configuration that touches pseudo-headers or the host like other headers."""
    return bool(name) and not name.startswith(":") and name.lower() != "host"


def fault_settings(fault: Fault) -> Obj:
    """Per-route settings of the fault filter."""
    members: Obj = {}
    if fault.delay_s:
        members["delay"] = {"fixed_delay": duration(fault.delay_s), "percentage": fraction(fault.delay_percent)}
    grpc = GRPC_STATUS.get(fault.abort_grpc_status)
    if fault.abort_status is not None and 200 <= fault.abort_status < 600:
        members["abort"] = {"http_status": fault.abort_status, "percentage": fraction(fault.abort_percent)}
    elif grpc is not None:
        members["abort"] = {"grpc_status": grpc, "percentage": fraction(fault.abort_percent)}
    return any_of(HTTP + "fault.v3.HTTPFault", **members)


def cors_settings(cors: Cors) -> Obj:
    """Per-route settings of the CORS filter."""
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
        members["max_age"] = str(int(cors.max_age_s))
    if cors.credentials is not None:
        members["allow_credentials"] = cors.credentials
    members["forward_not_matching_preflights"] = cors.forward_unmatched_preflights is not False
    return any_of(HTTP + "cors.v3.CorsPolicy", **members)


def hash_policy(key: HashKey) -> Obj:
    """What a consistent-hash policy looks at."""
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
