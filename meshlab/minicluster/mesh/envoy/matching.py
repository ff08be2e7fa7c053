"""Conditions of routes in Envoy's words."""

from __future__ import annotations

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.envoy.claims import claim_matchers, is_claim
from meshlab.minicluster.mesh.routing import HttpMatch, StringMatch

PSEUDO_HEADERS = frozenset({"uri", "scheme", "method", "authority"})
"""Names that Istio ignores among the header conditions: they have fields of their own."""


def string_matcher(match: StringMatch, *, ignore_case: bool = False) -> Obj:
    """A StringMatcher."""
    if match.kind == "regex":
        return {"safe_regex": {"regex": match.value}}
    if match.kind == "present" or (match.kind in ("prefix", "suffix") and not match.value):
        return {"safe_regex": {"regex": ".+" if match.kind == "present" else ".*"}}
    found: Obj = {match.kind: match.value}
    return {**found, "ignore_case": True} if ignore_case else found


def header_matcher(name: str, match: StringMatch) -> Obj:
    """A HeaderMatcher."""
    if match.kind == "present" or (match.kind == "prefix" and not match.value):
        return {"name": name, "present_match": True}
    return {"name": name, "string_match": string_matcher(match)}


def absent_header_matcher(name: str, match: StringMatch) -> Obj:
    """A HeaderMatcher that holds when the condition does not; a missing header does not fulfil it."""
    found = {**header_matcher(name, match), "invert_match": True}
    if "string_match" in found:
        found["treat_missing_header_as_empty"] = True
    return found


def route_match(match: HttpMatch | None) -> Obj:
    """A RouteMatch; None is every request."""
    if match is None:
        return {"prefix": "/"}
    found: Obj = _path(match)
    headers = [
        header_matcher(name, condition)
        for name, condition in match.headers
        if name.lower() not in PSEUDO_HEADERS and not is_claim(name)
    ]
    headers += [
        absent_header_matcher(name, condition)
        for name, condition in match.without_headers
        if name.lower() not in PSEUDO_HEADERS and not is_claim(name)
    ]
    for name, condition in ((":method", match.method), (":authority", match.authority), (":scheme", match.scheme)):
        if condition is not None:
            headers.append(header_matcher(name, condition))
    if headers:
        found["headers"] = headers
    claims = claim_matchers(match.headers, match.without_headers)
    if claims:
        found["dynamic_metadata"] = claims
    if match.query_params:
        found["query_parameters"] = [_query_matcher(name, condition) for name, condition in match.query_params]
    return found


def _path(match: HttpMatch) -> Obj:
    uri = match.uri
    if uri is None or uri.kind == "present" or (uri.kind == "prefix" and uri.value in ("", "/")):
        found: Obj = {"prefix": "/"}
    elif uri.kind == "exact":
        found = {"path": uri.value}
    elif uri.kind == "prefix":
        found = {"prefix": uri.value}
    elif uri.kind == "path_prefix":
        found = {"path_separated_prefix": uri.value}
    else:
        found = {"safe_regex": {"regex": uri.value}}
    if match.ignore_uri_case and "safe_regex" not in found:
        found["case_sensitive"] = False
    return found


def _query_matcher(name: str, match: StringMatch) -> Obj:
    if match.kind == "present":
        return {"name": name, "present_match": True}
    return {"name": name, "string_match": string_matcher(match)}
