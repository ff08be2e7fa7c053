"""How requests travel, mesh-neutral: route tables, matches, actions, and the gateways that let traffic in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from meshlab.minicluster.mesh.model import ConfigRef, Protocol

GRPC_STATUS_NAMES = (
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
)
"""gRPC status codes by number (source: the gRPC core documentation)."""


MESH_GATEWAY = "mesh"
"""The reserved gateway name that means: every sidecar."""


@dataclass(frozen=True, slots=True)
class StringMatch:
    """A condition on a string."""

    kind: Literal["exact", "prefix", "path_prefix", "suffix", "regex", "present"]
    """``path_prefix`` ends where a segment of a path ends: ``/a`` covers ``/a`` and ``/a/b``, not ``/ab``."""
    value: str = ""


@dataclass(frozen=True, slots=True)
class HttpMatch:
    """One alternative of a route's conditions: all that is set must hold."""

    name: str = ""
    uri: StringMatch | None = None
    ignore_uri_case: bool = False
    scheme: StringMatch | None = None
    method: StringMatch | None = None
    authority: StringMatch | None = None
    headers: tuple[tuple[str, StringMatch], ...] = ()
    without_headers: tuple[tuple[str, StringMatch], ...] = ()
    query_params: tuple[tuple[str, StringMatch], ...] = ()
    port: int | None = None
    source_labels: Mapping[str, str] = field(default_factory=dict)
    source_namespace: str = ""
    gateways: tuple[str, ...] = ()
    stat_prefix: str = ""
    """Statistics of the requests that match are kept under this name."""

    @property
    def is_catch_all(self) -> bool:
        """Whether every request that gets here matches (source conditions and port are decided beforehand)."""
        return not (
            self.scheme
            or self.method
            or self.authority
            or self.headers
            or self.without_headers
            or self.query_params
            or (
                self.uri is not None
                and self.uri.kind != "present"
                and (self.uri.kind, self.uri.value) not in (("prefix", "/"), ("regex", ".*"))
            )
        )


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a request goes."""

    host: str
    subset: str = ""
    port: int | None = None


@dataclass(frozen=True, slots=True)
class HeaderOperations:
    """Changes to headers, in this order: remove, set, add."""

    add: tuple[tuple[str, str], ...] = ()
    set: tuple[tuple[str, str], ...] = ()
    remove: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Headers:
    """Changes to a request's and to its response's headers."""

    request: HeaderOperations = HeaderOperations()
    response: HeaderOperations = HeaderOperations()


@dataclass(frozen=True, slots=True)
class Split:
    """One share of a route's traffic."""

    destination: Destination
    weight: int = 0
    headers: Headers = Headers()


@dataclass(frozen=True, slots=True)
class Rewrite:
    """What becomes of path and host before the request is forwarded."""

    uri: str = ""
    authority: str = ""
    regex: str = ""
    """With ``substitution``: instead of ``uri``."""
    substitution: str = ""


@dataclass(frozen=True, slots=True)
class Redirect:
    """Answer with a redirection."""

    uri: str = ""
    authority: str = ""
    scheme: str = ""
    port: int | None = None
    derive_port: str = ""
    code: int = 301


@dataclass(frozen=True, slots=True)
class DirectResponse:
    """Answer at once."""

    status: int
    body: str | None = None
    body_base64: str = ""
    """Instead of ``body``: bytes."""


@dataclass(frozen=True, slots=True)
class Retry:
    """When and how often a failed request is tried again."""

    attempts: int
    """Retries after the first try; 0 switches retries off."""
    per_try_timeout_s: float | None = None
    retry_on: tuple[str, ...] = ()
    """Conditions of the proxy's vocabulary; empty: the mesh's default."""
    status_codes: tuple[int, ...] = ()
    remote_localities: bool = False
    ignore_previous_hosts: bool | None = None
    """Whether retries avoid endpoints that were tried; None: as the kind of load balancing suggests."""
    back_off_s: float | None = None


@dataclass(frozen=True, slots=True)
class Fault:
    """Faults put in on purpose. Shares are percentages, 0 to 100."""

    delay_s: float | None = None
    delay_percent: float = 0.0
    abort_status: int | None = None
    abort_grpc_status: str = ""
    abort_percent: float = 0.0


@dataclass(frozen=True, slots=True)
class Mirror:
    """A copy of the traffic whose answers nobody waits for."""

    destination: Destination
    percent: float = 100.0


@dataclass(frozen=True, slots=True)
class Cors:
    """Cross-origin resource sharing."""

    origins: tuple[StringMatch, ...] = ()
    methods: tuple[str, ...] = ()
    allow_headers: tuple[str, ...] = ()
    expose_headers: tuple[str, ...] = ()
    max_age_s: float | None = None
    credentials: bool | None = None
    forward_unmatched_preflights: bool | None = None


