"""IST0173, IST0174: a DestinationRule's host exists, and each of its subsets selects a pod."""

from __future__ import annotations

from collections.abc import Iterator

from meshlab.minicluster.kubeapi import matches_labels
from meshlab.minicluster.mesh.istio.analysis.model import Message, Snapshot, message
from meshlab.minicluster.mesh.istio.analysis.registry import Registry


def analyze(snapshot: Snapshot) -> Iterator[Message]:
    """Subset labels are those of the service and of the subset together, compared with all pods, as upstream does."""
    registry = Registry(snapshot)
    pods = [dict(pod.labels) for pod in snapshot.of("pods")]
    for rule in snapshot.of("destinationrules.networking.istio.io"):
        host = str(rule.spec.get("host") or "")
        found = registry.find(host, rule.namespace)
        if found is None:
            yield message("IST0174", rule, host, path=("spec", "host"))
            continue
        for index, subset in enumerate(rule.spec.get("subsets") or []):
            if not isinstance(subset, dict):
                continue
            labels = {**found.selector, **(subset.get("labels") or {})}
            if labels and not any(matches_labels(labels, pod) for pod in pods):
                yield message("IST0173", rule, subset.get("name", ""), path=("spec", "subsets", index, "name"))
