"""IST0175: istiod fetches keys from wherever a RequestAuthentication says, internal addresses included."""

from __future__ import annotations

from collections.abc import Iterator

from meshlab.minicluster.mesh.istio.analysis.model import Message, Snapshot, message

VARIABLE = "BLOCKED_CIDRS_IN_JWKS_URIS"
SHOWN = 5


def analyze(snapshot: Snapshot) -> Iterator[Message]:
    """Check the istiods of a mesh that has RequestAuthentications."""
    names = [policy.full_name for policy in snapshot.of("requestauthentications.security.istio.io")]
    if not names:
        return
    more = f", and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    for deployment in snapshot.of("deployments.apps"):
        if deployment.labels.get("app") != "istiod":
            continue
        containers = ((deployment.spec.get("template") or {}).get("spec") or {}).get("containers") or []
        variables = [item for container in containers for item in container.get("env") or []]
        if not any(item.get("name") == VARIABLE and item.get("value") for item in variables):
            yield message("IST0175", deployment, len(names), ", ".join(names[:SHOWN]) + more)
