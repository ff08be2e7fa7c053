"""What a delete does to an object: remove it, or announce the removal to those who still have to act.

A grace period leaves the node time to stop a pod; finalizers leave time to whoever put them there, the garbage
collector among them, whose two (``foregroundDeletion``, ``orphan``) come from the propagation policy.
"""

from __future__ import annotations

import datetime

from meshlab.minicluster.apiserver.requests import DeleteOptions
from meshlab.minicluster.apiserver.strategies.base import Strategy, timestamp
from meshlab.minicluster.kubeapi import Obj

FOREGROUND = "foregroundDeletion"
ORPHAN = "orphan"
_BY_POLICY = {"Foreground": FOREGROUND, "Orphan": ORPHAN}


def decide(strategy: Strategy, obj: Obj, options: DeleteOptions, now: datetime.datetime) -> Obj | None:
    """The object as the delete leaves it, or None if it goes at once.

    Args:
        strategy: knows the grace period and what else holds the object.
        obj: the object as stored; it is not changed.
        options: what the client asked for.
        now: the current time.
    """
    metadata = dict(obj["metadata"])
    finalizers = _finalizers(metadata, options)
    if finalizers:
        metadata["finalizers"] = finalizers
    else:
        metadata.pop("finalizers", None)
    if metadata.get("deletionTimestamp"):
        _shorten(strategy, obj, metadata, options)
    else:
        grace_s = strategy.grace_period_s(obj, options.grace_period_s)
        metadata["deletionTimestamp"] = timestamp(now + datetime.timedelta(seconds=grace_s))
        metadata["deletionGracePeriodSeconds"] = grace_s
        if "generation" in metadata:
            metadata["generation"] += 1
    announced = strategy.announce_deletion({**obj, "metadata": metadata})
    return announced if strategy.is_held(announced) else None


def _finalizers(metadata: Obj, options: DeleteOptions) -> list[str]:
    finalizers = list(metadata.get("finalizers") or ())
    if options.propagation is None:
        return finalizers
    wanted = _BY_POLICY.get(options.propagation)
    kept = [finalizer for finalizer in finalizers if finalizer not in _BY_POLICY.values() or finalizer == wanted]
    if wanted is not None and wanted not in kept:
        kept.append(wanted)
    return kept


def _shorten(strategy: Strategy, obj: Obj, metadata: Obj, options: DeleteOptions) -> None:
    """A repeated delete may only bring the end nearer."""
    current = metadata.get("deletionGracePeriodSeconds") or 0
    if options.grace_period_s is None or current == 0:
        return
    grace_s = strategy.grace_period_s(obj, options.grace_period_s)
    if grace_s >= current:
        return
    announced = datetime.datetime.fromisoformat(metadata["deletionTimestamp"])
    metadata["deletionTimestamp"] = timestamp(announced - datetime.timedelta(seconds=current - grace_s))
    metadata["deletionGracePeriodSeconds"] = grace_s
