"""IST0139: no pod is taken by two injectors, and every injector's control plane exists."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.labels import selects
from meshlab.minicluster.mesh.istio.analysis.messages import go_list
from meshlab.minicluster.mesh.istio.analysis.model import Message, Resource, Snapshot, message
from meshlab.minicluster.mesh.istio.inject_decision import INJECT, INJECTION, REVISION

WEBHOOKS = "mutatingwebhookconfigurations.admissionregistration.k8s.io"


def analyze(snapshot: Snapshot) -> Iterator[Message]:
    """Try every combination of labels that injectors look at; at most one may take each."""
    injectors = [item for item in snapshot.of(WEBHOOKS) if _revisions(item) or is_istios(item)]
    revisions = sorted({revision for item in injectors for revision in _revisions(item)})
    namespaces = _combinations(INJECTION, ("enabled", "disabled"), revisions)
    pods = _combinations(INJECT, ("true", "false"), revisions)
    for namespace_labels, pod_labels in product(namespaces, pods):
        taking = {
            f"{item.name}/{hook.get('name')}": item
            for item in injectors
            for hook in hooks(item)
            if takes(hook, namespace_labels, pod_labels)
        }
        if len(taking) > 1:
            for name, item in taking.items():
                others = go_list(sorted(taking.keys() - {name}))
                text = f"Webhook overlaps with others: {others}. This may cause injection to occur twice."
                yield message("IST0139", item, text)
    services = {service.full_name for service in snapshot.of("services")}
    for item in injectors:
        for hook in hooks(item):
            service = (hook.get("clientConfig") or {}).get("service")
            if service and (name := f"{service.get('namespace', '')}/{service.get('name', '')}") not in services:
                text = f"Injector refers to a control plane service that does not exist: {name}."
                yield message("IST0139", item, text)


def hooks(configuration: Resource) -> list[Obj]:
    """The entries of a webhook configuration."""
    return [hook for hook in configuration.obj.get("webhooks") or [] if isinstance(hook, dict)]


def is_istios(configuration: Resource) -> bool:
    """Whether an entry's name says that it is Istio's."""
    return any(str(hook.get("name", "")).endswith("istio.io") for hook in hooks(configuration))


def takes(hook: Obj, namespace_labels: Mapping[str, str], pod_labels: Mapping[str, str]) -> bool:
    """Whether an entry is called for pods with these labels; a selector that is not there takes everything."""
    return selects(hook.get("namespaceSelector") or {}, namespace_labels) and selects(
        hook.get("objectSelector") or {}, pod_labels
    )


def _combinations(key: str, values: Sequence[str], revisions: Sequence[str]) -> list[dict[str, str]]:
    plain: list[dict[str, str]] = [{}, *({key: value} for value in values)]
    return plain + [{**labels, REVISION: revision} for revision in revisions for labels in plain]


def _revisions(configuration: Resource) -> set[str]:
    found = {configuration.labels[REVISION]} if REVISION in configuration.labels else set()
    for hook in hooks(configuration):
        for selector in (hook.get("namespaceSelector") or {}, hook.get("objectSelector") or {}):
            if revision := (selector.get("matchLabels") or {}).get(REVISION):
                found.add(revision)
            for expression in selector.get("matchExpressions") or []:
                if expression.get("key") == REVISION:
                    found.update(expression.get("values") or [])
    return found
