"""Patches of a proxy's own configuration (Istio: an EnvoyFilter): what, where, and for whom."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from meshlab.minicluster.mesh.model import ConfigRef

ANY_CONTEXT = "ANY"


@dataclass(frozen=True, slots=True)
class ListenerMatch:
    """Which listeners, filter chains and filters; what is empty or 0 does not matter."""

    name: str = ""
    port: int = 0
    chain_name: str = ""
    sni: str = ""
    transport_protocol: str = ""
    application_protocols: tuple[str, ...] = ()
    destination_port: int = 0
    listener_filter: str = ""
    filter_name: str = ""
    subfilter_name: str = ""


@dataclass(frozen=True, slots=True)
class RouteMatch:
    """Which route configurations, virtual hosts and routes."""

    name: str = ""
    port: int = 0
    port_name: str = ""
    gateway: str = ""
    """``namespace/name``."""
    virtual_host: str = ""
    has_route: bool = False
    """Whether something is said of the route at all."""
    route_name: str = ""
    action: str = "ANY"
    """ANY, ROUTE, REDIRECT or DIRECT_RESPONSE."""


@dataclass(frozen=True, slots=True)
class ClusterMatch:
    """Which clusters."""

    name: str = ""
    service: str = ""
    subset: str = ""
    port: int = 0


@dataclass(frozen=True, slots=True)
class ConfigPatch:
    """One change."""

    apply_to: str
    """HTTP_FILTER, CLUSTER ..."""
    operation: str
    """ADD, MERGE, REMOVE, INSERT_BEFORE ..."""
    value: Mapping[str, Any] = field(default_factory=dict)
    """In Envoy's JSON form, with its own field names."""
    context: str = ANY_CONTEXT
    """ANY, SIDECAR_INBOUND, SIDECAR_OUTBOUND or GATEWAY."""
    listener: ListenerMatch | None = None
    route: RouteMatch | None = None
    cluster: ClusterMatch | None = None
    proxy_version: str = ""
    """A regular expression."""
    proxy_metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PatchSet:
    """The changes of one resource, in its order."""

    namespace: str
    """The namespace it holds for; empty for the whole mesh."""
    selector: Mapping[str, str]
    patches: tuple[ConfigPatch, ...]
    priority: int
    """Lower ones are applied first."""
    ref: ConfigRef
    created: str = ""
