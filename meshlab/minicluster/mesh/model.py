"""The mesh-neutral model: what every supported mesh's resources are translated into.

Nothing here knows Istio or Envoy. A translator (``mesh/istio``, later others) turns Kubernetes objects into one `Mesh`;
``mesh/envoy`` turns a `Mesh` and one `ProxyNode` into that proxy's configuration. How requests travel is in
`mesh.routing`, how upstream connections behave and who may call whom is in `mesh.policy`.

All values are frozen; a `Mesh` is compared by identity, so that work derived from it can be cached per model.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from functools import cached_property
from typing import Literal

from meshlab.minicluster.mesh.observation import Observation
from meshlab.minicluster.mesh.patches import PatchSet
from meshlab.minicluster.mesh.policy import AuthorizationRule, JwtPolicy, LocalityPolicy, ServicePolicy
from meshlab.minicluster.mesh.providers import AccessLogSink, ExternalAuthorizer, ProxyTracing, Tracing
from meshlab.minicluster.mesh.routing import Gateway, Retry, RouteTable
from meshlab.minicluster.mesh.sidecars import SidecarScope

Labels = Mapping[str, str]

ANY_NAMESPACE = "*"
"""In an ``export_to``: every namespace may see the resource."""


class Protocol(StrEnum):
    """What is spoken on a service port."""

    HTTP = "HTTP"
    HTTP2 = "HTTP2"
    GRPC = "GRPC"
    GRPC_WEB = "GRPC-Web"
    HTTPS = "HTTPS"
    TLS = "TLS"
    TCP = "TCP"
    UDP = "UDP"
    AUTO = "AUTO"
    """Not declared: the proxy looks at the first bytes."""

    @property
    def is_http(self) -> bool:
        """Whether requests are seen one by one (plain HTTP of any version)."""
        return self in (Protocol.HTTP, Protocol.HTTP2, Protocol.GRPC, Protocol.GRPC_WEB)

    @property
    def is_http2(self) -> bool:
        """Whether upstream connections have to speak HTTP/2."""
        return self in (Protocol.HTTP2, Protocol.GRPC, Protocol.GRPC_WEB)


class MtlsMode(StrEnum):
    """What an inbound port accepts."""

    DISABLE = "DISABLE"
    PERMISSIVE = "PERMISSIVE"
    STRICT = "STRICT"


class Resolution(StrEnum):
    """How a service's addresses are found."""

    ENDPOINTS = "ENDPOINTS"
    """The control plane knows them (Kubernetes, or listed in the resource)."""
    DNS = "DNS"
    """Each of the endpoint names is looked up by the proxy; all answers are used."""
    NONE = "NONE"
    """The client's own destination is used."""


@dataclass(frozen=True, slots=True)
class ConfigRef:
    """The resource something came from."""

    group: str
    version: str
    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class Locality:
    """Where a workload runs."""

    region: str = ""
    zone: str = ""
    sub_zone: str = ""

    def __str__(self) -> str:
        return "/".join((self.region, self.zone, self.sub_zone)).rstrip("/")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One address behind a service port."""

    address: str
    """An IP address, or a name when the service's resolution is DNS."""
    port: int
    """Nominal port."""
    labels: Labels = field(default_factory=dict)
    namespace: str = ""
    service_account: str = ""
    workload: str = ""
    """Name of the workload (Deployment ...), not of the pod."""
    mesh_tls: bool = False
    """Whether a sidecar of this mesh terminates mutual TLS there."""
    locality: Locality = Locality()
    weight: int = 1
    draining: bool = False


@dataclass(frozen=True, slots=True)
class ServicePort:
    """A port of a service."""

    name: str
    number: int
    protocol: Protocol
    endpoints: tuple[Endpoint, ...] = ()
    target_port: int | str = 0
    """As the Service names it: a number, or the name of a container port."""


@dataclass(frozen=True, slots=True)
class Service:
    """A host that clients may call."""

    host: str
    """Fully qualified, or a wildcard such as ``*.example.com``."""
    name: str
    namespace: str
    ports: tuple[ServicePort, ...]
    addresses: tuple[str, ...] = ()
    """Virtual addresses (ClusterIPs); empty for headless services."""
    networks: tuple[str, ...] = ()
    """Ranges of addresses, in CIDR notation, that mean the service to clients that connect to one of them."""
    allocated: tuple[str, ...] = ()
    """Addresses that the control plane has given to a service without any, for clients whose names it resolves."""
    resolution: Resolution = Resolution.ENDPOINTS
    selector: Labels = field(default_factory=dict)
    export_to: frozenset[str] = frozenset({ANY_NAMESPACE})
    mesh_external: bool = False
    kubernetes: bool = True
    """Whether it is a Kubernetes Service: those have short names."""
    subject_alt_names: tuple[str, ...] = ()
    """Identities the servers must present, beyond those of the endpoints."""
    failover_priority: tuple[str, ...] = ()
    """Labels by which endpoints near the client are preferred, whatever policies say nothing else."""
    one_address: bool = False
    """With DNS: only the first address of each answer is used, and looked up for new connections."""
    created: str = ""

    def port(self, number: int) -> ServicePort | None:
        """The port of that number."""
        return next((port for port in self.ports if port.number == number), None)

    def captured_addresses(self, *, allocated: bool) -> tuple[str, ...]:
        """The IPv4 addresses by which a captured connection is known to be for the service.

        Args:
            allocated: whether the client's names resolve to allocated addresses.
        """
        found = self.addresses or (self.allocated if allocated else ())
        return tuple(address for address in found if ":" not in address)

    def identities(self) -> tuple[tuple[str, str], ...]:
        """The (namespace, service account) pairs behind the service, sorted."""
        return tuple(
            sorted({(e.namespace, e.service_account) for p in self.ports for e in p.endpoints if e.service_account})
        )


