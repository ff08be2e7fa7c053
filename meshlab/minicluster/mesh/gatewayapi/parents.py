"""A route's parents: the listeners and services that it names, and whether each of them lets it in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.gatewayapi.classes import GROUP
from meshlab.minicluster.mesh.gatewayapi.cluster import Cluster
from meshlab.minicluster.mesh.gatewayapi.listeners import Listener
from meshlab.minicluster.mesh.gatewayapi.status import ConfigError, ParentStatus, condition, parent_string
from meshlab.minicluster.mesh.hostnames import host_matches, intersect
from meshlab.minicluster.mesh.istio.reading import integer, mapping, objects, text, texts

Gateways = Mapping[tuple[str, str], Sequence[Listener]]
"""Listeners by (namespace, name) of their Gateway."""

DENIAL_RANKS = ("NotAllowedByListeners", "NoMatchingListenerHostname", "ParentRefConflict", "NoMatchingParent")
"""Of several listeners that refuse a route, those with the first of these reasons are reported."""


@dataclass(frozen=True, slots=True)
class Attachment:
    """A route and one listener, or one service, that it names."""

    reference: Obj
    denied: ConfigError | None
    listener: Listener | None = None
    """None: a service of the mesh."""
    service: tuple[str, str] = ("", "")
    """(namespace, name) of the service."""
    hosts: tuple[str, ...] = ()
    """The hosts of the service."""
    port: int | None = None
    siblings: tuple[str, ...] = ()
    """Hostnames of the Gateway's other listeners on the same port: what they cover more exactly is theirs."""

    def serves(self, host: str) -> bool:
        """Whether a host of the route is the listener's to serve, and not another one's."""
        if self.listener is None or (self.listener.hostname and not self.listener.hostname.startswith("*")):
            return True
        own = self.listener.hostname
        if own and intersect(own, host) is None:
            return False
        return not any(len(other) >= len(own) and other and host_matches(other, host) for other in self.siblings)


def attachments(route: Obj, kind: str, gateways: Gateways, cluster: Cluster) -> list[Attachment]:
    """Each listener or service that a route's parentRefs name, without those that are other controllers' business."""
    spec, namespace = mapping(route.get("spec")), text(mapping(route.get("metadata")).get("namespace"))
    hostnames = [host.lower() for host in texts(spec.get("hostnames"))]
    found: list[Attachment] = []
    for reference in objects(spec.get("parentRefs")):
        owner, name = text(reference.get("namespace")) or namespace, text(reference.get("name"))
        match (reference.get("group", GROUP), reference.get("kind", "Gateway")):
            case ("gateway.networking.k8s.io", "Gateway"):
                listeners = gateways.get((owner, name), ())
                found += [_attach(reference, listener, listeners, kind, hostnames, namespace) for listener in listeners]
            case ("", "Service"):
                exists = (owner, name) in cluster.services
                host = cluster.service_host(owner, name)
                found.append(_mesh(reference, owner, name, (host,), exists=exists, what="service"))
            case ("networking.istio.io", "ServiceEntry"):
                entry = cluster.service_entries.get((owner, name))
                hosts = texts(mapping(mapping(entry).get("spec")).get("hosts"))
                found.append(_mesh(reference, owner, name, hosts, exists=entry is not None, what="service entry"))
    return sorted(found, key=lambda item: parent_string(item.reference, namespace))


def _mesh(
    reference: Mapping[str, Any], owner: str, name: str, hosts: tuple[str, ...], *, exists: bool, what: str
) -> Attachment:
    missing = None if exists else ConfigError("NoMatchingParent", f'parent {what}: "{name}" not found')
    return Attachment(dict(reference), missing, service=(owner, name), hosts=hosts, port=integer(reference.get("port")))


def _attach(
    reference: Mapping[str, Any],
    listener: Listener,
    listeners: Sequence[Listener],
    kind: str,
    hostnames: Sequence[str],
    namespace: str,
) -> Attachment:
    siblings = {
        other.hostname
        for other in listeners
        if other is not listener and (other.port, other.protocol) == (listener.port, listener.protocol)
    } - {listener.hostname}
    return Attachment(
        dict(reference),
        _denial(reference, listener, kind, hostnames or ["*"], namespace),
        listener=listener,
        siblings=tuple(sorted(siblings)),
    )


def _denial(
    reference: Mapping[str, Any], listener: Listener, kind: str, hostnames: Sequence[str], namespace: str
) -> ConfigError | None:
    port, section = integer(reference.get("port")), text(reference.get("sectionName"))
    if port and port != listener.port:
        return ConfigError("NoMatchingParent", f"port {port} not found")
    if section and section != listener.section:
        return ConfigError("NoMatchingParent", f'sectionName "{section}" not found')
    by_host = [owner for owner, pattern in listener.hosts for host in hostnames if intersect(pattern, host)]
    if not any(owner in ("*", namespace) for owner in by_host):
        if by_host:
            return ConfigError(
                "NotAllowedByListeners",
                f'hostnames matched parent hostname "{listener.hostname}", but namespace "{namespace}" is not '
                "allowed by the parent",
            )
        return ConfigError("NoMatchingListenerHostname", f'no hostnames matched parent hostname "{listener.hostname}"')
    if kind not in listener.kinds:
        return ConfigError("NotAllowedByListeners", f"kind {GROUP}/v1/{kind} is not allowed")
    return None


def parent_statuses(
    found: Iterable[Attachment], gateway_error: ConfigError | None, mesh_error: ConfigError | None
) -> tuple[ParentStatus, ...]:
    """One status per parentRef: accepted if any listener took the route, else the most telling refusals.

    Args:
        found: the route's attachments.
        gateway_error: what is wrong with its rules, as routes of gateways.
        mesh_error: the same as routes of services, which need no grants.
    """
    grouped: list[tuple[Obj, list[Attachment]]] = []
    for item in found:
        group = next((group for reference, group in grouped if reference == item.reference), None)
        if group is None:
            grouped.append((item.reference, [item]))
        else:
            group.append(item)
    return tuple(
        ParentStatus(
            reference,
            (
                condition("Accepted", "Accepted", _accepted(group), _refusal(group)),
                condition(
                    "ResolvedRefs",
                    "ResolvedRefs",
                    "All references resolved",
                    mesh_error if group[0].listener is None else gateway_error,
                ),
            ),
        )
        for reference, group in grouped
    )


def _accepted(group: Sequence[Attachment]) -> str:
    count = sum(item.denied is None for item in group)
    return f"Route was valid, bound to {count} parents" if count > 1 else "Route was valid"


def _refusal(group: Sequence[Attachment]) -> ConfigError | None:
    refusals = [item.denied for item in group if item.denied is not None]
    if len(refusals) < len(group):
        return None
    reason = next((rank for rank in DENIAL_RANKS if any(r.reason == rank for r in refusals)), refusals[0].reason)
    messages = dict.fromkeys(refusal.message for refusal in refusals if refusal.reason == reason)
    return ConfigError(reason, "; ".join(messages))
