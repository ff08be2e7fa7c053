"""What the mesh's configuration names for policies to refer to: authorizers, and where access logs and traces go."""

from __future__ import annotations

from dataclasses import dataclass, field
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
    request_headers: tuple[str, ...] = ()
    """HTTP_GRPC: headers that are logged beside the usual."""
    response_headers: tuple[str, ...] = ()
    response_trailers: tuple[str, ...] = ()
    filter_state: tuple[str, ...] = ()
    """Names of objects in the filter state that are logged."""


@dataclass(frozen=True, slots=True)
class AccessLog:
    """A sink as one proxy uses it."""

    sink: AccessLogSink
    condition: str = ""
    """A CEL expression over the request; empty: always."""


@dataclass(frozen=True, slots=True)
class CustomTag:
    """Something that spans tell beyond the usual."""

    name: str
    kind: Literal["LITERAL", "ENVIRONMENT", "HEADER", "FORMATTER"]
    value: str
    """The text, the variable of the proxy, the request's header, or the access log's format, by kind."""
    default: str = ""


@dataclass(frozen=True, slots=True)
class Tracer:
    """Where spans go."""

    name: str
    kind: Literal["ZIPKIN", "OTLP_GRPC", "OTLP_HTTP", "SKYWALKING", "DATADOG"]
    host: str
    """The host of the service that takes them, perhaps as ``namespace/host``."""
    port: int
    path: str = ""
    max_path_tag_length: int = 0
    """How much of a request's path is told; 0: the proxy's own limit."""
    short_trace_ids: bool = False
    """ZIPKIN: 64 bits instead of 128."""
    w3c: bool = False
    """ZIPKIN: understands and sends ``traceparent`` beside B3 headers."""
    timeout_s: float | None = None
    headers: tuple[tuple[str, str], ...] = ()
    """OTLP, ZIPKIN: sent with every report."""
    environment_resource: bool = False
    """OTLP: ``OTEL_RESOURCE_ATTRIBUTES`` of the proxy describe it."""


@dataclass(frozen=True, slots=True)
class ProxyTracing:
    """How a proxy traces where no telemetry rule speaks: from its own configuration at its start."""

    sampling_percent: float = 1.0
    max_path_tag_length: int = 0
    tags: tuple[CustomTag, ...] = ()
    mesh_tags: bool = True
    zipkin: tuple[str, int] | None = None
    """Host and port of a Zipkin collector that gets the spans."""


@dataclass(frozen=True, slots=True)
class Tracing:
    """Tracing in the mesh's configuration."""

    enabled: bool = True
    """Whether proxies trace where no telemetry rule speaks."""
    tracers: tuple[Tracer, ...] = ()
    default: str | None = None
    """The name of the tracer that is used unless a rule names another; None: none is."""
    proxy: ProxyTracing = field(default_factory=ProxyTracing)
    """Of proxies that do not tell their own."""
