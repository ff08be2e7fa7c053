"""How upstream connections behave, and who may call whom; mesh-neutral."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from meshlab.minicluster.mesh.model import ConfigRef
    from meshlab.minicluster.mesh.routing import StringMatch


@dataclass(frozen=True, slots=True)
class HashKey:
    """What sticks a client to an endpoint; exactly one of the first four is set."""

    header: str = ""
    cookie: str = ""
    source_ip: bool = False
    query_parameter: str = ""
    cookie_path: str = ""
    cookie_ttl_s: float | None = None
    minimum_ring_size: int = 1024
    maglev_table_size: int | None = None
    """Set: use a Maglev table instead of a ring."""


@dataclass(frozen=True, slots=True)
class LocalityPolicy:
    """How the places of endpoints count."""

    enabled: bool = True
    failover: tuple[tuple[str, str], ...] = ()
    """(from region, to region)."""
    distribute: tuple[tuple[str, tuple[tuple[str, int], ...]], ...] = ()
    """(from place, ((to place, weight), ...)); a place may end in ``*``."""
    failover_priority: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class WarmUp:
    """How traffic to a new endpoint grows."""

    duration_s: float
    minimum_percent: float = 10.0
    aggression: float = 1.0
    """1: linearly."""


@dataclass(frozen=True, slots=True)
class LoadBalancing:
    """How an endpoint is chosen."""

    algorithm: Literal["LEAST_REQUEST", "ROUND_ROBIN", "RANDOM", "PASSTHROUGH"] | None = None
    hash_key: HashKey | None = None
    locality: LocalityPolicy | None = None
    warm_up: WarmUp | None = None


@dataclass(frozen=True, slots=True)
class ConnectionPool:
    """Limits of connections and requests; None: no limit of its own."""

    max_connections: int | None = None
    connect_timeout_s: float | None = None
    idle_timeout_s: float | None = None
    tcp_idle_timeout_s: float | None = None
    max_connection_duration_s: float | None = None
    keepalive_probes: int | None = None
    keepalive_time_s: float | None = None
    keepalive_interval_s: float | None = None
    max_pending_requests: int | None = None
    max_requests: int | None = None
    max_requests_per_connection: int | None = None
    max_retries: int | None = None
    max_concurrent_streams: int | None = None
    http2: bool | None = None
    """True: upgrade to HTTP/2; False: do not; None: as the port says."""
    use_client_protocol: bool = False


@dataclass(frozen=True, slots=True)
class OutlierDetection:
    """When an endpoint is left out for a while."""

    consecutive_5xx: int | None = None
    consecutive_gateway_errors: int | None = None
    consecutive_local_origin_failures: int | None = None
    split_local_origin: bool = False
    interval_s: float | None = None
    base_ejection_s: float | None = None
    max_ejection_percent: int | None = None
    min_health_percent: int | None = None


@dataclass(frozen=True, slots=True)
class ClientTls:
    """How a client encrypts."""

    mode: Literal["DISABLE", "SIMPLE", "MUTUAL", "MESH_MUTUAL"]
    """MESH_MUTUAL: with the workload's own identity (Istio: ISTIO_MUTUAL)."""
    sni: str = ""
    subject_alt_names: tuple[str, ...] = ()
    ca_file: str = ""
    certificate_file: str = ""
    key_file: str = ""
    credential: str = ""
    insecure_skip_verify: bool = False


@dataclass(frozen=True, slots=True)
class Tunnel:
    """Connections go through an HTTP proxy, which is asked for another target."""

    host: str
    port: int
    use_post: bool = False
    """POST instead of CONNECT."""


@dataclass(frozen=True, slots=True)
class RetryBudget:
    """How much of the traffic may be retries; it takes the place of a fixed limit."""

    percent: float
    minimum_concurrency: int


@dataclass(frozen=True, slots=True)
class TrafficPolicy:
    """How clients behave towards a service, a subset or a port. What is None comes from the wider policy."""

    load_balancing: LoadBalancing | None = None
    connection_pool: ConnectionPool | None = None
    outlier_detection: OutlierDetection | None = None
    tls: ClientTls | None = None
    retry_budget: RetryBudget | None = None
    proxy_protocol: Literal["V1", "V2"] | None = None
    """Announce the client's address to the server in a PROXY header of that version."""
    tunnel: Tunnel | None = None
    ports: Mapping[int, TrafficPolicy] = field(default_factory=dict)
    """A port's policy replaces the whole of this one for that port."""

    def for_port(self, port: int) -> TrafficPolicy:
        """The policy that holds on a port."""
        return self.ports.get(port, self)

    def overlaid(self, narrower: TrafficPolicy | None) -> TrafficPolicy:
        """This policy with a subset's laid over it, part by part."""
        if narrower is None:
            return self
        parts: dict[str, Any] = {
            part.name: getattr(narrower, part.name) or getattr(self, part.name)
            for part in fields(self)
            if part.name != "ports"
        }
        return TrafficPolicy(**parts)


