"""Telemetry of one proxy: what its listeners log, count and trace, where that differs from the mesh's usual."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.envoy.accesslogs import logger
from meshlab.minicluster.mesh.envoy.filelogs import access_logs
from meshlab.minicluster.mesh.envoy.filters import CONNECTION_MANAGER, TCP_PROXY
from meshlab.minicluster.mesh.envoy.metricchanges import PROXIED, counting
from meshlab.minicluster.mesh.envoy.tracing import tracing_members
from meshlab.minicluster.mesh.envoy.vocabulary import HTTP_PROXY, TUNNEL
from meshlab.minicluster.mesh.metrics import Changes, metric_changes
from meshlab.minicluster.mesh.model import Labels, ProxyNode
from meshlab.minicluster.mesh.observation import Observation, Side, applying
from meshlab.minicluster.mesh.observation import access_logs as observed_logs
from meshlab.minicluster.mesh.providers import AccessLog
from meshlab.minicluster.mesh.scope import Scope
from meshlab.minicluster.mesh.tracing import tracing_spec


@dataclass(frozen=True, slots=True)
class ProxyTelemetry:
    """What both sides of a proxy tell of their requests."""

    client: _SideTelemetry
    server: _SideTelemetry

    def apply(self, listener: Obj) -> Obj:
        """The listener, telling what it should."""
        side = self.server if listener.get("traffic_direction") == "INBOUND" else self.client
        return side.apply(listener)

    @property
    def client_identity(self) -> str:
        """Equal for proxies whose clients' side tells the same, so that they can share listeners."""
        return self.client.identity


def proxy_telemetry(scope: Scope, proxy: ProxyNode, labels: Labels) -> ProxyTelemetry:
    """What a proxy tells."""
    observations = applying(scope.mesh.observations, proxy.namespace, labels)
    return ProxyTelemetry(_side(observations, scope, proxy, "CLIENT"), _side(observations, scope, proxy, "SERVER"))


@dataclass(frozen=True, slots=True)
class _SideTelemetry:
    side: Side
    scope: Scope
    usual: Sequence[Obj]
    """The loggers that the mesh's configuration gives every listener."""
    logs: Sequence[AccessLog] | None
    """What is logged instead; None: the usual."""
    changes: Changes | None
    """Of metrics; None: nothing is counted."""
    tracing: Obj
    """Members of connection managers."""

    @property
    def identity(self) -> str:
        return json.dumps([repr(self.logs), repr(self.changes), self.tracing])

    def apply(self, listener: Obj) -> Obj:
        if not self.tracing and self.logs is None and self.changes == {}:
            return listener
        # Programs that ask the proxy by its port do not connect to the service's.
        names = PROXIED if listener["name"] in (HTTP_PROXY, TUNNEL) else {}
        logs = self._loggers(names)
        found = {**listener, "filter_chains": [self._chain(chain, logs, names) for chain in listener["filter_chains"]]}
        if "default_filter_chain" in listener:
            found["default_filter_chain"] = self._chain(listener["default_filter_chain"], logs, names)
        return found

    def _loggers(self, names: Mapping[str, str]) -> Sequence[Obj]:
        if self.logs is None:
            return self.usual
        return [found for log in self.logs if (found := logger(log, names, self.scope)) is not None]

    def _chain(self, chain: Obj, logs: Sequence[Obj], names: Mapping[str, str]) -> Obj:
        return {**chain, "filters": [self._filter(item, logs, names) for item in chain["filters"]]}

    def _filter(self, item: Obj, logs: Sequence[Obj], names: Mapping[str, str]) -> Obj:
        if item["name"] not in (CONNECTION_MANAGER, TCP_PROXY):
            return item
        http, config = item["name"] == CONNECTION_MANAGER, item["typed_config"]
        counters = [
            counting(each, self.changes, self.side, names)
            for each in config.get("access_log", ())
            if each not in self.usual
        ]
        kind = "http_grpc" if http else "tcp_grpc"
        written = [log for log in logs if not str(log["name"]).endswith("_grpc") or kind in log["name"]]
        members = {"access_log": [*written, *(each for each in counters if each is not None)]}
        return {**item, "typed_config": {**config, **members, **(self.tracing if http else {})}}


def _side(observations: Sequence[Observation], scope: Scope, proxy: ProxyNode, side: Side) -> _SideTelemetry:
    settings = scope.mesh.settings
    return _SideTelemetry(
        side=side,
        scope=scope,
        usual=access_logs(settings),
        logs=observed_logs(observations, settings.sinks, settings.default_sinks, side),
        changes=metric_changes(observations, settings.metric_providers, settings.default_metrics, side),
        tracing=tracing_members(tracing_spec(observations, settings.tracing, side), proxy, scope),
    )
