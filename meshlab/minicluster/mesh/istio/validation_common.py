"""Checks that several of Istio's resources share: names, ports, durations, labels, selectors.

Each is a generator of messages in upstream's words (istio/istio, pkg/config/validation); nothing yielded means valid.
A message is an error unless it is a `Caution`.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from meshlab.minicluster.mesh.istio.reading import mapping, seconds, sequence, text

Messages = Iterator[str]


class Caution(str):
    """A message that does not make a resource invalid: the API server hands it on as a warning."""

    __slots__ = ()


class Listed(str):
    """An error that upstream collects in a list at its source, so that it is shown as one even when it stands alone."""

    __slots__ = ()


DNS_LABEL = re.compile(r"[a-zA-Z0-9](?:[-a-zA-Z0-9]*[a-zA-Z0-9])?")
WILDCARD_LABEL = re.compile(rf"\*|(?:\*-?)?{DNS_LABEL.pattern}")
QUALIFIED_NAME = r"(?:[A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
LABEL_KEY = re.compile(rf"(?:{DNS_LABEL.pattern}(?:\.{DNS_LABEL.pattern})*/)?{QUALIFIED_NAME}")
LABEL_VALUE = re.compile(rf"(?:{QUALIFIED_NAME})?")
MAXIMUM_LABEL = 63
MAXIMUM_NAME = 255
MINIMUM_DURATION_S = 0.001

HTTP_PROTOCOLS = frozenset({"HTTP", "HTTP2", "HTTP_PROXY", "GRPC", "GRPC-WEB"})
TLS_PROTOCOLS = frozenset({"HTTPS", "TLS"})
PROTOCOLS = HTTP_PROTOCOLS | TLS_PROTOCOLS | {"TCP", "UDP", "MONGO", "REDIS", "MYSQL", "HBONE", "DOUBLE-HBONE"}
UNIX = "unix://"


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


def namespaced_host(host: str, *, gateway: bool) -> Messages:
    """``namespace/host`` with wildcards, as Sidecars and Gateways name hosts; Gateways may leave out the namespace."""
    namespace, slash, name = host.partition("/")
    if not slash:
        if gateway:
            yield from _host_part(host, gateway=True)
        else:
            yield "host must be of form namespace/dnsName"
        return
    if not namespace or not name:
        yield "config namespace and dnsName in host entry cannot be empty"
    if namespace not in (("*", ".") if gateway else ("*", ".", "~")) and not is_label(namespace):
        yield f"invalid namespace value {quote(namespace)} in {'gateway' if gateway else 'sidecar'}"
    yield from _host_part(name, gateway=gateway)


def _host_part(host: str, *, gateway: bool) -> Messages:
    if host != "*" and "." not in host:
        yield "short names (non FQDN) are not allowed"
    wrong = list(wildcard_domain(host))
    if not gateway:
        yield from wrong
    if not is_address(host):
        yield from wrong
    yield from partial_wildcard(host)


def partial_wildcard(host: str) -> Messages:
    """A wildcard stands for whole labels only."""
    if "*" in host and len(host) != 1 and not host.startswith("*."):
        yield f"partial wildcard {quote(host)} not allowed"


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
            yield Listed(f"invalid tag key: {quote(key)}")
        if not isinstance(value, str) or len(value) > MAXIMUM_LABEL or LABEL_VALUE.fullmatch(value) is None:
            yield Listed(f"invalid tag value: {quote(str(value))}")


def workload_selector(selector: Any, field: str = "matchLabels") -> Messages:
    """The selector of a policy (``matchLabels``) or of an older resource (``labels``)."""
    if selector is None:
        return
    wanted = mapping(mapping(selector).get(field))
    for key, value in wanted.items():
        pair = quote(f"{key}={value}")
        if not key:
            yield f"empty key is not supported in selector: {pair}"
        if "*" in key or "*" in str(value):
            yield f"wildcard is not supported in selector: {pair}"
    if not wanted:
        yield Caution("workload selector specified without labels")


TARGETS = {
    ("", "Service"),
    ("networking.istio.io", "ServiceEntry"),
    ("gateway.networking.k8s.io", "Gateway"),
    ("gateway.networking.k8s.io", "GatewayClass"),
}
TARGETS_SHOWN = (
    "[/v1, Kind=Service networking.istio.io/v1, Kind=ServiceEntry gateway.networking.k8s.io/v1, Kind=Gateway "
    "gateway.networking.k8s.io/v1, Kind=GatewayClass]"
)


def policy_targets(spec: Mapping[str, Any]) -> Messages:
    """Whom a policy is for: by labels or by reference, in one way only."""
    given = [spec.get("selector") is not None, spec.get("targetRef") is not None, bool(spec.get("targetRefs"))]
    if sum(given) > 1:
        yield "only one of targetRefs or workloadSelector can be set"
    yield from workload_selector(spec.get("selector"))
    for reference in (spec.get("targetRef"), *sequence(spec.get("targetRefs"))):
        if reference is None:
            continue
        group, kind = text(reference.get("group")), text(reference.get("kind"))
        if not reference.get("name"):
            yield "targetRef name must be set"
        if reference.get("namespace"):
            yield "targetRef namespace must not be set; cross namespace referencing is not supported"
        if (group, kind) not in TARGETS and (group, kind) != ("core", "Service"):
            yield f"targetRef must be to one of {TARGETS_SHOWN} but was {group}/{kind}"


def export_to(namespace: str, values: Any, *, service_entry: bool = False, selected: bool = False) -> Messages:
    """``exportTo``: no duplicates, ``*`` alone, ``~`` only for a ServiceEntry and alone.

    Args:
        namespace: the resource's own.
        values: the entries.
        service_entry: whether it may be exported to nobody.
        selected: whether the resource is a DestinationRule for some workloads, which stays in its namespace.
    """
    seen: set[str] = set()
    entries = [text(value) for value in values] if isinstance(values, list) else []
    for entry in entries:
        key = namespace if entry == "." else entry
        if key in seen:
            if key != entry:
                yield f"duplicate entries in exportTo: . and current namespace {namespace}"
            else:
                yield f"duplicate entries in exportTo for entry {entry}"
        elif key == "~" and not service_entry:
            yield "exportTo ~ (none) is not allowed for Istio configuration objects"
        elif key not in ("*", "~", ".") and not is_label(key):
            yield "only .,*, or a valid DNS 1123 label is allowed as exportTo entry"
        else:
            seen.add(key)
    if selected and seen:
        if namespace not in seen:
            yield "destination rule with workload selector cannot have exportTo beyond current namespace"
        elif len(seen) > 1:
            yield "destination rule with workload selector cannot have multiple entries in exportTo"
    if "*" in seen and len(entries) > 1:
        yield "cannot have both public (*) and non-public exportTo values for a resource"
    if "~" in seen and len(entries) > 1:
        yield "cannot export service entry to no one (~) and someone"


def protocol_name(name: Any) -> Messages:
    """A protocol that Istio knows; none at all means that it is detected."""
    if name and text(name).upper() not in PROTOCOLS:
        yield f"unsupported protocol: {name}"


def unix_address(path: str) -> Messages:
    """The path of a Unix domain socket; one that starts with ``@`` is abstract."""
    if not path:
        yield "unix address must not be empty"
    elif not path.startswith("@") and (not path.startswith("/") or path.endswith("/")):
        yield f"{path} is not an absolute path to a file"


def ip_address(address: str) -> Messages:
    """An IP address."""
    if not is_address(address):
        yield f"{address} is not a valid IP"


def subnet(address: str) -> Messages:
    """An IP address, or a block of them."""
    if address.count("/") != 1:
        yield from ip_address(address)
        return
    try:
        ipaddress.ip_network(address, strict=False)
    except ValueError:
        yield f"{address} is not a valid CIDR block"


def protocol_of(given: Any) -> str:
    """The protocol's name in capitals; empty where none is given."""
    return text(mapping(given).get("protocol")).upper()
