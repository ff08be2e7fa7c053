"""What a mesh's user narrows for some sidecars: what their workloads may reach, and on which ports they receive."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from meshlab.minicluster.mesh.hostnames import host_matches
from meshlab.minicluster.mesh.policy import ConnectionPool
from meshlab.minicluster.mesh.routing import Destination

if TYPE_CHECKING:
    from meshlab.minicluster.mesh.model import ConfigRef, Protocol


@dataclass(frozen=True, slots=True)
class IngressListener:
    """A port on which some workloads receive, in place of what services and containers say."""

    port: int
    protocol: Protocol
    target_port: int
    """Where the program listens."""
    target_path: str = ""
    """Its unix socket, if that is where it listens."""
    pool: ConnectionPool | None = None


@dataclass(frozen=True, slots=True)
class EgressListener:
    """A part of what some workloads may reach."""

    hosts: tuple[tuple[str, str], ...]
    """(namespace, ``*`` or ``.`` for the client's own, host pattern) pairs."""
    port: int = 0
    """Only this port of them; 0: all."""
    bind: str = ""
    """The address on which the proxy listens for programs that connect to it by themselves; empty: it captures."""
    is_http_proxy: bool = False
    """Programs use the port as an HTTP proxy, for any host and port."""

    def covers(self, namespace: str, host: str, client_namespace: str) -> bool:
        """Whether a host of a namespace is visible to a client through it."""
        return any(
            owner in ("*", namespace) or (owner == "." and namespace == client_namespace)
            for owner, pattern in self.hosts
            if host_matches(pattern, host)
        )


@dataclass(frozen=True, slots=True)
class SidecarScope:
    """What some workloads may reach outside and receive, when it differs from the mesh's setting."""

    namespace: str
    """Empty: the whole mesh."""
    selector: Mapping[str, str]
    allow_unknown_hosts: bool | None
    egress: tuple[EgressListener, ...]
    """What is visible; empty: everything."""
    ref: ConfigRef
    ingress: tuple[IngressListener, ...] = ()
    """Empty: the ports of services and containers."""
    egress_proxy: Destination | None = None
    """Where requests to unknown hosts go instead of to their own address."""
    inbound_pool: ConnectionPool | None = None
    """How the proxy's connections to its own program behave."""
    created: str = ""
