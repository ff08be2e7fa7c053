"""Which of a pod's connections its sidecar takes: the rules that istio-init writes into iptables on a real node.

They come from annotations of the pod; what the order of iptables' rules decides there, `CaptureRules` decides here.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass

ALL = "*"
PREFIX = "traffic.sidecar.istio.io/"
OUTBOUND = ("includeOutboundIPRanges", "excludeOutboundIPRanges", "includeOutboundPorts", "excludeOutboundPorts")
INBOUND = ("includeInboundPorts", "excludeInboundPorts")


def outbound_annotations(annotations: Mapping[str, str]) -> dict[str, str]:
    """The annotations that steer the capture of outgoing connections, by their short names."""
    return {name: annotations[PREFIX + name] for name in OUTBOUND if PREFIX + name in annotations}


def inbound_annotations(annotations: Mapping[str, str]) -> dict[str, str]:
    """The annotations that steer the capture of incoming connections, by their short names."""
    return {name: annotations[PREFIX + name] for name in INBOUND if PREFIX + name in annotations}


@dataclass(frozen=True, slots=True)
class CaptureRules:
    """What is captured of the connections that a pod's programs make."""

    include_ranges: tuple[str, ...] = (ALL,)
    exclude_ranges: tuple[str, ...] = ()
    include_ports: frozenset[int] = frozenset()
    """Captured wherever they lead, unless the range is excluded."""
    exclude_ports: frozenset[int] = frozenset()

    @classmethod
    def of(cls, rules: Mapping[str, str]) -> CaptureRules:
        """The rules that annotations ask for.

        Args:
            rules: annotations by their short names, as of `outbound_annotations`.
        """
        return cls(
            tuple(_items(rules.get("includeOutboundIPRanges", ALL))),
            tuple(_items(rules.get("excludeOutboundIPRanges", ""))),
            frozenset(_ports(rules.get("includeOutboundPorts", ""))),
            frozenset(_ports(rules.get("excludeOutboundPorts", ""))),
        )

    def captures(self, address: str, port: int) -> bool:
        """Whether a connection to an address goes through the sidecar; what excludes comes first."""
        if port in self.exclude_ports or _within(address, self.exclude_ranges):
            return False
        return port in self.include_ports or _within(address, self.include_ranges)


def captures_inbound(annotations: Mapping[str, str], port: int) -> bool:
    """Whether what comes in for a port of the pod goes through the sidecar.

    Args:
        annotations: by their short names, as of `inbound_annotations`.
        port: the pod's port.
    """
    included, excluded = (annotations.get(name) for name in INBOUND)
    if port in _ports(excluded or ""):
        return False
    return included in (None, ALL) or port in _ports(included or "")


def _items(text: str) -> list[str]:
    return [item.strip() for item in text.split(",") if item.strip()]


def _ports(text: str) -> list[int]:
    return [int(item) for item in _items(text) if item.isdecimal()]


def _within(address: str, ranges: tuple[str, ...]) -> bool:
    if ALL in ranges:
        return True
    parsed = ipaddress.ip_address(address)
    return any(parsed in ipaddress.ip_network(each, strict=False) for each in ranges if _is_network(each))


def _is_network(text: str) -> bool:
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False
    return True
