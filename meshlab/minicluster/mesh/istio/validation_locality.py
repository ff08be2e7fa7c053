"""What makes the locality settings of a load balancer invalid: weights, regions, and localities that overlap."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from meshlab.minicluster.mesh.istio.reading import mapping, objects, text, texts
from meshlab.minicluster.mesh.istio.validation_common import Caution, Messages

TOPOLOGY_LABELS = ("topology.kubernetes.io/region", "topology.kubernetes.io/zone", "topology.istio.io/subzone")


def locality_setting(setting: Any, *, outlier_detection: bool) -> Messages:
    """``localityLbSetting``.

    Args:
        setting: the field, or None.
        outlier_detection: whether the policy around it notices when a locality is down.
    """
    given = mapping(setting)
    distribute, failover = objects(given.get("distribute")), objects(given.get("failover"))
    priority = texts(given.get("failoverPriority"))
    if distribute and failover:
        yield "can not simultaneously specify 'distribute' and 'failover'"
        return
    if failover and (label := next((label for label in priority if label in TOPOLOGY_LABELS), None)):
        yield f"can not simultaneously set 'failover' and topology label '{label}' in 'failover_priority'"
        return
    for share in distribute:
        weights = mapping(share.get("to"))
        if not all(isinstance(weight, int) and 0 < weight <= 100 for weight in weights.values()):
            yield "locality weight must be in range [1, 100]"
            return
        if sum(weights.values()) != 100:
            yield f"total locality weight {sum(weights.values())} != 100"
            return
        yield from _localities(tuple(weights))
    yield from _localities([text(share.get("from")) for share in distribute])
    if (failover or priority) and not outlier_detection:
        yield Caution("outlier detection policy must be provided for failover")
    for pair in failover:
        yield from _failover(pair)


def _failover(pair: Mapping[str, Any]) -> Messages:
    source, target = text(pair.get("from")), text(pair.get("to"))
    if source == target:
        yield "locality lb failover settings must specify different regions"
    if "/" in source + target:
        yield "locality lb failover only specify region"
    if "*" in source + target:
        yield "locality lb failover region should not contain '*' wildcard"


def _localities(localities: Sequence[str]) -> Messages:
    """``region/zone/subzone`` names, of which none may lie within another; the first fault is told."""
    seen: list[list[str]] = []
    for locality in localities:
        if "*" in locality and (locality.count("*") > 1 or not locality.endswith("*")):
            yield f"locality {locality} wildcard '*' number can not exceed 1 and must be in the end"
            return
        parts = locality.split("/", 2)
        if ["*"] not in seen and not all(parts):
            yield f"locality {locality} must not contain empty region/zone/subzone info"
            return
        own = parts[:-1] if parts[-1] == "*" and len(parts) > 1 else parts
        if any(other == ["*"] or _within(own, other) for other in seen):
            yield f"locality {locality} overlap with previous specified ones"
            return
        seen.append(own)


def _within(one: Sequence[str], other: Sequence[str]) -> bool:
    shared = min(len(one), len(other))
    return list(one[:shared]) == list(other[:shared])
