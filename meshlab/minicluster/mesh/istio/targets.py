"""Whom a policy is for: a selector of labels, or the gateways that ``targetRefs`` names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from meshlab.minicluster.mesh.istio.reading import Problems, mapping, match_labels, objects, text
from meshlab.minicluster.mesh.model import ConfigRef

GATEWAY_NAME = "gateway.networking.k8s.io/gateway-name"
"""The label of the proxies that serve a Gateway of the Gateway API."""


@dataclass(frozen=True, slots=True)
class Target:
    """Some workloads."""

    namespace: str
    """Empty: every namespace."""
    selector: Mapping[str, str] = field(default_factory=dict)
    """Empty: all of the namespace."""


def targets(
    spec: Mapping[str, Any],
    ref: ConfigRef,
    root: str,
    problems: Problems,
    selector: Mapping[str, str] | None = None,
) -> list[Target]:
    """The workloads that a policy applies to.

    Args:
        spec: the policy's specification.
        ref: the policy.
        root: the root namespace, whose policies hold everywhere.
        problems: told of targets that this mesh does not have.
        selector: the policy's own selector if it is not ``selector.matchLabels``.
    """
    references = [*objects(spec.get("targetRefs")), *(objects([spec["targetRef"]]) if spec.get("targetRef") else [])]
    if not references:
        labels = match_labels(spec) if selector is None else selector
        return [Target("" if ref.namespace == root else ref.namespace, labels)]
    found: list[Target] = []
    for reference in references:
        kind, name = text(reference.get("kind")), text(reference.get("name"))
        if kind == "Gateway":
            found.append(Target(ref.namespace, {GATEWAY_NAME: name}))
        else:
            problems.add(
                f"{ref.kind.lower()}.target",
                ref,
                f"{ref}: target {kind} {name} needs a waypoint proxy, which this mesh does not have",
            )
    return found


def labels_of(value: Any) -> Mapping[str, str]:
    """``workloadSelector.labels`` of older resources."""
    labels = mapping(mapping(value).get("labels"))
    return {key: item for key, item in sorted(labels.items()) if isinstance(item, str)}
