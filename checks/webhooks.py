"""Whether the API server would ask Istio's injector about a pod: its webhooks' selectors, evaluated.

This is the decision table of injection, read from the cluster instead of from a book: it holds for any revision, tag
and version. What the injector itself then declines (``hostNetwork``, an annotation) is not part of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from meshlab.grading import CheckContext

CONFIGURATIONS = "mutatingwebhookconfigurations.admissionregistration.k8s.io"
_SUFFIX = "sidecar-injector.istio.io"

Labels = Mapping[str, str]
Selector = Mapping[str, Any]


def injectors(context: CheckContext) -> list[dict[str, Any]]:
    """Every webhook that injects sidecars: its configuration's name, its selectors and its CA bundle."""
    return [
        {
            "configuration": configuration["metadata"]["name"],
            "webhook": webhook["name"],
            "namespaces": webhook.get("namespaceSelector") or {},
            "pods": webhook.get("objectSelector") or {},
            "ca_bundle": (webhook.get("clientConfig") or {}).get("caBundle", ""),
        }
        for configuration in context.cluster.list_objects(CONFIGURATIONS)
        for webhook in configuration.get("webhooks") or []
        if webhook["name"].endswith(_SUFFIX)
    ]


def namespace_injects(found: Iterable[Mapping[str, Any]], namespace: Labels) -> bool:
    """Whether a pod without any label of Istio's would be injected, by its namespace's labels alone."""
    return any(selects(entry["namespaces"], namespace) and selects(entry["pods"], {}) for entry in found)


def selects(selector: Selector, labels: Labels) -> bool:
    """Whether a label selector matches; an empty one matches everything (source: Kubernetes' LabelSelector)."""
    if any(labels.get(key) != value for key, value in (selector.get("matchLabels") or {}).items()):
        return False
    return all(_matches(rule, labels) for rule in selector.get("matchExpressions") or [])


def _matches(rule: Mapping[str, Any], labels: Labels) -> bool:
    key, values = rule["key"], rule.get("values") or []
    match rule["operator"]:
        case "In":
            return labels.get(key) in values
        case "NotIn":
            return labels.get(key) not in values
        case "Exists":
            return key in labels
        case "DoesNotExist":
            return key not in labels
    raise ValueError(f"a label selector has no operator {rule['operator']}")
