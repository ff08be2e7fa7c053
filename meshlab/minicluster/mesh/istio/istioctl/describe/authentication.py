"""Which PeerAuthentications apply to a pod, and the mTLS mode that they come to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from meshlab.minicluster.mesh.istio.analysis.mesh import root_namespace
from meshlab.minicluster.mesh.istio.analysis.model import Resource, Snapshot

POLICIES = "peerauthentications.security.istio.io"
UNSET = "UNSET"


def authentication(snapshot: Snapshot, labels: Mapping[str, str], namespace: str) -> Iterator[str]:
    """The lines for a pod with these labels: workload over namespace over mesh, of one level the oldest."""
    root = root_namespace(snapshot)
    applied = [
        policy
        for owner in dict.fromkeys((root, namespace))
        for policy in snapshot.of(POLICIES)
        if policy.namespace == owner and policy.selector.items() <= labels.items()
    ]
    mode, ports = "PERMISSIVE", dict[str, str]()
    for level in (_mesh_wide, _of_namespace, _of_workload):
        chosen = min((policy for policy in applied if level(policy, root)), key=_age, default=None)
        if chosen is not None:
            mode = _inherit(chosen.spec.get("mtls"), mode)
            if level is _of_workload:
                settings = chosen.spec.get("portLevelMtls") or {}
                ports = {str(port): _inherit(setting, mode) for port, setting in settings.items()}
    yield "Effective PeerAuthentication:"
    yield f"   Workload mTLS mode: {mode}"
    if ports:
        yield "   Port Level mTLS mode:"
        yield from (f"      {port}: {found}" for port, found in sorted(ports.items(), key=lambda item: int(item[0])))
    if applied:
        yield "Applied PeerAuthentication:"
        yield "   " + ", ".join(f"{policy.name}.{policy.namespace}" for policy in applied)


def _mesh_wide(policy: Resource, root: str) -> bool:
    return policy.namespace == root and not policy.selector


def _of_namespace(policy: Resource, root: str) -> bool:
    return policy.namespace != root and not policy.selector


def _of_workload(policy: Resource, root: str) -> bool:
    return policy.namespace != root and bool(policy.selector)


def _age(policy: Resource) -> tuple[str, str]:
    return str(policy.obj["metadata"].get("creationTimestamp") or ""), policy.name


def _inherit(setting: object, mode: str) -> str:
    stated = str(setting.get("mode") or UNSET) if isinstance(setting, dict) else UNSET
    return mode if stated == UNSET else stated
