"""Filters of policies, laid over listeners that were built without knowing of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.envoy.filters import CONNECTION_MANAGER, FAULT_FILTER


@dataclass(frozen=True, slots=True)
class PolicyFilters:
    """What stands in front of a workload."""

    http: Sequence[Obj] = ()
    """Between what tells who calls, and what acts on routes."""
    network: Sequence[Obj] = ()
    """For connections that carry no HTTP."""


def guarded(listener: Obj, policies: PolicyFilters) -> Obj:
    """The listener with policies in front of everything that handles requests or connections."""
    if not policies.http and not policies.network:
        return listener
    chains = [{**chain, "filters": _guarded(chain["filters"], policies)} for chain in listener["filter_chains"]]
    return {**listener, "filter_chains": chains}


def _guarded(filters: Sequence[Obj], policies: PolicyFilters) -> list[Obj]:
    last = filters[-1]
    if last["name"] != CONNECTION_MANAGER:
        return [*filters[:-1], *policies.network, last]
    manager = last["typed_config"]
    http: Sequence[Obj] = manager["http_filters"]
    position = next(index for index, item in enumerate(http) if item["name"] == FAULT_FILTER)
    inserted = [*http[:position], *policies.http, *http[position:]]
    return [*filters[:-1], {**last, "typed_config": {**manager, "http_filters": inserted}}]
