"""Counters that telemetry rules change: metrics left out, labels left out, labels with values of one's own.

Istio's filter ``istio.stats`` evaluates expressions as Envoy's filters do; here Envoy's command ``%CEL()%`` does, in
tags of the counters (`envoy.telemetry`). What only the agent can do, it is told by one more tag.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh import cel
from meshlab.minicluster.mesh.envoy.telemetry import STATS_LOGGER
from meshlab.minicluster.mesh.metrics import Changes, MetricChange
from meshlab.minicluster.mesh.observation import Side
from meshlab.minicluster.mesh.telemetry import PEER_FIELDS, PEER_MARK, SEPARATOR, TAG_PREFIX, WITHOUT_TAG

PEERS: Mapping[Side, str] = {"CLIENT": "filter_state.upstream_peer", "SERVER": "filter_state.downstream_peer"}
"""Istio's name for the peer that a proxy knows on a side."""
PROXIED = {"destination.port": "int(xds.cluster_metadata.filter_metadata['istio']['default_original_port'])"}
"""Where programs ask a proxy, the request does not come to the service's port: the cluster knows it."""
_END_OF_COMMAND = re.compile(r"\)(?=[%:])")


def counting(logger: Obj, changes: Changes | None, side: Side, names: Mapping[str, str]) -> Obj | None:
    """A logger with the changes; None if nothing is left that it counts.

    Args:
        logger: any logger; those that do not count stay as they are.
        changes: by statistic; None: nothing is counted.
        side: of the requests.
        names: attributes that have another name in this proxy.
    """
    if logger["name"] != STATS_LOGGER or changes == {}:
        return logger
    if changes is None:
        return None
    config = dict(logger["typed_config"])
    for group in ("counters", "histograms"):
        kept = [
            {**found, "stat": _stat(found["stat"], changes.get(found["stat"]["name"]), side, names)}
            for found in config.get(group, ())
            if not ((change := changes.get(found["stat"]["name"])) and change.dropped)
        ]
        if group in config:
            config[group] = kept
    if not config.get("counters") and not config.get("histograms"):
        return None
    return {**logger, "typed_config": config}


def _stat(stat: Obj, change: MetricChange | None, side: Side, names: Mapping[str, str]) -> Obj:
    if change is None or not change.tags:
        return stat
    peer = {f"{PEERS[side]}.{field}": f"'{PEER_MARK % ours}'" for field, ours in PEER_FIELDS.items()}
    tags: list[Obj] = []
    for label, expression in change.tags.items():
        if expression is not None:
            known = cel.with_known(expression, {PEERS[side]: True})
            # The agent fills in a peer where it is written; what is compared with it stays unknown.
            written = {path: mark for path, mark in peer.items() if path in cel.results(known)}
            tags.append(
                {"name": TAG_PREFIX + label, "value_format": _commands(cel.renamed(known, {**names, **written}))}
            )
    removed = [label for label, expression in change.tags.items() if expression is None]
    if removed:
        tags.append({"name": WITHOUT_TAG, "value_format": SEPARATOR.join(removed)})
    return {**stat, "tags": [*stat["tags"], *tags]}


@cache
def _commands(expression: str) -> str:
    """The commands that write the value of an expression; each ends at its first ``)%``."""
    parts = [" ".join(part.splitlines()) for part in cel.text_parts(expression)]
    return "".join(f"%CEL({_END_OF_COMMAND.sub(') ', part)})%" for part in parts)
