"""What makes an AuthorizationPolicy invalid."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping, Sequence
from typing import Any

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.istio.reading import mapping, objects, sequence, text, texts
from meshlab.minicluster.mesh.istio.validation_common import (
    Caution,
    Listed,
    Messages,
    is_address,
    policy_targets,
    quote,
)

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
ADDRESS_KEYS = ("source.ip", "remote.ip", "destination.ip")
PLAIN_KEYS = frozenset(
    [
        "source.namespace",
        "source.principal",
        "request.auth.principal",
        "request.auth.audiences",
        "request.auth.presenter",
        "connection.sni",
    ]
)
MAP_KEYS = (
    "request.headers",
    "request.experimental.inline.headers",
    "request.auth.claims",
    "experimental.envoy.filters.",
)
"""Attributes that name an entry: ``request.headers[user-agent]``."""
TCP_SOURCE_FIELDS = tuple(field for field in SOURCE_FIELDS if "equestPrincipals" not in field)
DENIES_TCP = (
    "configured AuthorizationPolicy will deny all traffic to TCP ports under its scope due to the use of only HTTP "
    "attributes in a DENY rule; it is recommended to explicitly specify the port"
)
TEMPLATES = ("{*}", "{**}")
LITERAL = re.compile(r"[a-zA-Z0-9-._~%!$&'()+,;:@=]+")
"""A segment of a path, as RFC 3986 allows it."""
MAXIMUM_ACCOUNTS = 16
MAXIMUM_ACCOUNT = 320
ACCOUNT_FORM = "expected format 'serviceAccount' or 'namespace/serviceAccount', found"


def validate_authorization_policy(obj: Obj) -> Messages:
    """The messages for one AuthorizationPolicy; upstream names the policy in each error."""
    metadata = mapping(obj.get("metadata"))
    prefix = f"invalid policy {text(metadata.get('name'))}.{text(metadata.get('namespace'))}: "
    for message in _authorization(mapping(obj.get("spec"))):
        if isinstance(message, Caution):
            yield message
        else:
            yield type(message)(prefix + message)


def _authorization(spec: Mapping[str, Any]) -> Messages:
    action = text(spec.get("action")) or "ALLOW"
    rules = spec.get("rules")
    yield from policy_targets(spec)
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
        if action == "DENY" and _only_http(mapping(rule)):
            yield Caution(DENIES_TCP)


def _only_http(rule: Mapping[str, Any]) -> bool:
    """Whether a rule asks for what only HTTP can tell: of any other traffic it then denies all."""
    sources = [mapping(entry["source"]) for entry in objects(rule.get("from")) if entry.get("source") is not None]
    operations = [
        mapping(entry["operation"]) for entry in objects(rule.get("to")) if entry.get("operation") is not None
    ]
    tcp_source = any(source.get(field) is not None for source in sources for field in TCP_SOURCE_FIELDS)
    ports = any(operation.get(field) is not None for operation in operations for field in ("ports", "notPorts"))
    return bool(operations and not ports) or bool(sources and not operations and not tcp_source)


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
        yield from _blocks(texts(source.get(field)))
    for field in SOURCE_FIELDS:
        check = _accounts if field in ACCOUNT_FIELDS else _no_empty_value
        yield from check(f"{field[0].upper()}{field[1:]}", texts(source.get(field)))


def _operation(operation: Mapping[str, Any], at: str) -> Messages:
    if not any(operation.get(field) for field in OPERATION_FIELDS):
        yield f"`to.operation` must not be empty, {at}"
    for field in ("ports", "notPorts"):
        yield from _ports(texts(operation.get(field)))
    for field in OPERATION_FIELDS:
        yield from _no_empty_value(f"{field[0].upper()}{field[1:]}", texts(operation.get(field)))
    yield from _path_templates("Paths", texts(operation.get("paths")))
    yield from _path_templates("NotPaths", texts(operation.get("notPaths")))


def _no_empty_value(key: str, values: Sequence[str]) -> Messages:
    if "" in values:
        yield f"empty value not allowed, found in {key}"


def _accounts(key: str, values: Sequence[str]) -> Messages:
    """Service accounts, ``name`` or ``namespace/name``; the first fault is told."""
    if len(values) > MAXIMUM_ACCOUNTS:
        yield f"may not have more than {MAXIMUM_ACCOUNTS} values"
        return
    for value in values:
        namespace, slash, name = value.partition("/")
        if not value:
            yield f"empty value not allowed, found in {key}"
        elif "*" in value:
            yield f"wildcard not allowed, found in {key}"
        elif value.count("/") > 1:
            yield f"{ACCOUNT_FORM} {quote(value)} in {key}"
        elif len(value) > MAXIMUM_ACCOUNT:
            yield f"value cannot exceed {MAXIMUM_ACCOUNT} characters, found {quote(value)} in {key}"
        elif slash and not namespace:
            yield f"{ACCOUNT_FORM} empty namespace {quote(value)} in {key}"
        elif slash and not name:
            yield f"{ACCOUNT_FORM} empty serviceAccount {quote(value)} in {key}"
        else:
            continue
        return


def _path_templates(key: str, paths: Sequence[str]) -> Messages:
    """Paths with ``{*}`` for one segment and, at the end, ``{**}`` for the rest; the first fault is told."""
    for given in paths:
        templated = any(template in given for template in TEMPLATES)
        path = given.strip("/")
        found = f"invalid or unsupported path {path}, found in {key}. "
        ended = False
        for segment in path.split("/"):
            if segment in TEMPLATES:
                if ended:
                    yield found + "{**} is not the last operator"
                    return
                ended = segment == "{**}"
            elif "{" in segment or "}" in segment:
                yield found + "Contains '{' or '}' beyond a supported path template"
                return
            elif templated and LITERAL.fullmatch(segment) is None:
                yield f"{found}Contains segment {segment} with invalid string literal"
                return


def _condition(condition: Mapping[str, Any]) -> Messages:
    key = text(condition.get("key"))
    values, refused = texts(condition.get("values")), texts(condition.get("notValues"))
    if not key:
        yield "`key` must not be empty"
    elif not values and not refused:
        yield f"at least one of `values` or `notValues` must be set for key {key}"
    else:
        for word, given in (("value", values), ("notValue", refused)):
            if wrong := list(_attribute(key, given)):
                shown = wrong[0]
                if isinstance(shown, Listed):
                    count = f"{len(wrong)} error{'s' if len(wrong) > 1 else ''} occurred:\n"
                    shown = count + "".join(f"\t* {message}\n" for message in wrong) + "\n"
                yield f"invalid `{word}` for `key` {key}: {shown}"


def _attribute(key: str, values: Sequence[str]) -> Messages:
    """What a condition's key allows as values."""
    if "" in values:
        yield f"empty value not allowed, found in {key}"
    elif key.startswith(MAP_KEYS):
        opened = key.find("[")
        if not (key.endswith("]") and 0 < opened < len(key) - 2):
            yield f"bad key ({key}): should have format a[b]"
    elif key in ADDRESS_KEYS:
        yield from _blocks(values)
    elif key == "destination.port":
        yield from _ports(values)
    elif key == "source.serviceAccount":
        yield from _accounts(key, values)
    elif key == "destination.namespace":
        yield f"attribute {key} is replaced by the metadata.namespace"
    elif key.startswith("destination.labels"):
        yield f"attribute {key} is replaced by the workload selector"
    elif key in ("destination.name", "destination.user"):
        yield f"deprecated attribute {key}: only supported in v1alpha1"
    elif key not in PLAIN_KEYS:
        yield f"unknown attribute: {key}"


def _blocks(blocks: Sequence[str]) -> Messages:
    for block in blocks:
        address, slash, bits = block.partition("/")
        try:
            ipaddress.ip_network(block, strict=False)
        except ValueError:
            if not slash:
                yield Listed(f"bad IP address ({block})")
                continue
            quoted = quote(block)
            if is_address(address):
                reason = (
                    "bad bits after slash: " + quote(bits) if not bits.isdecimal() else "prefix length out of range"
                )
            else:
                reason = f"ParseAddr({quote(address)}): unable to parse IP"
            yield Listed(f"bad CIDR range ({block}): netip.ParsePrefix({quoted}): {reason}")


def _ports(ports: Sequence[str]) -> Messages:
    for port in ports:
        if not (port.isdecimal() and port.isascii()):
            yield Listed(f"bad port ({port}): strconv.ParseUint: parsing {quote(port)}: invalid syntax")
        elif int(port) >= 2**32:
            yield Listed(f"bad port ({port}): strconv.ParseUint: parsing {quote(port)}: value out of range")
        elif int(port) > 65535:
            yield Listed(f"bad port ({port}): <nil>")
