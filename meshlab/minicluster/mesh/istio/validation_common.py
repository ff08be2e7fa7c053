"""Checks that several of Istio's resources share: names, ports, durations, labels, selectors.

Each is a generator of messages in upstream's words (istio/istio, pkg/config/validation); nothing yielded means valid.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from meshlab.minicluster.mesh.istio.reading import mapping, seconds, text

Messages = Iterator[str]

DNS_LABEL = re.compile(r"[a-zA-Z0-9](?:[-a-zA-Z0-9]*[a-zA-Z0-9])?")
WILDCARD_LABEL = re.compile(rf"\*|(?:\*-?)?{DNS_LABEL.pattern}")
QUALIFIED_NAME = r"(?:[A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
LABEL_KEY = re.compile(rf"(?:{DNS_LABEL.pattern}(?:\.{DNS_LABEL.pattern})*/)?{QUALIFIED_NAME}")
LABEL_VALUE = re.compile(rf"(?:{QUALIFIED_NAME})?")
MAXIMUM_LABEL = 63
MAXIMUM_NAME = 255
MINIMUM_DURATION_S = 0.001

HTTP_PROTOCOLS = frozenset({"HTTP", "HTTP2", "GRPC", "GRPC-WEB"})
TLS_PROTOCOLS = frozenset({"HTTPS", "TLS"})
PROTOCOLS = HTTP_PROTOCOLS | TLS_PROTOCOLS | {"TCP", "UDP", "MONGO", "REDIS", "MYSQL"}


def quote(value: str) -> str:
    """A string as Go's ``%q`` prints it."""
    return json.dumps(value, ensure_ascii=False)


def is_label(value: str) -> bool:
    """Whether it is a DNS label (RFC 1123)."""
    return len(value) <= MAXIMUM_LABEL and DNS_LABEL.fullmatch(value) is not None


def is_address(value: str) -> bool:
    """Whether it is an IP address."""
    try:
        ipaddress.ip_address(value)
    except ValueError:
        return False
    return True


def fqdn(name: str) -> Messages:
    """A fully qualified domain name."""
    yield from _length(name) or _labels(name)


def wildcard_domain(name: str) -> Messages:
    """A domain name whose first label may be a wildcard."""
    wrong = _length(name)
    if wrong:
        yield from wrong
        return
    first, _, rest = name.partition(".")
    if len(first) > MAXIMUM_LABEL or WILDCARD_LABEL.fullmatch(first) is None:
        yield f"domain name {quote(name)} invalid (label {quote(first)} invalid)"
    elif rest:
        yield from _labels(rest)


def _length(name: str) -> list[str]:
    if len(name) > MAXIMUM_NAME:
        return [f"domain name {quote(name)} too long (max {MAXIMUM_NAME})"]
    return [] if name else ["empty domain name not allowed"]


def _labels(name: str) -> list[str]:
    parts = name.split(".")
    if parts[-1].isdecimal():
        return [f"domain name {quote(name)} invalid (top level domain {quote(parts[-1])} cannot be all-numeric)"]
    if len(parts) > 1 and not parts[-1]:
        del parts[-1]
    wrong = next((label for label in parts if not is_label(label)), None)
    return [] if wrong is None else [f"domain name {quote(name)} invalid (label {quote(wrong)} invalid)"]


def namespaced_host(host: str, *, allow_any_namespace: bool) -> Messages:
    """``namespace/host`` with wildcards, as Gateways and Sidecars name hosts."""
    namespace, slash, name = host.partition("/")
    if not slash:
        if allow_any_namespace:
            yield from wildcard_domain(host)
        else:
            yield "host must be of form namespace/dnsName"
        return
    if not namespace or not name:
        yield "config namespace and dnsName in host entry cannot be empty"
        return
    if namespace not in ("*", ".", "~") and not is_label(namespace):
        yield f"invalid namespace value {quote(namespace)} in host entry"
    if name != "*":
        yield from wildcard_domain(name)


