"""Parts of VirtualServices: references, destinations, and what an HTTP route matches and does."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from meshlab.minicluster.mesh.istio.headervalues import header_value_error
from meshlab.minicluster.mesh.istio.re2 import regex_error
from meshlab.minicluster.mesh.istio.reading import mapping, objects, seconds, text, texts
from meshlab.minicluster.mesh.istio.validation_common import (
    Caution,
    Listed,
    Messages,
    duration,
    fqdn,
    is_label,
    labels,
    percentage,
    port,
    quote,
    wildcard_domain,
)
from meshlab.minicluster.mesh.routing import GRPC_STATUS_NAMES

MAXIMUM_REGEX = 1024
MAXIMUM_BODY = 1024 * 1024
LARGE_BODY = 100 * 1024
JWT_CLAIM = re.compile(r"@request\.auth\.claims(?:\..+|(?:\[.+?\])+)", re.IGNORECASE | re.DOTALL)
"""A "header" that is a claim of the request's token: ``@request.auth.claims.group`` or ``...claims[group]``."""
HEADER_NAME = re.compile(r"[-!#$%&'*+.^_`|~A-Za-z0-9]+")
"""A token of RFC 7230."""
PSEUDO_HEADERS = frozenset({":method", ":scheme", ":authority", ":path", ":status"})
CORS_METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "CONNECT", "TRACE", "*"})
RETRY_POLICIES = frozenset(
    [
        "5xx",
        "gateway-error",
        "reset",
        "reset-before-request",
        "connect-failure",
        "retriable-4xx",
        "refused-stream",
        "retriable-status-codes",
        "retriable-headers",
        "envoy-ratelimited",
        "http3-post-connect-failure",
        "cancelled",
        "deadline-exceeded",
        "internal",
        "resource-exhausted",
        "unavailable",
    ]
)
HTTP_STATUSES = frozenset(str(status.value) for status in HTTPStatus)


def gateway_names(names: Sequence[str]) -> Messages:
    """References to Gateways: ``namespace/name``, or a name alone, after which upstream reads no further."""
    for name in names:
        namespace, slash, gateway = name.partition("/")
        if not slash:
            if "." in name:
                first, second = name.split(".")[:2]
                yield Caution(
                    f"using legacy gatewayName format {quote(name)}; prefer the <namespace>/<name> format: "
                    f"{quote(f'{second}/{first}')}"
                )
            yield from fqdn(name)
            return
        if not namespace or not gateway:
            yield "config namespace and gateway name cannot be empty"
        if not is_label(namespace):
            yield f"invalid value for namespace: {quote(namespace)}"
        if not is_label(gateway):
            yield f"invalid value for gateway name: {quote(gateway)}"


def destination(given: Any) -> Messages:
    """Where a route leads to."""
    if not isinstance(given, dict):
        return
    host = text(given.get("host"))
    if host == "*":
        yield f"invalid destination host {host}"
    else:
        yield from wildcard_domain(host)
    if given.get("subset"):
        yield from subset_name(text(given["subset"]))
    if given.get("port") is not None:
        yield from port(mapping(given["port"]).get("number"))


def subset_name(name: str) -> Messages:
    """The name of a subset."""
    if not name:
        yield "subset name cannot be empty"
    elif not is_label(name):
        yield f"subset name is invalid: {name}"


def http_match(match: Mapping[str, Any]) -> Messages:
    """What a route matches."""
    for name, condition in mapping(match.get("headers")).items():
        if condition is None:
            yield f"header match {name} cannot be null"
        yield from _header_match_name(name)
        yield from _string_match(condition, "headers")
    for name, condition in mapping(match.get("withoutHeaders")).items():
        yield from _header_match_name(name)
        if mapping(condition).get("regex") != "*":  # The one expression that means "present".
            yield from _string_match(condition, "withoutHeaders")
    # Envoy takes an empty prefix of a path, but not of anything else.
    yield from _string_match(match.get("uri"), "uri", empty_prefix=True)
    for field in ("scheme", "method", "authority"):
        yield from _string_match(match.get(field), field)
    for condition in mapping(match.get("queryParams")).values():
        yield from _string_match(condition, "queryParams")
    if match.get("port"):
        yield from port(match["port"])
    yield from labels(match.get("sourceLabels"))
    yield from gateway_names(texts(match.get("gateways")))
    if match.get("sourceNamespace") and not is_label(text(match["sourceNamespace"])):
        yield f"sourceNamespace match {match['sourceNamespace']} is invalid"


