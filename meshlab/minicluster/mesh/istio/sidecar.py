"""Sidecar: what some workloads may reach (their egress hosts and the policy for unknown ones)."""

from __future__ import annotations

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.istio.reading import created, mapping, objects, string_map, text, texts
from meshlab.minicluster.mesh.model import ConfigRef, EgressScope

MODES = {"ALLOW_ANY": True, "REGISTRY_ONLY": False}


def translate_sidecar(obj: Obj, ref: ConfigRef, root: str) -> list[EgressScope]:
    """The egress scope of one Sidecar; one without a selector in the root namespace is the mesh's default."""
    spec = mapping(obj.get("spec"))
    selector = string_map(mapping(spec.get("workloadSelector")).get("labels"))
    hosts: list[tuple[str, str]] = []
    listeners = objects(spec.get("egress"))
    for host in (host for listener in listeners for host in texts(listener.get("hosts"))):
        owner, _, pattern = host.rpartition("/")
        hosts.append(({"": "*", ".": ref.namespace}.get(owner, owner), pattern.lower()))
    policy = mapping(spec.get("outboundTrafficPolicy"))
    return [
        EgressScope(
            namespace="" if ref.namespace == root and not selector else ref.namespace,
            selector=selector,
            # The field's own default, once the object is there at all, is REGISTRY_ONLY.
            allow_unknown_hosts=MODES.get(text(policy.get("mode")), False)
            if spec.get("outboundTrafficPolicy") is not None
            else None,
            hosts=tuple(hosts) if listeners else None,
            ref=ref,
            created=created(obj),
        )
    ]
