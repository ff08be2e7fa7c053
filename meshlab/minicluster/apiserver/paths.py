"""What a URL path names."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ApiPath:
    """The parts of ``/api/v1/...`` or ``/apis/GROUP/VERSION/...``."""

    group: str
    version: str
    plural: str
    namespace: str = ""
    name: str = ""
    subresource: str = ""
    tail: str = ""
    """What follows ``proxy``."""
    watch: bool = False
    """Whether it is one of the deprecated ``/watch/`` paths."""


_NAMESPACE_SUBRESOURCES = ("status", "finalize")


def parse_api_path(path: str) -> ApiPath | None:
    """The parts of a path below a group version; None for paths that name no resource."""
    parts = path.strip("/").split("/")
    if parts[0] == "api" and len(parts) > 2:
        group, version, rest = "", parts[1], parts[2:]
    elif parts[0] == "apis" and len(parts) > 3:
        group, version, rest = parts[1], parts[2], parts[3:]
    else:
        return None
    watch = rest[0] == "watch"
    if watch:
        rest = rest[1:]
    if not rest:
        return None
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 2 and not (group == "" and rest[2] in _NAMESPACE_SUBRESOURCES):
        namespace, rest = rest[1], rest[2:]
    plural = rest[0]
    name = rest[1] if len(rest) > 1 else ""
    subresource = rest[2] if len(rest) > 2 else ""
    tail = ""
    if subresource == "proxy":
        marker = f"/{plural}/{name}/proxy"
        tail = path[path.index(marker) + len(marker) :]
    elif len(rest) > 3:
        subresource = "/".join(rest[2:])
    return ApiPath(group, version, plural, namespace, name, subresource, tail, watch)
