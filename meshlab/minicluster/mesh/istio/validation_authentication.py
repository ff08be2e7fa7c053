"""What makes a PeerAuthentication or a RequestAuthentication invalid."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.istio.reading import mapping, objects, text, texts
from meshlab.minicluster.mesh.istio.validation_common import (
    Listed,
    Messages,
    duration,
    policy_targets,
    quote,
    workload_selector,
)

STRICT_HEADER_NAME = re.compile(r"[-A-Za-z0-9]+")
"""The names of headers into which claims are copied."""


def validate_peer_authentication(obj: Obj) -> Messages:
    """The messages for one PeerAuthentication."""
    spec = mapping(obj.get("spec"))
    ports = spec.get("portLevelMtls")
    if ports and not mapping(mapping(spec.get("selector")).get("matchLabels")):
        yield "mesh/namespace peer authentication cannot have port level mTLS"
    if ports == {}:
        yield "port level mTLS, if defined, must have at least one element"
    for port in mapping(ports):
        if not str(port).isdecimal() or not 1 <= int(port) <= 65535:
            yield "port must be in range 1..65535"
    yield from workload_selector(spec.get("selector"))


def validate_request_authentication(obj: Obj) -> Messages:
    """The messages for one RequestAuthentication."""
    spec = mapping(obj.get("spec"))
    yield from policy_targets(spec)
    for rule in objects(spec.get("jwtRules")):
        yield from _jwt_rule(rule)


def _jwt_rule(rule: Mapping[str, Any]) -> Messages:
    if "" in texts(rule.get("audiences")):
        yield Listed("audience must be non-empty string")
    uri = text(rule.get("jwksUri") or rule.get("jwks_uri"))
    if not rule.get("issuer") and not uri:
        yield Listed("issuer or jwksUri must be non-empty string")
    if uri:
        yield from _jwks_uri(uri)
    if rule.get("jwks"):
        yield from _jwks(text(rule["jwks"]))
    for location in objects(rule.get("fromHeaders")):
        if not location.get("name"):
            yield Listed("location header name must be non-empty string")
    if "" in texts(rule.get("fromParams")):
        yield Listed("location query must be non-empty string")
    if "" in texts(rule.get("fromCookies")):
        yield Listed("cookie name must be non-empty string")
    for claim in objects(rule.get("outputClaimToHeaders")):
        header = text(claim.get("header"))
        if not claim.get("claim") or not header:
            yield Listed("outputClaimToHeaders header and claim value must be non-empty string")
        elif STRICT_HEADER_NAME.fullmatch(header) is None:
            yield Listed(f"header name {header} is not a valid header name")
    yield from map(Listed, duration(rule.get("timeout")))


def _jwks_uri(uri: str) -> Messages:
    try:
        parts = urlsplit(uri)
        parts.port  # noqa: B018 - reading it is what parses it
    except ValueError:
        yield Listed(f"parse {quote(uri)}: invalid URL")
        return
    if parts.scheme not in ("http", "https"):
        yield Listed(f"URI scheme {quote(parts.scheme)} is not supported")


def _jwks(jwks: str) -> Messages:
    """A set of keys, or a single one."""
    try:
        keys = json.loads(jwks)
    except ValueError:
        yield Listed("jwks parse error: failed to unmarshal JWK set: " + _json_reason(jwks))
        return
    if not isinstance(keys, dict) or not ("keys" in keys or "kty" in keys):
        yield Listed("jwks parse error: failed to unmarshal key from JSON headers: invalid key type from JSON ()")


def _json_reason(given: str) -> str:
    """Why Go does not read it as JSON."""
    first = given.lstrip()[:1]
    return f"invalid character '{first}' looking for beginning of value" if first else "unexpected end of JSON input"
