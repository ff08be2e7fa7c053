"""PeerAuthentication: what a workload's ports accept."""

from __future__ import annotations

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.istio.reading import Problems, created, integer, mapping, match_labels, text
from meshlab.minicluster.mesh.model import ConfigRef, MtlsMode, MtlsPolicy

MODES = {mode.value: mode for mode in MtlsMode}


def translate_peer_authentication(obj: Obj, ref: ConfigRef, root: str, problems: Problems) -> list[MtlsPolicy]:
    """The mTLS policy of one PeerAuthentication; ports count only beside a selector."""
    spec = mapping(obj.get("spec"))
    selector = match_labels(spec)
    if selector and ref.namespace == root:
        problems.add("peerauthentication.selector", ref, f"{ref}: a selector in {root} is not supported; it is ignored")
        return []
    ports: dict[int, MtlsMode | None] = {}
    for number, setting in mapping(spec.get("portLevelMtls")).items():
        port = integer(number)
        if port is not None:
            ports[port] = MODES.get(text(mapping(setting).get("mode")))
    if ports and not selector:
        problems.add("peerauthentication.ports", ref, f"{ref}: portLevelMtls needs a selector; it is ignored")
        ports = {}
    return [
        MtlsPolicy(
            namespace="" if ref.namespace == root else ref.namespace,
            selector=selector,
            mode=MODES.get(text(mapping(spec.get("mtls")).get("mode"))),
            ports=ports,
            ref=ref,
            created=created(obj),
        )
    ]