@dataclass(frozen=True, slots=True)
class ContainerPort:
    """A port that a pod's container declares."""

    name: str
    number: int
    protocol: str = "TCP"


@dataclass(frozen=True, slots=True)
class Workload:
    """A pod that may be an endpoint, a client, or both."""

    namespace: str
    name: str
    ip: str
    labels: Labels
    service_account: str
    owner: str
    """Name of the Deployment (or other controller) that stands behind the pod, else the pod's."""
    ports: tuple[ContainerPort, ...] = ()
    """Of the application containers only, not of the sidecar."""
    locality: Locality = Locality()
    mesh_tls: bool = False
    inbound_rules: Labels = field(default_factory=dict)
    """Annotations that say which of its ports the proxy leaves alone (`network.capture`); none: it takes all."""


@dataclass(frozen=True, slots=True)
class MtlsPolicy:
    """What the inbound ports of some workloads accept."""

    namespace: str
    """The namespace it holds for; empty for the whole mesh."""
    selector: Labels
    """Empty: every workload of the namespace (or mesh)."""
    mode: MtlsMode | None
    """None: inherit from the next wider policy."""
    ports: Mapping[int, MtlsMode | None]
    """By workload port."""
    ref: ConfigRef
    created: str = ""


@dataclass(frozen=True, slots=True)
class Edge:
    """What stands in front of a gateway, and how far it is believed."""

    trusted_proxies: int = 0
    """How many entries at the end of X-Forwarded-For were written by proxies that can be trusted."""
    proxy_protocol: bool = False
    """Whether connections begin with the PROXY protocol."""
    client_certificates: str = "SANITIZE_SET"
    """What becomes of the header with the client's certificate, in Envoy's words."""


@dataclass(frozen=True, slots=True)
class ProxyNode:
    """The proxy that a configuration is made for."""

    id: str
    """``sidecar~IP~pod.namespace~namespace.svc.cluster.local`` or ``router~...``."""
    type: Literal["sidecar", "router"]
    namespace: str
    pod: str
    ip: str
    hidden_ip: str
    """Where the pod's programs listen, behind the sidecar."""
    service_account: str
    labels: Labels
    trust_domain: str = "cluster.local"
    version: str = ""
    """The version of the mesh that it says to be of."""
    metadata: Mapping[str, str] = field(default_factory=dict)
    """What else it says of itself."""
    cluster: str = ""
    """``app.namespace``: how it calls itself in traces."""
    tracing: ProxyTracing | None = None
    """How it wants to trace where no telemetry rule speaks; None: as the mesh's configuration says."""
    edge: Edge = Edge()


@dataclass(frozen=True, slots=True)
class Settings:
    """Mesh-wide behaviour that proxies need."""

    trust_domain: str = "cluster.local"
    root_namespace: str = "istio-system"
    domain: str = "cluster.local"
    auto_mtls: bool = True
    allow_unknown_hosts: bool = True
    """Whether sidecars forward to hosts that no service names (``outboundTrafficPolicy`` ALLOW_ANY)."""
    access_log_path: str = ""
    """A file such as ``/dev/stdout``; empty: no access log."""
    access_log_format: str = ""
    """A format of the user's own; empty: the mesh's default."""
    access_log_labels: str = ""
    """A JSON object of formats instead of a line; ``{}``: the mesh's default."""
    connect_timeout_s: float = 10.0
    trust_domain_aliases: tuple[str, ...] = ()
    """Further trust domains whose identities count as the mesh's own."""
    mesh_tls_minimum: str = "TLSV1_2"
    """The oldest version of TLS that workloads accept of each other."""
    authorizers: tuple[ExternalAuthorizer, ...] = ()
    sinks: tuple[AccessLogSink, ...] = ()
    """Where access logs may go, if a telemetry rule or the default says so."""
    default_sinks: tuple[str, ...] = ()
    metric_providers: frozenset[str] = frozenset({"prometheus"})
    """Names of the providers whose metrics proxies count, in small letters."""
    default_metrics: tuple[str, ...] = ("prometheus",)
    """Who takes metrics unless a telemetry rule says otherwise."""
    tracing: Tracing = field(default_factory=Tracing)
    default_retry: Retry | None = None
    """What routes do that say nothing of retries; None: Istio's own default."""
    upgrade_to_http2: bool = False
    """Whether connections to HTTP ports use HTTP/2 unless a policy says otherwise."""
    locality: LocalityPolicy = field(default_factory=LocalityPolicy)
    """How places count where no policy says."""