@dataclass(frozen=True, slots=True)
class HttpRoute:
    """One entry of a route table: the first whose match holds decides."""

    name: str = ""
    matches: tuple[HttpMatch, ...] = ()
    """Alternatives; empty: every request."""
    splits: tuple[Split, ...] = ()
    redirect: Redirect | None = None
    direct_response: DirectResponse | None = None
    rewrite: Rewrite | None = None
    timeout_s: float | None = None
    retry: Retry | None = None
    """None: the mesh's default."""
    fault: Fault | None = None
    mirrors: tuple[Mirror, ...] = ()
    cors: Cors | None = None
    headers: Headers = Headers()
    missing_destination_status: int = 503
    """What a request gets whose destination nobody knows; the Gateway API wants 500."""


@dataclass(frozen=True, slots=True)
class L4Match:
    """Conditions on a connection."""

    sni_hosts: tuple[str, ...] = ()
    destination_subnets: tuple[str, ...] = ()
    """Where the client connects to: addresses, or ranges such as ``10.1.0.0/16``; only captured connections tell."""
    port: int | None = None
    source_labels: Mapping[str, str] = field(default_factory=dict)
    source_namespace: str = ""
    gateways: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class L4Route:
    """Where connections go."""

    matches: tuple[L4Match, ...] = ()
    splits: tuple[Split, ...] = ()


@dataclass(frozen=True, slots=True)
class RouteTable:
    """Routes for some hosts (Istio: a VirtualService; Gateway API: the routes of a listener or of a service)."""

    hosts: tuple[str, ...]
    gateways: tuple[str, ...]
    """``mesh`` or ``namespace/name``."""
    namespace: str
    export_to: frozenset[str]
    ref: ConfigRef
    http: tuple[HttpRoute, ...] = ()
    tcp: tuple[L4Route, ...] = ()
    tls: tuple[L4Route, ...] = ()
    created: str = ""
    consumer: bool = False
    """Written by clients for a service of another namespace; for them it goes before the service's own routes."""
    falls_back: bool = False
    """On a port for which it has no route, a service is reached as if there were no table."""

    @property
    def destinations(self) -> frozenset[str]:
        """The hosts to which its routes send anything."""
        routes: list[HttpRoute | L4Route] = [*self.http, *self.tcp, *self.tls]
        splits = {split.destination.host for route in routes for split in route.splits}
        return frozenset(splits | {mirror.destination.host for route in self.http for mirror in route.mirrors})

    @property
    def age(self) -> tuple[str, str, str]:
        """The key by which the oldest comes first."""
        return (self.created, self.ref.name, self.ref.namespace)


@dataclass(frozen=True, slots=True)
class ServerTls:
    """How a gateway's server ends (or passes on) TLS."""

    mode: Literal["NONE", "SIMPLE", "MUTUAL", "OPTIONAL_MUTUAL", "PASSTHROUGH", "AUTO_PASSTHROUGH", "ISTIO_MUTUAL"]
    credentials: tuple[str, ...] = ()
    """Names of secrets with the server's certificates: more than one where clients want different kinds of keys."""
    ca_credential: str = ""
    """Name of the secret with the clients' authority, if it is not the one that goes with the certificate."""
    files: tuple[tuple[str, str], ...] = ()
    """(certificate, key) files, instead of secrets."""
    ca_file: str = ""
    subject_alt_names: tuple[str, ...] = ()
    https_redirect: bool = False
    minimum_version: str = ""
    maximum_version: str = ""
    cipher_suites: tuple[str, ...] = ()
    certificate_hashes: tuple[str, ...] = ()
    """SHA-256 of the client certificates that are accepted, in hexadecimal."""
    public_key_hashes: tuple[str, ...] = ()
    """SHA-256 of the public keys of client certificates that are accepted, in base64."""


@dataclass(frozen=True, slots=True)
class GatewayServer:
    """One port of a gateway, for some hosts."""

    port: int
    port_name: str
    protocol: Protocol
    hosts: tuple[tuple[str, str], ...]
    """(namespace of the route tables or ``*``, host pattern)."""
    tls: ServerTls
    name: str = ""
    bind: str = ""
    """The address to listen on; empty: every address of the proxy."""


@dataclass(frozen=True, slots=True)
class Gateway:
    """An edge of the mesh: proxies that listen for traffic from outside."""

    namespace: str
    name: str
    selector: Mapping[str, str]
    """Labels of the proxies, where no ``services`` are named."""
    servers: tuple[GatewayServer, ...]
    ref: ConfigRef
    created: str = ""
    services: tuple[str, ...] = ()
    """Hosts of the services whose endpoints are the proxies; if given, server ports are ports of these services."""

    @property
    def key(self) -> str:
        """How route tables name it."""
        return f"{self.namespace}/{self.name}"
