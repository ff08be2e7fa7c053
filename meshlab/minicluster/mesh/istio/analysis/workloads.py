"""Resources that select workloads of their namespace: each selects some, no two of a kind select the same.

Sidecars and Telemetries follow the same rules with messages of their own (IST0101, IST0110, IST0111; IST0101,
IST0159, IST0160).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from meshlab.minicluster.kubeapi import matches_labels
from meshlab.minicluster.mesh.istio.analysis.messages import go_list, quoted, selector_text
from meshlab.minicluster.mesh.istio.analysis.model import Message, Path, Resource, Snapshot, message

Selector = Callable[[Resource], Mapping[str, str]]


def overlaps(snapshot: Snapshot, resources: Sequence[Resource], selector: Selector, code: str) -> Iterator[Message]:
    """Selectors without a pod, and pods that more than one resource selects.

    Args:
        snapshot: everything.
        resources: the resources of one kind.
        selector: the labels that a resource selects by; empty for one that is for its whole namespace.
        code: of the message about a pod that is selected twice.
    """
    claims: dict[tuple[str, str], list[Resource]] = {}
    for resource in resources:
        labels = dict(selector(resource))
        if not labels:
            continue
        selected = [
            pod
            for pod in snapshot.of("pods")
            if pod.namespace == resource.namespace and matches_labels(labels, dict(pod.labels))
        ]
        for pod in selected:
            claims.setdefault((pod.namespace, pod.name), []).append(resource)
        if not selected:
            path: Path = ("spec", "workloadSelector") if "workloadSelector" in resource.spec else ("spec", "selector")
            yield message("IST0101", resource, "selector", quoted(selector_text(labels)), path=path)
    for (namespace, pod_name), claimants in claims.items():
        if len(claimants) > 1:
            names = go_list(sorted(item.name for item in claimants))
            for resource in claimants:
                at: Path = ("metadata", "name")
                yield message(code, resource, names, quoted(namespace), quoted(pod_name), path=at)


def without_selector(resources: Sequence[Resource], selector: Selector, code: str) -> Iterator[Message]:
    """Namespaces that have more than one resource for all of their workloads."""
    by_namespace: dict[str, list[Resource]] = {}
    for resource in resources:
        if not selector(resource):
            by_namespace.setdefault(resource.namespace, []).append(resource)
    for namespace, found in by_namespace.items():
        if len(found) > 1:
            names = go_list(sorted(item.name for item in found))
            for resource in found:
                yield message(code, resource, names, quoted(namespace), path=("metadata", "name"))
