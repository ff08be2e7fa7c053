"""IST0166: a policy's selector does nothing for the pods of a Kubernetes Gateway; those are named by targetRef."""

from __future__ import annotations

from collections.abc import Iterator

from meshlab.minicluster.kubeapi import matches_labels
from meshlab.minicluster.mesh.istio.analysis.model import Message, Snapshot, message

GATEWAY_NAME = "gateway.networking.k8s.io/gateway-name"
POLICIES = (
    "authorizationpolicies.security.istio.io",
    "requestauthentications.security.istio.io",
    "telemetries.telemetry.istio.io",
    "wasmplugins.extensions.istio.io",
)


def analyze(snapshot: Snapshot) -> Iterator[Message]:
    """Check the policies that can be attached to a gateway."""
    pods = [pod for pod in snapshot.of("pods") if GATEWAY_NAME in pod.labels]
    for kind in POLICIES:
        for policy in snapshot.of(kind):
            if policy.spec.get("targetRef") or policy.spec.get("targetRefs"):
                continue
            for pod in pods:
                if pod.namespace == policy.namespace and matches_labels(dict(policy.selector), dict(pod.labels)):
                    yield message("IST0166", policy, pod.labels[GATEWAY_NAME], path=("spec", "selector"))