class Ground:
    """Stands for everything in a `Mesh` but its route tables: two meshes on the same ground differ in nothing else."""


@dataclass(frozen=True, eq=False)
class Mesh:
    """Everything the control plane knows at one moment."""

    settings: Settings = Settings()
    services: tuple[Service, ...] = ()
    workloads: tuple[Workload, ...] = ()
    route_tables: tuple[RouteTable, ...] = ()
    """Sorted oldest first."""
    service_policies: tuple[ServicePolicy, ...] = ()
    """At most one per host and namespace: translators merge."""
    mtls_policies: tuple[MtlsPolicy, ...] = ()
    gateways: tuple[Gateway, ...] = ()
    authorization: tuple[AuthorizationRule, ...] = ()
    jwt_policies: tuple[JwtPolicy, ...] = ()
    patch_sets: tuple[PatchSet, ...] = ()
    observations: tuple[Observation, ...] = ()
    sidecar_scopes: tuple[SidecarScope, ...] = ()
    ground: Ground = field(default_factory=Ground, repr=False)
    """For what is derived from all but the route tables, and worth keeping when only those change."""

    def on_ground_of(self, earlier: Mesh) -> Mesh:
        """This mesh, on the ground of an earlier one if nothing but route tables has changed since."""
        compared = (each.name for each in fields(self) if each.name not in ("route_tables", "ground"))
        if any(getattr(self, name) != getattr(earlier, name) for name in compared):
            return self
        return replace(self, ground=earlier.ground)

    @cached_property
    def services_by_host(self) -> Mapping[str, Service]:
        """Services by host; of several with the same host the first one counts."""
        found: dict[str, Service] = {}
        for service in self.services:
            found.setdefault(service.host, service)
        return found

    @cached_property
    def failover_labels(self) -> Labels:
        """The labels of clients by which some policy prefers endpoints, as keys."""
        policies = [part for policy in self.service_policies for part in policy.parts()]
        localities = [p.load_balancing.locality for p in policies if p.load_balancing and p.load_balancing.locality]
        lists = [locality.failover_priority for locality in (self.settings.locality, *localities)]
        lists += [service.failover_priority for service in self.services]
        return {label.partition("=")[0]: "" for labels in lists for label in labels}

    @cached_property
    def workloads_by_name(self) -> Mapping[tuple[str, str], Workload]:
        """Workloads by (namespace, pod name)."""
        return {(workload.namespace, workload.name): workload for workload in self.workloads}

    def mtls_mode(self, namespace: str, labels: Labels, port: int | None) -> MtlsMode:
        """What a workload's port accepts: workload policy over namespace policy over mesh policy over PERMISSIVE.

        Args:
            namespace: the workload's namespace.
            labels: the workload's labels; give an empty mapping for the mode that a whole namespace has.
            port: the workload's port, or None for the mode of unlisted ports.
        """
        mode: MtlsMode | None = None
        for policy in self._mtls_levels(namespace, labels):
            if port is not None and policy.selector:
                mode = policy.ports.get(port)
            mode = mode or policy.mode
            if mode is not None:
                return mode
        return MtlsMode.PERMISSIVE

    def _mtls_levels(self, namespace: str, labels: Labels) -> Iterable[MtlsPolicy]:
        """The oldest policy of each level that applies, narrowest level first."""
        levels: dict[int, MtlsPolicy] = {}
        for policy in sorted(self.mtls_policies, key=lambda p: (p.created, p.ref.name)):
            if policy.namespace == "" and not policy.selector:
                levels.setdefault(2, policy)
            elif policy.namespace == namespace and not policy.selector:
                levels.setdefault(1, policy)
            elif policy.namespace == namespace and labels and matches(policy.selector, labels):
                levels.setdefault(0, policy)
        return [levels[level] for level in sorted(levels)]


def matches(selector: Labels, labels: Labels) -> bool:
    """Whether the labels carry everything the selector asks for."""
    return all(labels.get(key) == value for key, value in selector.items())


def visible(export_to: frozenset[str], namespace: str) -> bool:
    """Whether a resource exported like that can be used from a namespace."""
    return ANY_NAMESPACE in export_to or namespace in export_to


def spiffe_id(trust_domain: str, namespace: str, service_account: str) -> str:
    """The identity of a service account, as in its workloads' certificates."""
    return f"spiffe://{trust_domain}/ns/{namespace}/sa/{service_account}"
