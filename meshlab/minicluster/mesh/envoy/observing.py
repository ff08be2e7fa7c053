"""Telemetry of one proxy: what its listeners log, count and trace, where that differs from the mesh's usual."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.envoy.accesslogs import logger
from meshlab.minicluster.mesh.envoy.filelogs import access_logs
from meshlab.minicluster.mesh.envoy.filters import CONNECTION_MANAGER, TCP_PROXY
from meshlab.minicluster.mesh.envoy.metricchanges import PROXIED, counting
from meshlab.minicluster.mesh.envoy.tracing import tracing_members
from meshlab.minicluster.mesh.metrics import Changes, metric_changes
from meshlab.minicluster.mesh.model import Labels, ProxyNode
from meshlab.minicluster.mesh.observation import Observation, Side, applying
from meshlab.minicluster.mesh.observation import access_logs as observed_logs
from meshlab.minicluster.mesh.scope import Scope
from meshlab.minicluster.mesh.tracing import tracing_spec


@dataclass(frozen=True, slots=True)
class SideTelemetry:
    """What one side of a proxy tells of its requests."""

    side: Side
    usual: Sequence[Obj]
    """The loggers that the mesh's configuration gives every listener."""
    logs: Sequence[Obj]
    """What is logged instead."""
    changes: Changes | None
    """Of metrics; None: nothing is counted."""
    tracing: Obj
    """Members of connection managers."""
    names: Mapping[str, str]
    """Attributes of requests that have another name here than in upstream's proxies."""

    def apply(self, listener: Obj) -> Obj:
        """The listener, telling what it should."""
        if not self.tracing and self.logs == self.usual and self.changes == {}:
            return listener
        chains = [
            {**chain, "filters": [self._filter(item) for item in chain["filters"]]}
            for chain in listener["filter_chains"]
        ]
        return {**listener, "filter_chains": chains}

    def _filter(self, item: Obj) -> Obj:
        if item["name"] not in (CONNECTION_MANAGER, TCP_PROXY):
            return item
        http = item["name"] == CONNECTION_MANAGER
        config = item["typed_config"]
        members = {"access_log": self._loggers(config.get("access_log", ()), "http_grpc" if http else "tcp_grpc")}
        return {**item, "typed_config": {**config, **members, **(self.tracing if http else {})}}

    def _loggers(self, found: Sequence[Obj], kind: str) -> list[Obj]:
        counters = [counting(item, self.changes, self.side, self.names) for item in found if item not in self.usual]
        logs = [item for item in self.logs if not str(item["name"]).endswith("_grpc") or kind in item["name"]]
        return [*logs, *(item for item in counters if item is not None)]


def side_telemetry(scope: Scope, proxy: ProxyNode, labels: Labels) -> dict[Side, SideTelemetry]:
    """What both sides of a proxy tell."""
    observations = applying(scope.mesh.observations, proxy.namespace, labels)
    sides: tuple[Side, Side] = ("CLIENT", "SERVER")
    return {side: _side(observations, scope, proxy, side) for side in sides}


def _side(observations: Sequence[Observation], scope: Scope, proxy: ProxyNode, side: Side) -> SideTelemetry:
    settings = scope.mesh.settings
    usual = access_logs(settings)
    logs = observed_logs(observations, settings.sinks, settings.default_sinks, side)
    names = PROXIED if side == "CLIENT" and proxy.type == "sidecar" else {}
    return SideTelemetry(
        side=side,
        usual=usual,
        logs=usual if logs is None else [found for log in logs if (found := logger(log, names, scope)) is not None],
        changes=metric_changes(observations, settings.metric_providers, settings.default_metrics, side),
        tracing=tracing_members(tracing_spec(observations, settings.tracing, side), proxy, scope),
        names=names,
    )
