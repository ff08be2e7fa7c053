"""The elements of a traffic graph: who is a node, and what is known of traffic between two of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

from meshlab.minicluster.addons.kiali.options import GraphType

UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Identity:
    """What tells a node from others."""

    key: str
    node_type: str
    cluster: str
    namespace: str
    workload: str = ""
    app: str = ""
    version: str = ""
    service: str = ""


@dataclass(slots=True)
class Edge:
    """Traffic of one protocol from one node to another."""

    source: Node
    target: Node
    protocol: str
    rates: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    flags: dict[str, dict[str, float]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(float)))
    """By response code."""
    hosts: dict[str, dict[str, float]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(float)))
    security: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    """Rates by connection_security_policy."""
    principals: tuple[str, str] | None = None
    response_time_ms: float | None = None
    throughput: float | None = None
    """Bytes of responses per second."""


@dataclass(slots=True)
class Node:
    """A workload, an app, a service, or nobody known."""

    identity: Identity
    rates: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    services: set[tuple[str, str, str]] = field(default_factory=set)
    """(cluster, namespace, name) of the services through which it was reached."""
    edges: dict[tuple[str, str], Edge] = field(default_factory=dict)
    """By target and protocol."""
    is_root: bool = False
    is_outside: bool = False
    is_inaccessible: bool = False


TrafficMap = dict[str, Node]
"""Nodes by their identities' keys."""


def is_known(text: str) -> bool:
    """Whether a label says something."""
    return text not in ("", UNKNOWN)


def identify(side: Mapping[str, str], service_namespace: str, service: str, graph_type: GraphType) -> Identity:
    """The node for a side of a request.

    Args:
        side: cluster, namespace, workload, app and version of the workload; empty for a service as such.
        service_namespace: of the service that was asked for.
        service: its name; empty for a source.
        graph_type: what nodes stand for.
    """
    cluster, workload, app, version = (side.get(key, "") for key in ("cluster", "workload", "app", "version"))
    namespace = side.get("namespace", "")
    if not is_known(namespace):
        namespace = service_namespace or UNKNOWN
    if namespace == workload == app == UNKNOWN and not service:
        return Identity("unknown_source", "unknown", cluster, namespace, workload, app, version)
    if workload == app == service == UNKNOWN:
        return Identity(f"svc_{cluster}_{namespace}_unknown", "unknown", cluster, namespace, workload, app, version)
    place = f"{cluster}_{namespace}"
    by_app = graph_type in (GraphType.APP, GraphType.VERSIONED_APP) and is_known(app)
    if by_app and graph_type is GraphType.APP:
        return Identity(f"app_{place}_{app}", "app", cluster, namespace, app=app)
    if by_app:
        key = f"vapp_{place}_{workload}" if is_known(workload) else f"vapp_{place}_{app}_{version}"
        return Identity(key, "app", cluster, namespace, workload, app, version)
    if is_known(workload):
        known = [text if is_known(text) else "" for text in (app, version)]
        return Identity(f"wl_{place}_{workload}", "workload", cluster, namespace, workload, *known)
    return Identity(f"svc_{place}_{service}", "service", cluster, namespace, service=service)
