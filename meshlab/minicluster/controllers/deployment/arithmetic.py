"""The arithmetic of a rollout: how many pods each ReplicaSet may have next. Pure functions of Deployments and sets.

After ``pkg/controller/deployment`` and its ``util`` in kubernetes/kubernetes; the names are upstream's where there is
one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from meshlab.minicluster.controllers.cache import get_path
from meshlab.minicluster.controllers.timestamps import parse_time
from meshlab.minicluster.kubeapi import Obj

REVISION = "deployment.kubernetes.io/revision"
REVISION_HISTORY = "deployment.kubernetes.io/revision-history"
DESIRED_REPLICAS = "deployment.kubernetes.io/desired-replicas"
MAX_REPLICAS = "deployment.kubernetes.io/max-replicas"
HASH_LABEL = "pod-template-hash"


def replicas_of(obj: Obj) -> int:
    """``spec.replicas``, which defaults to 1."""
    replicas = obj["spec"].get("replicas")
    return 1 if replicas is None else int(replicas)


def status_count(obj: Obj | None, field: str) -> int:
    """A count in the status; 0 if it is absent."""
    return int(get_path(obj, "status", field, default=0))


def spec_total(sets: Sequence[Obj]) -> int:
    """The replicas that these ReplicaSets ask for."""
    return sum(replicas_of(each) for each in sets)


def is_rolling_update(deployment: Obj) -> bool:
    """Whether the strategy is RollingUpdate (the default)."""
    return bool(get_path(deployment, "spec", "strategy", "type", default="RollingUpdate") == "RollingUpdate")


def int_or_percent(value: int | str | None, total: int, *, round_up: bool, default: int | str) -> int:
    """An ``IntOrString`` as a number of replicas."""
    if value is None:
        value = default
    if isinstance(value, str) and value.endswith("%"):
        share = total * int(value[:-1]) / 100
        return math.ceil(share) if round_up else math.floor(share)
    return int(value)


def fenceposts(deployment: Obj) -> tuple[int, int]:
    """(maxSurge, maxUnavailable) as numbers; both zero would never move, so then one may be unavailable."""
    rolling = get_path(deployment, "spec", "strategy", "rollingUpdate", default={})
    total = replicas_of(deployment)
    surge = int_or_percent(rolling.get("maxSurge"), total, round_up=True, default="25%")
    unavailable = int_or_percent(rolling.get("maxUnavailable"), total, round_up=False, default="25%")
    if surge == 0 and unavailable == 0:
        unavailable = 1
    return surge, unavailable


def max_surge(deployment: Obj) -> int:
    """How many pods there may be above ``spec.replicas``."""
    return fenceposts(deployment)[0] if is_rolling_update(deployment) else 0


def max_unavailable(deployment: Obj) -> int:
    """How many of ``spec.replicas`` may be unavailable."""
    if not is_rolling_update(deployment) or replicas_of(deployment) == 0:
        return 0
    return min(fenceposts(deployment)[1], replicas_of(deployment))


def by_age(sets: Sequence[Obj]) -> list[Obj]:
    """Oldest first, then by name."""
    return sorted(sets, key=lambda s: (parse_time(s["metadata"].get("creationTimestamp")), s["metadata"]["name"]))


def by_size(sets: Sequence[Obj], *, newer_first: bool) -> list[Obj]:
    """Largest first; among equals the newer or the older one."""
    ordered = by_age(sets)
    if newer_first:
        ordered.reverse()
    return sorted(ordered, key=lambda s: -replicas_of(s))


def new_set_size(deployment: Obj, sets: Sequence[Obj], new_set: Obj | None) -> int:
    """How many replicas the new ReplicaSet may have now (upstream's ``NewRSNewReplicas``).

    Args:
        deployment: as read.
        sets: all its ReplicaSets, the new one among them if it exists.
        new_set: the new one, or None if it is about to be created.
    """
    wanted = replicas_of(deployment)
    if not is_rolling_update(deployment):
        return wanted
    current = replicas_of(new_set) if new_set is not None else 0
    room = wanted + max_surge(deployment) - spec_total(sets)
    if room <= 0:
        return current
    return current + min(room, wanted - current)


def scale_down_old(deployment: Obj, old_sets: Sequence[Obj], new_set: Obj) -> dict[str, int]:
    """The new sizes (by name) of the old ReplicaSets that may shrink now.

    First the replicas that are not available anyway, then as many available ones as maxUnavailable permits; oldest
    ReplicaSet first (upstream's ``reconcileOldReplicaSets``).
    """
    sizes = {each["metadata"]["name"]: replicas_of(each) for each in old_sets}
    before = dict(sizes)
    min_available = replicas_of(deployment) - max_unavailable(deployment)
    new_unavailable = replicas_of(new_set) - status_count(new_set, "availableReplicas")
    budget = spec_total([*old_sets, new_set]) - min_available - new_unavailable
    if sum(sizes.values()) == 0 or budget <= 0:
        return {}
    ordered = by_age(old_sets)
    for each in ordered:
        name = each["metadata"]["name"]
        unhealthy = min(budget, sizes[name] - status_count(each, "availableReplicas"))
        if unhealthy > 0:
            sizes[name] -= unhealthy
            budget -= unhealthy
    available = sum(status_count(each, "availableReplicas") for each in [*old_sets, new_set])
    surplus = available - min_available
    for each in ordered:
        if surplus <= 0:
            break
        name = each["metadata"]["name"]
        fewer = min(sizes[name], surplus)
        sizes[name] -= fewer
        surplus -= fewer
    return {name: size for name, size in sizes.items() if size != before[name]}


def _annotation(obj: Obj, name: str) -> int | None:
    text = get_path(obj, "metadata", "annotations", name)
    try:
        return int(text) if text is not None else None
    except ValueError:
        return None


def revision_of(obj: Obj) -> int:
    """The revision annotation; 0 if there is none."""
    return _annotation(obj, REVISION) or 0


def is_scaling(deployment: Obj, sets: Sequence[Obj]) -> bool:
    """Whether ``spec.replicas`` changed since the active ReplicaSets were sized."""
    return any(
        desired != replicas_of(deployment)
        for each in sets
        if replicas_of(each) > 0 and (desired := _annotation(each, DESIRED_REPLICAS)) is not None
    )


def is_saturated(deployment: Obj, new_set: Obj | None) -> bool:
    """Whether the new ReplicaSet alone carries the Deployment."""
    if new_set is None:
        return False
    wanted = replicas_of(deployment)
    return (
        replicas_of(new_set) == wanted
        and _annotation(new_set, DESIRED_REPLICAS) == wanted
        and status_count(new_set, "availableReplicas") == wanted
    )


def proportional_sizes(deployment: Obj, active: Sequence[Obj]) -> list[tuple[Obj, int]]:
    """The new size of each active ReplicaSet when a Deployment is scaled in the middle of a rollout.

    Each grows or shrinks in proportion to its size; what rounding leaves over goes to the largest.
    """
    wanted = replicas_of(deployment)
    allowed = wanted + max_surge(deployment) if wanted > 0 else 0
    to_add = allowed - spec_total(active)
    ordered = by_size(active, newer_first=to_add > 0)
    added = 0
    sizes: list[int] = []
    for each in ordered:
        share = _proportion(each, deployment, to_add, added)
        sizes.append(replicas_of(each) + share)
        added += share
    if sizes and to_add:
        sizes[0] = max(0, sizes[0] + to_add - added)
    return list(zip(ordered, sizes, strict=True))


def _proportion(each: Obj, deployment: Obj, to_add: int, added: int) -> int:
    size = replicas_of(each)
    if size == 0 or to_add in (0, added):
        return 0
    left = to_add - added
    wanted = replicas_of(deployment)
    if wanted == 0:
        fraction = -size
    else:
        before = _annotation(each, MAX_REPLICAS) or status_count(deployment, "replicas") or wanted
        fraction = round(size * (wanted + max_surge(deployment)) / before) - size
    return min(fraction, left) if to_add > 0 else max(fraction, left)
