"""Sidecar: what some workloads may reach (egress hosts, the policy for unknown ones), and what they receive on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.istio.destinationrule import connection_pool
from meshlab.minicluster.mesh.istio.httpactions import destination
from meshlab.minicluster.mesh.istio.protocol import port_protocol
from meshlab.minicluster.mesh.istio.reading import created, integer, mapping, objects, string_map, text, texts
from meshlab.minicluster.mesh.model import ConfigRef, Protocol
from meshlab.minicluster.mesh.sidecars import EgressListener, IngressListener, SidecarScope

LOOPBACK = "127.0.0.1"
UNIX = "unix://"
MODES = {"ALLOW_ANY": True, "REGISTRY_ONLY": False}


def translate_sidecar(obj: Obj, ref: ConfigRef, root: str, domain: str) -> list[SidecarScope]:
    """The scope of one Sidecar; one without a selector in the root namespace is the mesh's default."""
    spec = mapping(obj.get("spec"))
    selector = string_map(mapping(spec.get("workloadSelector")).get("labels"))
    policy = mapping(spec.get("outboundTrafficPolicy"))
    return [
        SidecarScope(
            namespace="" if ref.namespace == root and not selector else ref.namespace,
            selector=selector,
            # The field's own default, once the object is there at all, is REGISTRY_ONLY.
            allow_unknown_hosts=MODES.get(text(policy.get("mode")), False)
            if spec.get("outboundTrafficPolicy") is not None
            else None,
            egress=tuple(_egress(item) for item in objects(spec.get("egress"))),
            ref=ref,
            ingress=tuple(found for item in objects(spec.get("ingress")) if (found := _ingress(item)) is not None),
            egress_proxy=destination(policy["egressProxy"], ref.namespace, domain)
            if isinstance(policy.get("egressProxy"), dict)
            else None,
            inbound_pool=connection_pool(spec.get("inboundConnectionPool")),
            created=created(obj),
        )
    ]


def _egress(item: Mapping[str, Any]) -> EgressListener:
    """A listener. Without capture it is bound: to the loopback address, unless it says where."""
    port = mapping(item.get("port"))
    number = integer(port.get("number")) or 0
    hosts = []
    for host in texts(item.get("hosts")):
        owner, _, pattern = host.rpartition("/")
        hosts.append((owner or "*", pattern.lower()))
    bind = text(item.get("bind")) or (LOOPBACK if item.get("captureMode") == "NONE" else "")
    is_proxy = text(port.get("protocol")).upper() == "HTTP_PROXY"
    return EgressListener(tuple(hosts), number, (bind or (LOOPBACK if is_proxy else "")) if number else "", is_proxy)


def _ingress(item: Mapping[str, Any]) -> IngressListener | None:
    """A listener; without a ``defaultEndpoint`` of another port the program listens on the same one.

    Whether the endpoint is the loopback address or the pod's own makes no difference: the program is behind both.
    """
    port = mapping(item.get("port"))
    number = integer(port.get("number"))
    if number is None:
        return None
    endpoint = text(item.get("defaultEndpoint"))
    path = endpoint.removeprefix(UNIX) if endpoint.startswith(UNIX) else ""
    target = None if path else integer(endpoint.rpartition(":")[2])
    protocol = port_protocol(number, text(port.get("protocol")).lower() or text(port.get("name")))
    return IngressListener(
        number,
        protocol if protocol is not Protocol.UDP else Protocol.TCP,
        target or number,
        path,
        connection_pool(item.get("connectionPool")),
    )