def _header_match_name(name: str) -> Messages:
    if not name:
        yield "header name cannot be empty"
    elif name not in PSEUDO_HEADERS and not JWT_CLAIM.fullmatch(name) and HEADER_NAME.fullmatch(name) is None:
        yield f"header name {name} is not a valid header name"


def _string_match(condition: Any, where: str, *, empty_prefix: bool = False) -> Messages:
    given = mapping(condition)
    if "prefix" in given and given["prefix"] == "" and not empty_prefix:
        yield f"{quote(where)}: prefix string match should not be empty"
    if "regex" in given:
        if not given["regex"]:
            yield f"{quote(where)}: regex string match should not be empty"
        else:
            yield from _regex(text(given["regex"]), where)


def _regex(pattern: str, where: str) -> Messages:
    if len(pattern.encode()) > MAXIMUM_REGEX:
        yield f"{quote(where)}: regex is too large, max length allowed is {MAXIMUM_REGEX}"
    elif error := regex_error(pattern):
        yield f"{quote(where)}: {error}; Istio uses RE2 style regex-based match (https://github.com/google/re2/wiki/Syntax)"


def header_operations(operations: Any) -> Messages:
    """What a route does to headers of requests and responses."""
    for direction in ("request", "response"):
        given = mapping(mapping(operations).get(direction))
        for kind in ("add", "set"):
            for name, value in mapping(given.get(kind)).items():
                yield from _operation_name(name, authority=direction == "request")
                if error := header_value_error(text(value)):
                    yield error
        for name in texts(given.get("remove")):
            yield from _operation_name(name, authority=False)


def _is_authority(name: str) -> bool:
    return name.lower() in (":authority", "host")


def _operation_name(name: str, *, authority: bool) -> Messages:
    if not name:
        yield "header name cannot be empty"
    elif authority and _is_authority(name):
        return
    elif name.lower() == "host":
        yield f"invalid header {quote(name)}: cannot set Host header"
    elif name.startswith(":"):
        yield f'invalid header {quote(name)}: header cannot have ":" prefix'


def authority_rewrite(rewrite: Any, operations: Any) -> Messages:
    """The authority is rewritten in one place only."""
    current = text(mapping(rewrite).get("authority"))
    request = mapping(mapping(operations).get("request"))
    for kind in ("set", "add"):
        for name, value in mapping(request.get(kind)).items():
            if _is_authority(name):
                if current:
                    yield (
                        f"authority header cannot be set multiple times: have {quote(current)}, "
                        f"attempting to set {quote(text(value))}"
                    )
                    return
                current = text(value)


def cors(policy: Any) -> Messages:
    """A CORS policy."""
    given = mapping(policy)
    for origin in objects(given.get("allowOrigins")):
        value = next((text(origin[kind]) for kind in ("exact", "prefix", "regex") if kind in origin), "")
        if not value:
            yield f"'{value}' is not a valid match type for CORS allow origins"
        else:
            yield from _string_match(origin, "corsPolicy.allowOrigins", empty_prefix=True)
    for method in texts(given.get("allowMethods")):
        if method not in CORS_METHODS:
            yield f"{quote(method)} is not a supported HTTP method"
    for field in ("allowHeaders", "exposeHeaders"):
        for name in texts(given.get(field)):
            if not name:
                yield "header name cannot be empty"
            elif name != "*" and HEADER_NAME.fullmatch(name) is None:
                yield f"header name {name} is not a valid header name"
    yield from duration(given.get("maxAge"))
    if ((seconds(given.get("maxAge")) or 0) % 1) > 0:
        yield Listed("max_age duration is accurate only to seconds precision")


