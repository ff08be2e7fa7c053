"""AuthorizationPolicy: its selector finds workloads, and the namespaces it names exist (IST0127, IST0101)."""

from __future__ import annotations

from collections.abc import Iterator

from meshlab.minicluster.kubeapi import matches_labels
from meshlab.minicluster.mesh.istio.analysis.mesh import pod_in_mesh, root_namespace
from meshlab.minicluster.mesh.istio.analysis.messages import quoted, selector_text
from meshlab.minicluster.mesh.istio.analysis.model import Message, Path, Resource, Snapshot, message

POLICIES = "authorizationpolicies.security.istio.io"


def analyze(snapshot: Snapshot) -> Iterator[Message]:
    """Check every AuthorizationPolicy; one in the root namespace selects in all namespaces.

    One without a selector, in another namespace, is for all of the namespace's pods: there has to be one.
    """
    root = root_namespace(snapshot)
    members = [pod for pod in snapshot.of("pods") if pod_in_mesh(pod, snapshot)]
    for policy in snapshot.of(POLICIES):
        attached = policy.spec.get("targetRef") or policy.spec.get("targetRefs")
        labels = policy.selector
        if not attached and (labels or policy.namespace != root):
            selected = any(
                policy.namespace in (pod.namespace, root)
                and (not labels or matches_labels(dict(labels), dict(pod.labels)))
                for pod in members
            )
            if not selected:
                yield message("IST0127", policy, selector_text(labels), path=("spec", "selector", "matchLabels"))
        yield from _namespaces(snapshot, policy)


def _namespaces(snapshot: Snapshot, policy: Resource) -> Iterator[Message]:
    known = {namespace.name for namespace in snapshot.of("namespaces")}
    if not known:
        return  # files only: nobody knows which namespaces there are
    for rule_index, rule in enumerate(policy.spec.get("rules") or []):
        for from_index, entry in enumerate((rule or {}).get("from") or []):
            source = (entry or {}).get("source") or {}
            for field in ("namespaces", "notNamespaces"):
                for index, name in enumerate(source.get(field) or []):
                    if not _matches(str(name), known):
                        path: Path = ("spec", "rules", rule_index, "from", from_index, "source", field, index)
                        yield message("IST0101", policy, "namespace", quoted(str(name)), path=path)


def _matches(pattern: str, names: set[str]) -> bool:
    if pattern == "*":
        return True
    if pattern.startswith("*"):
        return any(name.endswith(pattern[1:]) for name in names)
    if pattern.endswith("*"):
        return any(name.startswith(pattern[:-1]) for name in names)
    return pattern in names
