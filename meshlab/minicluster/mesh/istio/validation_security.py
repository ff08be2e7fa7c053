"""What makes a security policy, or a Telemetry, invalid."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.istio.reading import mapping, objects, sequence, text, texts
from meshlab.minicluster.mesh.istio.validation_common import Messages, duration, one_selector, workload_selector

NEVER_TRIGGERED = (
    "{action} action without `rules` is meaningless as it will never be triggered, "
    "add an empty rule `{{}}` if you want it be triggered for every request"
)
SOURCE_FIELDS = (
    "principals", "requestPrincipals", "namespaces", "serviceAccounts", "ipBlocks", "remoteIpBlocks",
    "notPrincipals", "notRequestPrincipals", "notNamespaces", "notServiceAccounts", "notIpBlocks", "notRemoteIpBlocks",
)  # fmt: skip
OPERATION_FIELDS = ("ports", "methods", "paths", "hosts", "notPorts", "notMethods", "notPaths", "notHosts")
IDENTITY_FIELDS = ("principals", "notPrincipals", "namespaces", "notNamespaces")
ACCOUNT_FIELDS = ("serviceAccounts", "notServiceAccounts")
NOT_WITH_CUSTOM = ("namespaces", "serviceAccounts", "principals", "requestPrincipals")
NOT_CUSTOM_KEYS = ("source.namespace", "source.serviceAccount", "source.principal")
ATTRIBUTES = frozenset(
    [
        "source.ip",
        "remote.ip",
        "source.namespace",
        "source.serviceAccount",
        "source.principal",
        "destination.ip",
        "destination.port",
        "destination.labels",
        "destination.name",
        "destination.namespace",
        "destination.user",
        "connection.sni",
        "request.auth.principal",
        "request.auth.audiences",
        "request.auth.presenter",
    ]
)
ATTRIBUTE_PREFIXES = ("request.headers[", "request.auth.claims[", "experimental.")


def validate_authorization_policy(obj: Obj) -> Messages:
    """The messages for one AuthorizationPolicy; upstream names the policy in each."""
    metadata = mapping(obj.get("metadata"))
    prefix = f"invalid policy {text(metadata.get('name'))}.{text(metadata.get('namespace'))}: "
    for message in _authorization(mapping(obj.get("spec"))):
        yield prefix + message


def _authorization(spec: Mapping[str, Any]) -> Messages:
    action = text(spec.get("action")) or "ALLOW"
    rules = spec.get("rules")
    yield from one_selector(spec)
    yield from workload_selector(spec.get("selector"))
    if action == "CUSTOM":
        if rules is None:
            yield NEVER_TRIGGERED.format(action=action)
        elif not mapping(spec.get("provider")).get("name"):
            yield "`provider.name` must not be empty"
        for rule in objects(rules):
            yield from _custom_rule(rule)
    elif spec.get("provider") is not None:
        yield f"`provider` must not be with non CUSTOM action, found {action}"
    if action == "DENY" and rules is None:
        yield NEVER_TRIGGERED.format(action=action)
    for index, rule in enumerate(sequence(rules)):
        if rule is None:
            yield f"`rule` must not be nil, found at rule {index}"
            continue
        yield from _rule(mapping(rule), index)


def _custom_rule(rule: Mapping[str, Any]) -> Messages:
    for entry in objects(rule.get("from")):
        source = mapping(entry.get("source"))
        for field in NOT_WITH_CUSTOM:
            for name in (field, f"not{field[0].upper()}{field[1:]}"):
                if source.get(name):
                    yield f"From.{name[0].upper()}{name[1:]} is currently not supported with CUSTOM action"
    for condition in objects(rule.get("when")):
        key = text(condition.get("key"))
        if key in NOT_CUSTOM_KEYS or key.startswith("request.auth."):
            yield f"{key} is currently not supported with CUSTOM action"


def _rule(rule: Mapping[str, Any], index: int) -> Messages:
    at = f"found at rule {index}"
    if rule.get("from") == []:
        yield f"`from` must not be empty, {at}"
    for entry in objects(rule.get("from")):
        if entry.get("source") is None:
            yield f"`from.source` must not be nil, {at}"
        else:
            yield from _source(mapping(entry["source"]), at)
    if rule.get("to") == []:
        yield f"`to` must not be empty, {at}"
    for entry in objects(rule.get("to")):
        if entry.get("operation") is None:
            yield f"`to.operation` must not be nil, {at}"
        else:
            yield from _operation(mapping(entry["operation"]), at)
    for condition in objects(rule.get("when")):
        yield from _condition(condition)


def _source(source: Mapping[str, Any], at: str) -> Messages:
    if any(source.get(field) for field in IDENTITY_FIELDS) and any(source.get(field) for field in ACCOUNT_FIELDS):
        yield f"cannot set serviceAccounts with namespaces or principals, {at}"
    if not any(source.get(field) for field in SOURCE_FIELDS):
        yield f"`from.source` must not be empty, {at}"
    for field in ("ipBlocks", "notIpBlocks", "remoteIpBlocks", "notRemoteIpBlocks"):
        for block in texts(source.get(field)):
            yield from _block(block)
    yield from _no_empty_values(source, SOURCE_FIELDS)


def _operation(operation: Mapping[str, Any], at: str) -> Messages:
    if not any(operation.get(field) for field in OPERATION_FIELDS):
        yield f"`to.operation` must not be empty, {at}"
    for field in ("ports", "notPorts"):
        for port in texts(operation.get(field)):
            if not port.isdecimal() or not 0 <= int(port) <= 65535:
                yield f"invalid port {port}, must be in the range 1..65535"
    yield from _no_empty_values(operation, OPERATION_FIELDS)


def _no_empty_values(given: Mapping[str, Any], fields: tuple[str, ...]) -> Messages:
    for field in fields:
        if "" in texts(given.get(field)):
            yield f"`{field[0].upper()}{field[1:]}` must not have an empty value"


def _condition(condition: Mapping[str, Any]) -> Messages:
    key = text(condition.get("key"))
    values, refused = texts(condition.get("values")), texts(condition.get("notValues"))
    if not key:
        yield "`key` must not be empty"
    elif not values and not refused:
        yield f"at least one of `values` or `notValues` must be set for key {key}"
    elif key not in ATTRIBUTES and not key.startswith(ATTRIBUTE_PREFIXES):
        yield f"invalid `value` for `key` {key}: unknown attribute: {key}"
    elif key in ("source.ip", "remote.ip", "destination.ip"):
        for block in (*values, *refused):
            yield from (f"invalid `value` for `key` {key}: {message}" for message in _block(block))


def _block(block: str) -> Messages:
    try:
        ipaddress.ip_network(block, strict=False)
    except ValueError:
        yield (
            f"bad CIDR range ({block}): invalid CIDR address: {block}" if "/" in block else f"bad IP address ({block})"
        )


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
    yield from one_selector(spec)
    yield from workload_selector(spec.get("selector"))
    for rule in objects(spec.get("jwtRules")):
        yield from _jwt_rule(rule)


def _jwt_rule(rule: Mapping[str, Any]) -> Messages:
    if "" in texts(rule.get("audiences")):
        yield "audience must be non-empty string"
    uri = text(rule.get("jwksUri"))
    if not rule.get("issuer") and not uri:
        yield "issuer or jwksUri must be non-empty string"
    if uri and urlsplit(uri).scheme not in ("http", "https"):
        yield f"URI scheme {json.dumps(urlsplit(uri).scheme)} is not supported"
    if rule.get("jwks"):
        try:
            keys = json.loads(text(rule["jwks"]))
        except ValueError as error:
            yield f"jwks parse error: {error}"
        else:
            if not isinstance(keys, dict) or "keys" not in keys:
                yield "jwks parse error: failed to unmarshal JWK set"
    for location in objects(rule.get("fromHeaders")):
        if not location.get("name"):
            yield "location header name must be non-empty string"
    if "" in texts(rule.get("fromParams")):
        yield "location query must be non-empty string"
    if "" in texts(rule.get("fromCookies")):
        yield "cookie name must be non-empty string"
    for claim in objects(rule.get("outputClaimToHeaders")):
        if not claim.get("claim") or not claim.get("header"):
            yield "outputClaimToHeaders header and claim value must be non-empty string"
    yield from duration(rule.get("timeout"))


def validate_telemetry(obj: Obj) -> Messages:
    """The messages for one Telemetry."""
    spec = mapping(obj.get("spec"))
    yield from one_selector(spec)
    yield from workload_selector(spec.get("selector"))
    for tracing in objects(spec.get("tracing")):
        sampling = tracing.get("randomSamplingPercentage", 0)
        if isinstance(sampling, (int, float)) and not 0 <= sampling <= 100:
            yield "randomSamplingPercentage must be in range [0.0, 100.0]"
