"""Sidecar: what some workloads may reach (egress hosts, the policy for unknown ones), and what they receive on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.istio.httpactions import destination
from meshlab.minicluster.mesh.istio.protocol import port_protocol
from meshlab.minicluster.mesh.istio.reading import created, integer, mapping, objects, string_map, text, texts
from meshlab.minicluster.mesh.model import ConfigRef, IngressListener, Protocol, SidecarScope

MODES = {"ALLOW_ANY": True, "REGISTRY_ONLY": False}


def translate_sidecar(obj: Obj, ref: ConfigRef, root: str, domain: str) -> list[SidecarScope]:
    """The scope of one Sidecar; one without a selector in the root namespace is the mesh's default."""
    spec = mapping(obj.get("spec"))
    selector = string_map(mapping(spec.get("workloadSelector")).get("labels"))
    hosts: list[tuple[str, str]] = []
    listeners = objects(spec.get("egress"))
    for host in (host for listener in listeners for host in texts(listener.get("hosts"))):
        owner, _, pattern = host.rpartition("/")
        hosts.append(({"": "*", ".": ref.namespace}.get(owner, owner), pattern.lower()))
    policy = mapping(spec.get("outboundTrafficPolicy"))
    return [
        SidecarScope(
            namespace="" if ref.namespace == root and not selector else ref.namespace,
            selector=selector,
            # The field's own default, once the object is there at all, is REGISTRY_ONLY.
            allow_unknown_hosts=MODES.get(text(policy.get("mode")), False)
            if spec.get("outboundTrafficPolicy") is not None
            else None,
            hosts=tuple(hosts) if listeners else None,
            ref=ref,
            ingress=tuple(found for item in objects(spec.get("ingress")) if (found := _ingress(item)) is not None),
            egress_proxy=destination(policy["egressProxy"], ref.namespace, domain)
            if isinstance(policy.get("egressProxy"), dict)
            else None,
            created=created(obj),
        )
    ]


def _ingress(item: Mapping[str, Any]) -> IngressListener | None:
    """A listener; without a ``defaultEndpoint`` of another port the program listens on the same one."""
    port = mapping(item.get("port"))
    number = integer(port.get("number"))
    if number is None:
        return None
    target = integer(text(item.get("defaultEndpoint")).rpartition(":")[2])
    protocol = port_protocol(number, text(port.get("protocol")).lower() or text(port.get("name")))
    return IngressListener(number, protocol if protocol is not Protocol.UDP else Protocol.TCP, target or number)
