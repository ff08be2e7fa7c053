"""HTTPRoute and GRPCRoute: rules as routes of the model, one per match, in the order that the API prescribes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.gatewayapi.backends import InvalidRule, RouteContext, weighted
from meshlab.minicluster.mesh.gatewayapi.filters import BACKEND_FILTERS, GRPC_FILTERS, HTTP_FILTERS, read_filters
from meshlab.minicluster.mesh.gatewayapi.status import ConfigError, join_errors
from meshlab.minicluster.mesh.istio.reading import integer, mapping, objects, seconds, sequence, text, usable_regex
from meshlab.minicluster.mesh.routing import DirectResponse, Headers, HttpMatch, HttpRoute, Retry, Split, StringMatch

RETRIED = ("connect-failure", "refused-stream", "unavailable", "cancelled")
"""What is retried wherever a rule asks for retries, beside the status codes that it lists."""
DEFAULT_ATTEMPTS = 2

MatchReader = Callable[[Mapping[str, Any]], HttpMatch]


def convert_rules(route: Obj, context: RouteContext) -> tuple[list[HttpRoute], ConfigError | None]:
    """The routes of an HTTPRoute or GRPCRoute, in the order of its rules, and what is wrong with its references."""
    metadata = mapping(route.get("metadata"))
    prefix = f"{text(metadata.get('namespace'))}.{text(metadata.get('name'))}"
    read_match = _grpc_match if context.kind == "GRPCRoute" else _http_match
    found: list[HttpRoute] = []
    error: ConfigError | None = None
    try:
        for position, rule in enumerate(objects(mapping(route.get("spec")).get("rules"))):
            name = text(rule.get("name")) or f"{prefix}.{position}"
            routes, problem = _rule(rule, name, read_match, context)
            found += routes
            error = problem or error
    except InvalidRule as invalid:
        return [], invalid.error
    return found, error


def _rule(
    rule: Mapping[str, Any], name: str, read_match: MatchReader, context: RouteContext
) -> tuple[list[HttpRoute], ConfigError | None]:
    allowed = GRPC_FILTERS if context.kind == "GRPCRoute" else HTTP_FILTERS
    filtered = read_filters(rule.get("filters"), context, allowed)
    retry = _retry(rule)
    timeout_s, retry = _timeouts(mapping(rule.get("timeouts")), retry)
    direct: DirectResponse | None = None
    splits: tuple[Split, ...] = ()
    error: ConfigError | None = None
    if filtered.redirect is None:
        if any(True for _ in weighted(rule.get("backendRefs"))):
            splits, error = context.splits(
                rule.get("backendRefs"),
                lambda reference: read_filters(reference.get("filters"), context, BACKEND_FILTERS).headers,
            )
        else:
            direct = DirectResponse(500)
    matches: list[HttpMatch | None] = [read_match(match) for match in objects(rule.get("matches"))]
    routes = [
        HttpRoute(
            name=name,
            matches=(match,) if match is not None else (),
            splits=splits,
            redirect=filtered.redirect,
            direct_response=direct,
            rewrite=filtered.rewrite,
            timeout_s=timeout_s,
            retry=retry,
            mirrors=filtered.mirrors,
            cors=filtered.cors,
            headers=filtered.headers,
            missing_destination_status=500,
        )
        for match in (matches or [None])
    ]
    return routes, join_errors(error, filtered.error)


def _retry(rule: Mapping[str, Any]) -> Retry | None:
    if not isinstance(rule.get("retry"), dict):
        return None
    wanted = mapping(rule["retry"])
    attempts = integer(wanted.get("attempts"))
    codes = tuple(code for code in map(integer, sequence(wanted.get("codes"))) if code is not None)
    return Retry(
        attempts=DEFAULT_ATTEMPTS if attempts is None else max(attempts, 0),
        retry_on=(*RETRIED, *(("retriable-status-codes",) if codes else ())),
        status_codes=codes,
        back_off_s=seconds(wanted.get("backoff")),
    )


def _timeouts(timeouts: Mapping[str, Any], retry: Retry | None) -> tuple[float | None, Retry | None]:
    """The timeout of the whole request, and the retries with that of each try; 0 means none."""
    whole, each = seconds(timeouts.get("request")) or None, seconds(timeouts.get("backendRequest")) or None
    if each is None:
        return whole, retry
    if retry is None:
        return each, None
    return whole, Retry(retry.attempts, each, retry.retry_on, retry.status_codes, back_off_s=retry.back_off_s)


def _http_match(match: Mapping[str, Any]) -> HttpMatch:
    path = mapping(match.get("path"))
    value = text(path.get("value")) or "/"
    match text(path.get("type")) or "PathPrefix":
        case "Exact":
            uri = StringMatch("exact", value)
        case "RegularExpression":
            uri = _regex(value)
        case _:
            # "/a/" means the same as "/a".
            shorter = value.rstrip("/")
            uri = StringMatch("path_prefix", shorter) if shorter else StringMatch("prefix", "/")
    method = text(match.get("method"))
    return HttpMatch(
        uri=uri,
        method=StringMatch("exact", method) if method else None,
        headers=_named(match.get("headers"), lower=True),
        query_params=_named(match.get("queryParams")),
    )


def _grpc_match(match: Mapping[str, Any]) -> HttpMatch:
    headers = _named(match.get("headers"), lower=True)
    if not isinstance(match.get("method"), dict):
        return HttpMatch(headers=headers)
    wanted = mapping(match["method"])
    service, method = text(wanted.get("service")), text(wanted.get("method"))
    if not service and not method:
        raise InvalidRule("InvalidConfiguration", "gRPC match must have method or service defined")
    if wanted.get("type") == "RegularExpression":
        uri = _regex(f"/{service or '[^/]+'}/{method or '.+'}")
    elif not method:
        uri = StringMatch("prefix", f"/{service}/")
    elif not service:
        uri = _regex(f"/[^/]+/{method}")
    else:
        uri = StringMatch("exact", f"/{service}/{method}")
    return HttpMatch(uri=uri, headers=headers)


def _named(value: Any, *, lower: bool = False) -> tuple[tuple[str, StringMatch], ...]:
    found: dict[str, StringMatch] = {}
    for item in objects(value):
        name, wanted = text(item.get("name")), text(item.get("value"))
        condition = _regex(wanted) if item.get("type") == "RegularExpression" else StringMatch("exact", wanted)
        found.setdefault(name.lower() if lower else name, condition)
    return tuple(found.items())


def _regex(value: str) -> StringMatch:
    if not usable_regex(value):
        raise InvalidRule("InvalidConfiguration", f'"{value}" is not a valid regular expression (RE2)')
    return StringMatch("regex", value)


_RANKS = {"exact": 3, "prefix": 2, "path_prefix": 2, "regex": 1}


def by_precedence(routes: Iterable[HttpRoute]) -> list[HttpRoute]:
    """Routes of several rules, most specific first; equals stay in order (the older resource's, the earlier rule's).

    Exact paths go before prefixes, longer before shorter ones, then a method counts, then the number of headers, then
    that of query parameters.
    """

    def rank(route: HttpRoute) -> tuple[int, int, int, int, int]:
        match = route.matches[0] if route.matches else HttpMatch()
        uri = match.uri
        return (
            -_RANKS.get(uri.kind, 0) if uri is not None else 1 if route.matches else 2,
            -len(uri.value) if uri is not None else 0,
            -int(match.method is not None),
            -len(match.headers),
            -len(match.query_params),
        )

    return sorted(routes, key=rank)


def no_headers(_: Mapping[str, Any]) -> Headers:
    """For backendRefs that have no filters."""
    return Headers()