def port(number: Any) -> Messages:
    """A port number."""
    value = number if isinstance(number, int) else 0
    if not 1 <= value <= 65535:
        yield f"port number {value} must be in the range 1..65535"


def port_name(name: str) -> Messages:
    """A port's name."""
    if not is_label(name):
        yield f"invalid port name: {name}"


def duration(value: Any) -> Messages:
    """A duration of at least a millisecond, in whole milliseconds."""
    if value is None:
        return
    length = seconds(value)
    if length is None:
        yield f"invalid duration {value!r}"
    elif length < MINIMUM_DURATION_S:
        yield "duration must be greater than 1ms"
    elif abs(length * 1000 - round(length * 1000)) > 1e-6:
        yield "only durations to ms precision are supported"


def percentage(percent: Any) -> Messages:
    """A fractional percentage (``{value: 12.5}``)."""
    value = mapping(percent).get("value", 0)
    if isinstance(value, (int, float)) and not (value == 0 or 0.0001 <= value <= 100):
        yield f"percentage {value:g} is neither 0.0, nor in range [0.0001, 100.0]"


def percent(value: Any) -> Messages:
    """A whole percentage."""
    if isinstance(value, int) and not 0 <= value <= 100:
        yield f"percentage {value} is not in range 0..100"


def non_negative(settings: Mapping[str, Any], field: str, what: str) -> Messages:
    """A number that may be absent but not below zero."""
    value = settings.get(field)
    if isinstance(value, (int, float)) and value < 0:
        yield f"{what} must be non-negative"


def labels(values: Any) -> Messages:
    """Labels of instances."""
    for key, value in mapping(values).items():
        if len(key.rpartition("/")[2]) > MAXIMUM_LABEL or LABEL_KEY.fullmatch(key) is None:
            yield f"invalid tag key: {quote(key)}"
        if not isinstance(value, str) or len(value) > MAXIMUM_LABEL or LABEL_VALUE.fullmatch(value) is None:
            yield f"invalid tag value: {quote(str(value))}"


def workload_selector(selector: Any, field: str = "matchLabels") -> Messages:
    """The selector of a policy (``matchLabels``) or of an older resource (``labels``)."""
    for key, value in mapping(mapping(selector).get(field)).items():
        pair = quote(f"{key}={value}")
        if not key:
            yield f"empty key is not supported in selector: {pair}"
        if "*" in key or "*" in str(value):
            yield f"wildcard is not supported in selector: {pair}"


def one_selector(spec: Mapping[str, Any]) -> Messages:
    """A policy names its workloads in one way only."""
    given = [spec.get("selector") is not None, spec.get("targetRef") is not None, bool(spec.get("targetRefs"))]
    if sum(given) > 1:
        yield "only one of targetRefs or workloadSelector can be set"


def export_to(namespace: str, values: Any, *, allow_nobody: bool = False) -> Messages:
    """``exportTo``: no duplicates, ``*`` alone, ``~`` alone and only where it is allowed."""
    seen: set[str] = set()
    entries = [text(value) for value in values] if isinstance(values, list) else []
    for entry in entries:
        key = namespace if entry == "." else entry
        if key in seen:
            if entry == ".":
                yield f"duplicate entries in exportTo: . and current namespace {namespace}"
            else:
                yield f"duplicate entries in exportTo for entry {entry}"
        elif (key not in ("*", "~") and not is_label(key)) or (key == "~" and not allow_nobody):
            yield f"only .,*, or a valid DNS 1123 label is allowed as exportTo entry: {entry}"
        else:
            seen.add(key)
    if "*" in seen and len(entries) > 1:
        yield "cannot have both public (*) and non-public exportTo values for a resource"
    if "~" in seen and len(entries) > 1:
        yield "cannot export service entry to no one (~) and someone"


def protocol_of(given: Any) -> str:
    """The protocol's name in capitals; empty where none is given."""
    return text(mapping(given).get("protocol")).upper()