def fault(fault: Any) -> Messages:
    """Faults to inject."""
    if fault is None:
        return
    abort, delay = mapping(fault).get("abort"), mapping(fault).get("delay")
    if abort is None and delay is None:
        yield Listed("HTTP fault injection must have an abort and/or a delay")
    if abort is not None:
        yield from percentage(abort.get("percentage"))
        if not abort.keys() & {"httpStatus", "grpcStatus", "http2Error"}:
            yield Caution("abort configured, but error type not set")
        if "httpStatus" in abort:
            yield from _http_status(abort["httpStatus"])
        if "grpcStatus" in abort and abort["grpcStatus"] not in GRPC_STATUS_NAMES:
            yield (
                f"gRPC status {quote(text(abort['grpcStatus']))} is not supported. See "
                "https://github.com/grpc/grpc/blob/master/doc/statuscodes.md for a list of supported codes, "
                "for example 'NOT_FOUND'"
            )
        if "http2Error" in abort:
            yield "HTTP/2 abort fault injection not supported yet"
    if delay is not None:
        yield from percentage(delay.get("percentage"))
        yield from duration(delay.get("fixedDelay"))
        if "exponentialDelay" in delay:
            yield from duration(delay["exponentialDelay"])
            yield Listed("exponentialDelay not supported yet")


def _http_status(status: Any) -> Messages:
    if isinstance(status, int) and not 200 <= status <= 600:
        yield f"HTTP status {status} is not in range 200-599"


def mirror_policy(mirror: Mapping[str, Any]) -> Messages:
    """Where copies of requests go."""
    if mirror.get("destination") is None:
        yield "destination is required for mirrors"
        return
    yield from destination(mirror["destination"])
    value = mapping(mirror.get("percentage")).get("value", 0)
    if value > 100:
        yield f"mirror percentage must have a max value of 100 (it has {value:f})"
    if value < 0:
        yield f"mirror percentage must have a min value of 0 (it has {value:f})"


def redirect_action(redirect: Any) -> Messages:
    """A redirect."""
    if redirect is None:
        return
    named = any(redirect.get(field) for field in ("uri", "authority", "scheme"))
    if not named and "port" not in redirect and "derivePort" not in redirect:
        yield "redirect must specify URI, authority, scheme, or port"
        return
    code = redirect.get("redirectCode") or 0
    if code and not 300 <= code <= 399:
        yield f"{code} is not a valid redirect code, must be 3xx"
    elif redirect.get("scheme") not in (None, "", "http", "https"):
        yield 'invalid redirect scheme, must be "http" or "https"'
    elif redirect.get("port"):
        yield from port(redirect["port"])


def direct_response(response: Any) -> Messages:
    """An answer without a destination."""
    if response is None:
        return
    body = mapping(response.get("body"))
    size = len(text(body.get("string")).encode()) or len(text(body.get("bytes"))) * 3 // 4
    if size > MAXIMUM_BODY:
        yield "large direct_responses may impact control plane performance, must be less than 1MB"
    elif size > LARGE_BODY:
        yield Caution("large direct_responses may impact control plane performance")
    yield from _http_status(response.get("status", 0))


def retry(retries: Any) -> Messages:
    """A retry policy."""
    if retries is None:
        return
    attempts = retries.get("attempts", 0)
    if attempts < 0:
        yield Listed("attempts cannot be negative")
    policy_given = any(field in retries for field in ("perTryTimeout", "retryRemoteLocalities")) or retries.get(
        "retryOn"
    )
    if attempts == 0 and policy_given:
        yield "http retry policy configured when attempts are set to 0 (disabled)"
    yield from duration(retries.get("perTryTimeout"))
    for policy in text(retries.get("retryOn")).split(",") if retries.get("retryOn") else ():
        if policy not in RETRY_POLICIES and policy not in HTTP_STATUSES:
            yield f"{quote(policy)} is not a valid retryOn policy"
    yield from duration(retries.get("backoff"))


def rewrite_action(rewrite: Any) -> Messages:
    """A rewrite of path or authority."""
    if rewrite is None:
        return
    expression = rewrite.get("uriRegexRewrite")
    if rewrite.get("uri") and expression is not None:
        yield "rewrite may only contain one of URI or UriRegexRewrite"
    elif not rewrite.get("uri") and expression is None and not rewrite.get("authority"):
        yield (
            "rewrite must specify at least one of URI, UriRegexRewrite, or authority. "
            "Only one of URI or UriRegexRewrite may be specified"
        )
    elif expression is not None:
        if not expression.get("match") or not expression.get("rewrite"):
            yield "UriRegexRewrite has errors\nUriRegexRewrite requires both Rewrite and Match fields to be specified"
        else:
            yield from _regex(text(expression["match"]), "HTTPRewrite.UriRegexRewrite.Match")
