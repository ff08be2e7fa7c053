"""What proxies tell of the traffic (Istio: a Telemetry): access logs, traces, metrics; by workload, and by side.

A workload obeys at most one rule set for the whole mesh, one for its namespace, and one that selects it, the oldest of
each. Narrower ones are laid over wider ones, as istio/istio, pilot/pkg/model/telemetry.go, merges them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from meshlab.minicluster.mesh.providers import AccessLog, AccessLogSink

if TYPE_CHECKING:
    from meshlab.minicluster.mesh.model import ConfigRef

Side = Literal["CLIENT", "SERVER"]
"""Of a request: gateways and outbound listeners are clients."""


@dataclass(frozen=True, slots=True)
class LoggingRule:
    """One say in access logs."""

    providers: tuple[str, ...] = ()
    """Names of sinks; empty: those of the wider rule."""
    disabled: bool = False
    side: Side | None = None
    """None: both."""
    condition: str = ""


@dataclass(frozen=True, slots=True)
class TracingRule:
    """One say in traces."""

    providers: tuple[str, ...] = ()
    side: Side | None = None
    disabled: bool | None = None
    sampling_percent: float | None = None


@dataclass(frozen=True, slots=True)
class MetricRule:
    """One say in a metric."""

    metric: str
    """Istio's name such as ``REQUEST_COUNT``; ``ALL_METRICS``: every one."""
    side: Side | None = None
    disabled: bool | None = None


@dataclass(frozen=True, slots=True)
class Observation:
    """The rules of one resource."""

    namespace: str
    """Empty: the whole mesh."""
    selector: Mapping[str, str]
    ref: ConfigRef
    logging: tuple[LoggingRule, ...] = ()
    tracing: tuple[TracingRule, ...] = ()
    metrics: tuple[MetricRule, ...] = ()
    created: str = ""


def applying(observations: Iterable[Observation], namespace: str, labels: Mapping[str, str]) -> list[Observation]:
    """The rule sets that a workload obeys, the widest first."""
    levels: dict[int, Observation] = {}
    for found in sorted(observations, key=lambda o: (o.created, o.ref.name, o.ref.namespace)):
        if found.selector:
            if found.namespace == namespace and found.selector.items() <= labels.items():
                levels.setdefault(2, found)
        elif found.namespace in ("", namespace):
            levels.setdefault(1 if found.namespace else 0, found)
    return [levels[level] for level in sorted(levels)]


def access_logs(
    observations: Sequence[Observation], sinks: Sequence[AccessLogSink], defaults: Sequence[str], side: Side
) -> tuple[AccessLog, ...] | None:
    """The access logs of a workload on one side; None if only the mesh's configuration speaks of them.

    Args:
        observations: what `applying` found.
        sinks: the sinks that the mesh's configuration names.
        defaults: names of the sinks that are used unless a rule names others.
        side: of the requests.
    """
    levels = [found.logging for found in observations if found.logging]
    if not levels and not defaults:
        return None
    conditions: dict[str, str] = dict.fromkeys(defaults, "") if not levels else {}
    in_scope = tuple(defaults)
    written: dict[str, str] = {}
    for rules in levels:
        named = tuple(name for rule in rules for name in rule.providers)
        written |= {name: rule.condition for rule in rules for name in rule.providers}
        in_scope = named or in_scope
    inherited = tuple(defaults)
    for rule in (rule for rules in levels for rule in rules):
        inherited = rule.providers or inherited
        for name in inherited:
            if name not in in_scope or rule.side not in (None, side):
                continue
            if rule.disabled:
                conditions.pop(name, None)
            else:
                conditions[name] = written.get(name, "") or (rule.condition if not rule.providers else "")
    by_name = {sink.name.lower(): sink for sink in reversed(sinks)}
    return tuple(
        AccessLog(by_name[name.lower()], condition)
        for name, condition in sorted(conditions.items())
        if name.lower() in by_name
    )


def disabled_metrics(observations: Sequence[Observation], side: Side) -> frozenset[str]:
    """The metrics that a workload does not count on one side; ``ALL_METRICS`` stands for every one."""
    found: set[str] = set()
    for rule in (rule for observation in observations for rule in observation.metrics):
        if rule.disabled is None or rule.side not in (None, side):
            continue
        if not rule.disabled:
            found.discard("ALL_METRICS")
            found.discard(rule.metric)
        else:
            found.add(rule.metric)
    return frozenset(found)
