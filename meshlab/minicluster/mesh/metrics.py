"""The mesh's standard metrics, and what telemetry rules change in them.

Upstream's ``mergeMetrics`` (istio/istio, pilot/pkg/model/telemetry.go) is the specification: rules are laid over each
other per provider, later ones win label by label, and who takes metrics is what the last rule says that names anybody.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from meshlab.minicluster.mesh.observation import ALL_METRICS, MetricRules, Observation, Side

STANDARD = {
    "REQUEST_COUNT": "requests_total",
    "REQUEST_DURATION": "request_duration_milliseconds",
    "REQUEST_SIZE": "request_bytes",
    "RESPONSE_SIZE": "response_bytes",
    "TCP_OPENED_CONNECTIONS": "tcp_connections_opened_total",
    "TCP_CLOSED_CONNECTIONS": "tcp_connections_closed_total",
    "TCP_SENT_BYTES": "tcp_sent_bytes_total",
    "TCP_RECEIVED_BYTES": "tcp_received_bytes_total",
    "GRPC_REQUEST_MESSAGES": "request_messages_total",
    "GRPC_RESPONSE_MESSAGES": "response_messages_total",
}
"""Istio's names for metrics in resources -> in statistics."""


@dataclass(frozen=True, slots=True)
class MetricChange:
    """How a metric differs from the standard."""

    dropped: bool = False
    tags: Mapping[str, str | None] = field(default_factory=dict)
    """Labels, sorted: the expression that gives the value; None: left out."""


Changes = Mapping[str, MetricChange]
"""By statistic; one that is not there is as the standard wants it."""


def metric_changes(
    observations: Sequence[Observation], counting: frozenset[str], defaults: Sequence[str], side: Side
) -> Changes | None:
    """What a workload counts otherwise than usual on one side; None if it counts nothing.

    Args:
        observations: what `observation.applying` found.
        counting: names of the providers whose metrics a proxy counts, in small letters.
        defaults: names of the providers that are used unless a rule names others.
        side: of the requests.
    """
    rules = [found for observation in observations for found in observation.metrics]
    in_scope = next((found.providers for found in reversed(rules) if found.providers), tuple(defaults))
    changes: dict[str, _Provider] = {} if rules else {name: _Provider() for name in in_scope}
    inherited = tuple(defaults)
    for found in rules:
        inherited = found.providers or inherited
        for name in (name for name in inherited if name in in_scope):
            changes.setdefault(name, _Provider()).apply(found, side)
    for name, provider in sorted(changes.items()):
        if name.lower() in counting:
            return None if provider.disabled else provider.changes()
    return None


@dataclass(slots=True)
class _Provider:
    """What has been said of one provider's metrics so far."""

    disabled: bool = False
    dropped: dict[str, bool] = field(default_factory=dict)
    tags: dict[str, dict[str, str | None]] = field(default_factory=dict)

    def apply(self, rules: MetricRules, side: Side) -> None:
        for rule in rules.overrides:
            if rule.side not in (None, side):
                continue
            if rule.metric == ALL_METRICS and rule.disabled:
                self.disabled = True
                continue
            # Whoever says anything of a metric wants metrics again.
            self.disabled = False
            for metric in STANDARD.values() if rule.metric == ALL_METRICS else (rule.metric,):
                if rule.disabled is not None:
                    self.dropped[metric] = rule.disabled
                self.tags.setdefault(metric, {}).update(rule.tags)

    def changes(self) -> Changes:
        return {
            metric: MetricChange(self.dropped.get(metric, False), dict(sorted(tags.items())))
            for metric, tags in sorted(self.tags.items())
        }