@dataclass(frozen=True, slots=True)
class Subset:
    """A named part of a service's endpoints."""

    name: str
    labels: Mapping[str, str]
    policy: TrafficPolicy | None = None


@dataclass(frozen=True, slots=True)
class ServicePolicy:
    """How some clients treat a host (Istio: a DestinationRule, after merging)."""

    host: str
    """A name, or a wildcard such as ``*.local``."""
    namespace: str
    policy: TrafficPolicy
    subsets: tuple[Subset, ...]
    export_to: frozenset[str]
    ref: ConfigRef
    selector: Mapping[str, str] = field(default_factory=dict)
    """The clients it is for; empty: all of its namespace."""
    created: str = ""

    def parts(self) -> list[TrafficPolicy]:
        """Every traffic policy in it: its own, its subsets' and their ports'."""
        found = [self.policy, *(subset.policy for subset in self.subsets if subset.policy is not None)]
        return [*found, *(port for policy in found for port in policy.ports.values())]

    def subset(self, name: str) -> Subset | None:
        """The subset of that name."""
        return next((subset for subset in self.subsets if subset.name == name), None)


@dataclass(frozen=True, slots=True)
class Source:
    """Where a request comes from: every field that is not empty must match one of its values (not_: none)."""

    principals: tuple[StringMatch, ...] = ()
    not_principals: tuple[StringMatch, ...] = ()
    service_accounts: tuple[str, ...] = ()
    """``namespace/name``."""
    not_service_accounts: tuple[str, ...] = ()
    request_principals: tuple[str, ...] = ()
    """``issuer/subject``, with a ``*`` at the begin or the end."""
    not_request_principals: tuple[str, ...] = ()
    namespaces: tuple[StringMatch, ...] = ()
    not_namespaces: tuple[StringMatch, ...] = ()
    ip_blocks: tuple[str, ...] = ()
    not_ip_blocks: tuple[str, ...] = ()
    remote_ip_blocks: tuple[str, ...] = ()
    not_remote_ip_blocks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Operation:
    """What a request does."""

    hosts: tuple[StringMatch, ...] = ()
    not_hosts: tuple[StringMatch, ...] = ()
    ports: tuple[int, ...] = ()
    not_ports: tuple[int, ...] = ()
    methods: tuple[StringMatch, ...] = ()
    not_methods: tuple[StringMatch, ...] = ()
    paths: tuple[StringMatch, ...] = ()
    not_paths: tuple[StringMatch, ...] = ()
    path_templates: tuple[str, ...] = ()
    """Alternatives to ``paths``, with ``{*}`` for one segment and ``{**}`` for any number."""
    not_path_templates: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition on an attribute such as ``request.headers[version]``."""

    key: str
    values: tuple[str, ...] = ()
    not_values: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Permission:
    """One rule: one of the sources, one of the operations, and all conditions."""

    sources: tuple[Source, ...] = ()
    operations: tuple[Operation, ...] = ()
    conditions: tuple[Condition, ...] = ()


@dataclass(frozen=True, slots=True)
class AuthorizationRule:
    """Who may call some workloads (Istio: an AuthorizationPolicy)."""

    namespace: str
    """The namespace it holds for; empty for the whole mesh."""
    selector: Mapping[str, str]
    action: Literal["ALLOW", "DENY", "AUDIT", "CUSTOM"]
    permissions: tuple[Permission, ...]
    """ALLOW with none: nothing is allowed."""
    ref: ConfigRef
    created: str = ""
    provider: str = ""
    """CUSTOM: the name of the external authorizer."""
    dry_run: bool = False
    """Only counted, never enforced."""


@dataclass(frozen=True, slots=True)
class JwtRule:
    """How one issuer's tokens are checked."""

    issuer: str
    audiences: tuple[str, ...] = ()
    jwks: str = ""
    """The key set itself; empty while it could not be fetched."""
    from_headers: tuple[tuple[str, str], ...] = ()
    from_params: tuple[str, ...] = ()
    from_cookies: tuple[str, ...] = ()
    claim_headers: tuple[tuple[str, str], ...] = ()
    """(header, claim)."""
    forward: bool = False
    payload_header: str = ""
    space_delimited_claims: tuple[str, ...] = ()
    key_source: str = ""
    """The URL from which the keys are fetched; empty if the policy has them itself."""


@dataclass(frozen=True, slots=True)
class JwtPolicy:
    """Which tokens some workloads accept (Istio: a RequestAuthentication)."""

    namespace: str
    selector: Mapping[str, str]
    rules: tuple[JwtRule, ...]
    ref: ConfigRef
    created: str = ""
