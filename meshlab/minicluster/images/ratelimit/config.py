"""Rate limit configuration: YAML files with a domain and a tree of descriptors (envoyproxy/ratelimit, README)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

UNITS_S = {
    "second": 1,
    "minute": 60,
    "hour": 3600,
    "day": 86400,
    "week": 604800,
    "month": 2592000,
    "year": 31536000,
}


class ConfigError(Exception):
    """A file cannot be used; the text names it."""


@dataclass(frozen=True, slots=True)
class Limit:
    """How often something may happen."""

    unit: str
    """``second`` ... ``year``."""
    requests_per_unit: int
    unlimited: bool = False
    shadow: bool = False
    """Counted, and never refused."""
    name: str = ""
    key: str = ""
    """Where it stands: ``domain.key_value.key``."""

    @property
    def window_s(self) -> int:
        """How long a window is."""
        return UNITS_S[self.unit]


@dataclass(slots=True)
class Node:
    """What is said of one descriptor entry, and of those that may follow it."""

    limit: Limit | None = None
    children: dict[str, Node] = field(default_factory=dict)
    """By ``key`` or ``key_value``."""

    def child(self, key: str, value: str) -> Node | None:
        """The entry for a key with that value, else for values that begin so, else for any value."""
        exact = self.children.get(f"{key}_{value}")
        if exact is not None:
            return exact
        begun = f"{key}_"
        for name, node in self.children.items():
            if name.endswith("*") and name.startswith(begun) and f"{begun}{value}".startswith(name[:-1]):
                return node
        return self.children.get(key)


Entries = Sequence[tuple[str, str]]


class Config:
    """All domains."""

    def __init__(self, domains: Mapping[str, Node]) -> None:
        self.domains = domains

    def limit(self, domain: str, entries: Entries) -> Limit | None:
        """The limit for a descriptor; None if nothing is said of it as a whole."""
        node = self.domains.get(domain)
        for key, value in entries:
            if node is None:
                return None
            node = node.child(key, value)
        return node.limit if node is not None and entries else None

    def dump(self) -> str:
        """Every limit on a line of its own, as ``/rlconfig`` shows them."""
        lines = [line for domain, node in sorted(self.domains.items()) for line in _dump(domain, node)]
        return "".join(f"{line}\n" for line in lines)


def _dump(key: str, node: Node) -> Iterable[str]:
    if node.limit is not None:
        limit = node.limit
        shadow = ", shadow_mode: true" if limit.shadow else ""
        yield f"{key}: unit={limit.unit.upper()} requests_per_unit={limit.requests_per_unit}{shadow}"
    for name, child in node.children.items():
        yield from _dump(f"{key}.{name}", child)


def load(directory: Path) -> Config:
    """The configuration in a directory's YAML files.

    Raises:
        ConfigError: a file is malformed, or a domain is there twice.
    """
    domains: dict[str, Node] = {}
    # Volumes have entries whose names begin with dots.
    files = sorted(path for path in directory.glob("**/*") if path.is_file() and not path.name.startswith("."))
    for path in files:
        if any(part.startswith(".") for part in path.relative_to(directory).parts):
            continue
        try:
            given = yaml.safe_load(path.read_text())
        except (yaml.YAMLError, OSError) as error:
            raise ConfigError(f"{path.name}: error loading config file: {error}") from error
        if not isinstance(given, dict) or not given.get("domain"):
            raise ConfigError(f"{path.name}: config file cannot have empty domain")
        domain = str(given["domain"])
        if domain in domains:
            raise ConfigError(f"{path.name}: duplicate domain '{domain}' in config file")
        domains[domain] = node = Node()
        _read(node, given.get("descriptors"), path.name, domain)
    return Config(domains)


def _read(parent: Node, descriptors: Any, file: str, path: str) -> None:
    for given in descriptors or ():
        if not isinstance(given, dict) or not given.get("key"):
            raise ConfigError(f"{file}: descriptor has empty key")
        value = given.get("value")
        name = f"{given['key']}_{value}" if value not in (None, "") else str(given["key"])
        here = f"{path}.{name}"
        if name in parent.children:
            raise ConfigError(f"{file}: duplicate descriptor composite key '{here}'")
        parent.children[name] = node = Node()
        if isinstance(given.get("rate_limit"), dict):
            node.limit = _limit(given["rate_limit"], bool(given.get("shadow_mode")), file, here)
        _read(node, given.get("descriptors"), file, here)


def _limit(given: Mapping[str, Any], shadow: bool, file: str, key: str) -> Limit:
    unlimited = bool(given.get("unlimited"))
    unit = str(given.get("unit") or "").lower()
    if unlimited:
        return Limit("second", 0, unlimited=True, shadow=shadow, key=key)
    if unit not in UNITS_S:
        raise ConfigError(f"{file}: invalid rate limit unit '{unit}'")
    count = given.get("requests_per_unit", 0)
    if not isinstance(count, int):
        raise ConfigError(f"{file}: requests_per_unit of '{key}' is no number")
    return Limit(unit, count, shadow=shadow, name=str(given.get("name") or ""), key=key)
