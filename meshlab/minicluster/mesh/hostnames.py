"""Host patterns: an exact name, ``*.suffix``, or ``*``."""

from __future__ import annotations

import ipaddress


def is_address(name: str) -> bool:
    """Whether the name is an IP address."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def is_network(text: str) -> bool:
    """Whether the text is an IP address or a range of them in CIDR notation."""
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False
    return True


def host_matches(pattern: str, host: str) -> bool:
    """Whether a pattern covers a host; the host may be a narrower pattern itself."""
    if pattern in ("*", host):
        return True
    return pattern.startswith("*") and host.removeprefix("*").endswith(pattern[1:]) and len(host) >= len(pattern)


def intersect(left: str, right: str) -> str | None:
    """The narrower of two host patterns if one covers the other, else None."""
    if host_matches(left, right):
        return right
    if host_matches(right, left):
        return left
    return None
