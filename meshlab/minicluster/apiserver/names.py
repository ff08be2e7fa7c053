"""Which names and labels are valid, and what is said of those that are not (apimachinery ``util/validation``)."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator

from meshlab.minicluster.apiserver.statuses import Problem, invalid_value
from meshlab.minicluster.kubeapi import Obj

_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_DNS_LABEL = re.compile(_LABEL)
_DNS_1035 = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_DNS_SUBDOMAIN = re.compile(rf"{_LABEL}(\.{_LABEL})*")
_QUALIFIED = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]")

_SUFFIX_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
_MAX_GENERATED_BASE = 58

NameCheck = Callable[[str], str]
"""Says what is wrong with a name; an empty text if nothing is."""


def dns_subdomain(name: str) -> str:
    """Most objects: dot-separated DNS labels, at most 253 characters."""
    if len(name) > 253:
        return "must be no more than 253 bytes"
    if _DNS_SUBDOMAIN.fullmatch(name):
        return ""
    return (
        "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start "
        "and end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
        "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
    )


def dns_label(name: str) -> str:
    """Namespaces and container names: one DNS label."""
    if len(name) > 63:
        return "must be no more than 63 bytes"
    if _DNS_LABEL.fullmatch(name):
        return ""
    return (
        "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end "
        "with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
        "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
    )


def dns_1035_label(name: str) -> str:
    """Services: a DNS label that begins with a letter."""
    if len(name) > 63:
        return "must be no more than 63 bytes"
    if _DNS_1035.fullmatch(name):
        return ""
    return (
        "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic "
        "character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation "
        "is '[a-z]([-a-z0-9]*[a-z0-9])?')"
    )


def path_segment(name: str) -> str:
    """RBAC objects: anything that can stand in a URL path."""
    if name in (".", ".."):
        return f"may not be '{name}'"
    for character in "/%":
        if character in name:
            return f"may not contain '{character}'"
    return ""


def generate(base: str) -> str:
    """A name from ``generateName``: its base and five characters that spell no word."""
    return base[:_MAX_GENERATED_BASE] + "".join(random.choices(_SUFFIX_ALPHABET, k=5))


def _qualified_problem(key: str) -> str:
    prefix, slash, name = key.rpartition("/")
    if slash and (not prefix or dns_subdomain(prefix)):
        return "prefix part " + (dns_subdomain(prefix) if prefix else "must be non-empty")
    if not name:
        return "name part must be non-empty"
    if len(name) > 63:
        return "name part must be no more than 63 bytes"
    if not _QUALIFIED.fullmatch(name):
        return (
            "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an "
            "alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
            "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
        )
    return ""


def label_problems(labels: Obj | None, field: str) -> Iterator[Problem]:
    """What is wrong with a set of labels."""
    for key, value in (labels or {}).items():
        if wrong := _qualified_problem(key):
            yield invalid_value(field, key, wrong)
        if len(value) > 63:
            yield invalid_value(field, value, "must be no more than 63 bytes")
        if value and not _QUALIFIED.fullmatch(value):
            yield invalid_value(
                field,
                value,
                "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and "
                "must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex "
                "used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')",
            )


def annotation_problems(annotations: Obj | None, field: str) -> Iterator[Problem]:
    """What is wrong with a set of annotations (their values are free)."""
    for key in annotations or {}:
        if wrong := _qualified_problem(key.lower()):
            yield invalid_value(field, key, wrong)
