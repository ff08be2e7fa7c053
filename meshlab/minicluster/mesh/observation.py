"""What proxies tell of the traffic (Istio: a Telemetry): access logs, traces, metrics; by workload, and by side.

A workload obeys at most one rule set for the whole mesh and one for its namespace, the oldest of each, and all that
select it. Narrower ones are laid over wider ones, younger over older, as istio/istio, pilot/pkg/model/telemetry.go,
merges them; what that makes of metrics and traces is in `mesh.metrics` and `mesh.tracing`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from meshlab.minicluster.mesh.providers import AccessLog, AccessLogSink, CustomTag

if TYPE_CHECKING:
    from meshlab.minicluster.mesh.model import ConfigRef

Side = Literal["CLIENT", "SERVER"]
"""Of a request: gateways and outbound listeners are clients."""
ALL_METRICS = ""


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
    """One say in traces; what is None is left to the wider rule."""

    providers: tuple[str, ...] = ()
    side: Side | None = None
    disabled: bool | None = None
    sampling_percent: float | None = None
    tags: tuple[CustomTag, ...] | None = None
    mesh_tags: bool | None = None
    """Whether spans tell what the mesh knows of the workload."""
    by_request_id: bool | None = None
    """Whether an ``x-request-id`` that comes along decides on the trace."""
    silent: bool | None = None
    """Whether the context of a trace is kept from the servers."""


@dataclass(frozen=True, slots=True)
class MetricRule:
    """One say in a metric, or in all of them."""

    metric: str = ALL_METRICS
    """The statistic's name, such as ``requests_total``; empty: every standard one."""
    side: Side | None = None
    disabled: bool | None = None
    tags: tuple[tuple[str, str | None], ...] = ()
    """Labels, and the expressions over a request that give their values; None: the label is left out."""


@dataclass(frozen=True, slots=True)
class MetricRules:
    """What holds for the metrics of some providers."""

    providers: tuple[str, ...] = ()
    """Names of those who take metrics; empty: those of the rules before."""
    overrides: tuple[MetricRule, ...] = ()


@dataclass(frozen=True, slots=True)
class Observation:
    """The rules of one resource."""

    namespace: str
    """Empty: the whole mesh."""
    selector: Mapping[str, str]
    ref: ConfigRef
    logging: tuple[LoggingRule, ...] = ()
    tracing: tuple[TracingRule, ...] = ()
    metrics: tuple[MetricRules, ...] = ()
    created: str = ""


def applying(observations: Iterable[Observation], namespace: str, labels: Mapping[str, str]) -> list[Observation]:
    """The rule sets that a workload obeys, the widest first."""
    wide: dict[int, Observation] = {}
    selecting: list[Observation] = []
    for found in sorted(observations, key=lambda o: (o.created, o.ref.name, o.ref.namespace)):
        if found.selector:
            if found.namespace == namespace and found.selector.items() <= labels.items():
                selecting.append(found)
        elif found.namespace in ("", namespace):
            wide.setdefault(1 if found.namespace else 0, found)
    return [*(wide[level] for level in sorted(wide)), *selecting]


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
    """A condition belongs to the provider that its rule names, as upstream; a rule that names none has none."""
    for rules in levels:
        concerning = [rule for rule in rules if rule.side in (None, side)]
        written |= {name: rule.condition for rule in concerning for name in rule.providers}
        in_scope = tuple(name for rule in concerning for name in rule.providers) or in_scope
    inherited = tuple(defaults)
    for rule in (rule for rules in levels for rule in rules):
        inherited = rule.providers or inherited
        for name in inherited:
            if name not in in_scope or rule.side not in (None, side):
                continue
            if rule.disabled:
                conditions.pop(name, None)
            else:
                conditions[name] = written.get(name, "")
    by_name = {sink.name.lower(): sink for sink in reversed(sinks)}
    return tuple(
        AccessLog(by_name[name.lower()], condition)
        for name, condition in sorted(conditions.items())
        if name.lower() in by_name
    )
