"""What is wrong with the value of an Istio annotation, in the injector's words (the detail of IST0125)."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping
from functools import partial

TRUTH = frozenset({"1", "t", "T", "TRUE", "true", "True", "0", "f", "F", "FALSE", "false", "False"})
"""What Go's ``strconv.ParseBool`` takes."""
MODES = ("REDIRECT", "TPROXY", "NONE")


def problem(annotation: str, value: str) -> str:
    """The problem with a value; empty if there is none, or if the annotation takes any value."""
    check = CHECKS.get(annotation)
    return check(value) if check else ""


def _mode(value: str) -> str:
    return "" if value in MODES else f"interceptionMode invalid, use {','.join(MODES)}: {value}"


def _number(value: str, bits: int = 32) -> str:
    if not (value.isascii() and value.isdigit()):
        return f'strconv.ParseUint: parsing "{value}": invalid syntax'
    return f'strconv.ParseUint: parsing "{value}": value out of range' if int(value) >= 1 << bits else ""


def _truth(value: str) -> str:
    return "" if value in TRUTH else f'strconv.ParseBool: parsing "{value}": invalid syntax'


def _port(value: str) -> str:
    found = _number(value.strip(), bits=16)
    return f"failed parsing port '{value}': {found}" if found else ""


def _status_port(value: str) -> str:
    found = _port(value)
    return f"excludeInboundPorts invalid: {found}" if found else ""


def _ports(field: str, every: bool, value: str) -> str:
    if every and value == "*":
        return ""
    for part in value.strip().split(",") if value.strip() else []:
        if found := _port(part):
            return f"{field} invalid: failed parsing port '{part}': {found}"
    return ""


def _ranges(field: str, every: bool, value: str) -> str:
    if every and value == "*":
        return ""
    for part in value.split(",") if value else []:
        if found := _prefix(part):
            return f"{field} invalid: failed parsing cidr '{part}': {found}"
    return ""


def _prefix(text: str) -> str:
    """In the words of Go's ``netip.ParsePrefix``."""
    address, slash, bits = text.rpartition("/")
    if not slash:
        return f"netip.ParsePrefix(\"{text}\"): no '/'"
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return f'netip.ParsePrefix("{text}"): ParseAddr("{address}"): unable to parse IP'
    if not (bits.isascii() and bits.isdigit()):
        return f'netip.ParsePrefix("{text}"): bad bits after slash: "{bits}"'
    return f'netip.ParsePrefix("{text}"): prefix length out of range' if int(bits) > parsed.max_prefixlen else ""


CHECKS: Mapping[str, Callable[[str], str]] = {
    "prometheus.istio.io/merge-metrics": _truth,
    "readiness.status.sidecar.istio.io/failureThreshold": _number,
    "readiness.status.sidecar.istio.io/initialDelaySeconds": _number,
    "readiness.status.sidecar.istio.io/periodSeconds": _number,
    "sidecar.istio.io/interceptionMode": _mode,
    "status.sidecar.istio.io/port": _status_port,
    "traffic.sidecar.istio.io/excludeInboundPorts": partial(_ports, "excludeInboundPorts", False),
    "traffic.sidecar.istio.io/excludeOutboundIPRanges": partial(_ranges, "excludeIPRanges", False),
    "traffic.sidecar.istio.io/excludeOutboundPorts": partial(_ports, "excludeOutboundPorts", False),
    "traffic.sidecar.istio.io/includeInboundPorts": partial(_ports, "includeInboundPorts", True),
    "traffic.sidecar.istio.io/includeOutboundIPRanges": partial(_ranges, "includeIPRanges", True),
}
"""The annotations whose values are checked."""
