"""Conditions of routes on the claims of a verified token, which a gateway's jwt_authn leaves in the metadata.

They are written like conditions on headers whose names begin with ``@request.auth.claims``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.routing import StringMatch

PREFIX = "@request.auth.claims"
JWT_FILTER = "envoy.filters.http.jwt_authn"
JWT_PAYLOAD = "payload"


def is_claim(name: str) -> bool:
    """Whether a header's name stands for a claim."""
    return name.startswith(PREFIX)


def claim_matchers(wanted: Iterable[tuple[str, StringMatch]], refused: Iterable[tuple[str, StringMatch]]) -> list[Obj]:
    """The metadata matchers of a route.

    Args:
        wanted: conditions by header name; names of real headers are passed over.
        refused: conditions that must not hold.
    """
    found = [_matcher(name, match) for name, match in wanted if is_claim(name)]
    return found + [{**_matcher(name, match), "invert": True} for name, match in refused if is_claim(name)]


def claim_path(name: str) -> list[str]:
    """``@request.auth.claims.a.b`` or ``@request.auth.claims[a][b]`` as a path of claims."""
    rest = name.removeprefix(PREFIX)
    if rest.startswith("["):
        return re.findall(r"\[([^\]]+)\]", rest)
    return [part for part in rest.split(".") if part]


def _matcher(name: str, match: StringMatch) -> Obj:
    value: Obj = {"string_match": _string(match)}
    path = [{"key": JWT_PAYLOAD}, *({"key": claim} for claim in claim_path(name))]
    # A claim is equal to the value, or a list that holds it.
    alternatives = [value, {"list_match": {"one_of": value}}]
    return {"filter": JWT_FILTER, "path": path, "value": {"or_match": {"value_matchers": alternatives}}}


def _string(match: StringMatch) -> Obj:
    if match.kind == "regex":
        return {"safe_regex": {"regex": match.value}}
    if match.kind == "present" or not match.value:
        return {"safe_regex": {"regex": ".*"}}
    return {match.kind: match.value}
