"""IST0171: istiod, or a controller, has written into a resource's status that something is wrong with it."""

from __future__ import annotations

from collections.abc import Iterator

from meshlab.minicluster.mesh.istio.analysis.model import Message, Snapshot, message

KINDS = ("services", "serviceentries.networking.istio.io", "authorizationpolicies.security.istio.io")


def analyze(snapshot: Snapshot) -> Iterator[Message]:
    """Report every condition whose status is False."""
    for kind in KINDS:
        for resource in snapshot.of(kind):
            for condition in (resource.obj.get("status") or {}).get("conditions") or []:
                if condition.get("status") == "False":
                    words = [condition.get(key, "") for key in ("type", "reason", "message")]
                    yield message("IST0171", resource, *words)
