"""The string formats that validation knows, as in ``k8s.io/kube-openapi/pkg/validation/strfmt``; others pass."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from collections.abc import Callable, Mapping
from datetime import date

_DATE_TIME = re.compile(r"\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(\.\d+)?([Zz]|[+-]\d{2}:\d{2})")
_DURATION = re.compile(r"-?(\d+(\.\d+)?\s*(ns|us|µs|ms|s|m|h|d|w))+|0")
_HOSTNAME = re.compile(r"[a-zA-Z0-9_]([-a-zA-Z0-9_]{0,62})(\.[a-zA-Z0-9_]([-a-zA-Z0-9_]{0,62}))*\.?")
_UUID = re.compile(r"(?i)[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}")
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+")


def _parses(parse: Callable[[str], object]) -> Callable[[str], bool]:
    def check(text: str) -> bool:
        try:
            parse(text)
        except (ValueError, binascii.Error):
            return False
        return True

    return check


def _matches(pattern: re.Pattern[str]) -> Callable[[str], bool]:
    return lambda text: pattern.fullmatch(text) is not None


is_base64 = _parses(lambda text: base64.b64decode(text, validate=True))
is_date_time = _matches(_DATE_TIME)

FORMATS: Mapping[str, Callable[[str], bool]] = {
    "byte": is_base64,
    "cidr": _parses(lambda text: ipaddress.ip_network(text, strict=False) if "/" in text else int("no prefix")),
    "date": _parses(date.fromisoformat),
    "date-time": is_date_time,
    "duration": _matches(_DURATION),
    "email": _matches(_EMAIL),
    "hostname": _matches(_HOSTNAME),
    "ipv4": _parses(ipaddress.IPv4Address),
    "ipv6": _parses(ipaddress.IPv6Address),
    "uuid": _matches(_UUID),
}
