"""What the mesh's configuration names, for policies to refer to: external authorizers, and where access logs go."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class BodyCheck:
    """How much of a request's body an external authorizer is shown."""

    maximum_bytes: int
    allow_partial: bool = False
    as_bytes: bool = False


@dataclass(frozen=True, slots=True)
class ExternalAuthorizer:
    """A service that decides on requests."""

    name: str
    protocol: Literal["HTTP", "GRPC"]
    host: str
    """The host of its service, perhaps as ``namespace/host``."""
    port: int
    timeout_s: float = 600.0
    fail_open: bool = False
    status_on_error: int | None = None
    clear_route_cache: bool = False
    body: BodyCheck | None = None
    path_prefix: str = ""
    request_headers: tuple[str, ...] = ()
    """Headers that the check is sent, with a ``*`` at the begin or the end."""
    added_headers: tuple[tuple[str, str], ...] = ()
    upstream_headers: tuple[str, ...] = ()
    """Headers of a positive answer that go to the program."""
    client_headers_on_allow: tuple[str, ...] = ()
    client_headers_on_deny: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AccessLogSink:
    """Where access logs go, and how they look."""

    name: str
    kind: Literal["FILE", "OTEL", "HTTP_GRPC", "TCP_GRPC"]
    path: str = ""
    """FILE: such as ``/dev/stdout``."""
    text: str = ""
    """The format of a line; empty: the mesh's default."""
    labels: str = ""
    """A JSON object of formats instead of a line; ``{}``: the mesh's default."""
    omit_empty_values: bool = False
    host: str = ""
    """The others: the host of the service that takes them, perhaps as ``namespace/host``."""
    port: int = 0
    log_name: str = ""


@dataclass(frozen=True, slots=True)
class AccessLog:
    """A sink as one proxy uses it."""

    sink: AccessLogSink
    condition: str = ""
    """A CEL expression over the request; empty: always."""
