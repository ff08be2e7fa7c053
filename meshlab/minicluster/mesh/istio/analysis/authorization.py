"""AuthorizationPolicy: its selector finds workloads, and the namespaces it names exist (IST0127, IST0101)."""

from __future__ import annotations

from collections.abc import Iterator

from meshlab.minicluster.kubeapi import matches_labels
from meshlab.minicluster.mesh.istio.analysis.messages import quoted
from meshlab.minicluster.mesh.istio.analysis.model import Message, Path, Resource, Snapshot, message

POLICIES = "authorizationpolicies.security.istio.io"


def analyze(snapshot: Snapshot, root_namespace: str = "istio-system") -> Iterator[Message]:
    """Check every AuthorizationPolicy; one in the root namespace selects in all namespaces."""
    for policy in snapshot.of(POLICIES):
        labels = (policy.spec.get("selector") or {}).get("matchLabels") or {}
        if labels and not _selects(snapshot, policy, labels, root_namespace):
            text = ",".join(f"{key}={value}" for key, value in sorted(labels.items()))
            yield message("IST0127", policy, text, path=("spec", "selector", "matchLabels"))
        yield from _namespaces(snapshot, policy)


def _selects(snapshot: Snapshot, policy: Resource, labels: dict[str, str], root_namespace: str) -> bool:
    return any(
        matches_labels(labels, dict(pod.labels))
        for pod in snapshot.of("pods")
        if policy.namespace in (pod.namespace, root_namespace)
    )


def _namespaces(snapshot: Snapshot, policy: Resource) -> Iterator[Message]:
    known = {namespace.name for namespace in snapshot.of("namespaces")}
    if not known:
        return  # files only: nobody knows which namespaces there are
    for rule_index, rule in enumerate(policy.spec.get("rules") or []):
        for from_index, source in enumerate((rule or {}).get("from") or []):
            names = ((source or {}).get("source") or {}).get("namespaces") or []
            for index, name in enumerate(names):
                if not _matches(str(name), known):
                    path: Path = ("spec", "rules", rule_index, "from", from_index, "source", "namespaces", index)
                    yield message("IST0101", policy, "namespace", quoted(str(name)), path=path)


def _matches(pattern: str, names: set[str]) -> bool:
    if pattern == "*":
        return True
    if pattern.startswith("*"):
        return any(name.endswith(pattern[1:]) for name in names)
    if pattern.endswith("*"):
        return any(name.startswith(pattern[:-1]) for name in names)
    return pattern in names
