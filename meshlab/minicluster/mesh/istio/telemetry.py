"""Telemetry: which proxies log, trace and count what."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.istio.reading import Problems, boolean, created, mapping, number, objects, text
from meshlab.minicluster.mesh.istio.targets import targets
from meshlab.minicluster.mesh.model import ConfigRef
from meshlab.minicluster.mesh.observation import LoggingRule, MetricRule, Observation, Side, TracingRule

SIDES: Mapping[str, Side] = {"CLIENT": "CLIENT", "SERVER": "SERVER"}
ALL_METRICS = "ALL_METRICS"


def translate_telemetry(
    obj: Obj, ref: ConfigRef, root: str, providers: frozenset[str], problems: Problems
) -> list[Observation]:
    """The rules of one Telemetry, once for each of its targets.

    Args:
        obj: the resource.
        ref: its reference.
        root: the root namespace.
        providers: the names of all extension providers, in small letters.
        problems: told what has no effect.
    """
    spec = mapping(obj.get("spec"))
    for section in ("accessLogging", "tracing", "metrics"):
        for name in (name for item in objects(spec.get(section)) for name in _providers(item)):
            if name.lower() not in providers:
                problems.add("telemetry.provider", ref, f"{ref}: {section} names {name}, which is no provider")
    logging = tuple(
        LoggingRule(
            providers=_providers(item),
            disabled=boolean(item.get("disabled")) or False,
            side=_side(item),
            condition=text(mapping(item.get("filter")).get("expression")),
        )
        for item in objects(spec.get("accessLogging"))
    )
    tracing = tuple(
        TracingRule(
            providers=_providers(item),
            side=_side(item),
            disabled=boolean(item.get("disableSpanReporting")),
            sampling_percent=number(item.get("randomSamplingPercentage")),
        )
        for item in objects(spec.get("tracing"))
    )
    metrics = tuple(_metric(item, ref, problems) for m in objects(spec.get("metrics")) for item in _overrides(m))
    return [
        Observation(target.namespace, target.selector, ref, logging, tracing, metrics, created(obj))
        for target in targets(spec, ref, root, problems)
    ]


def _overrides(item: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return objects(item.get("overrides"))


def _metric(item: Mapping[str, Any], ref: ConfigRef, problems: Problems) -> MetricRule:
    match = mapping(item.get("match"))
    if item.get("tagOverrides"):
        problems.add("telemetry.tags", ref, f"{ref}: tagOverrides have no effect: labels of metrics are fixed here")
    return MetricRule(
        metric=text(match.get("metric")) or text(match.get("customMetric")) or ALL_METRICS,
        side=SIDES.get(text(match.get("mode"))),
        disabled=boolean(item.get("disabled")),
    )


def _providers(item: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(text(provider.get("name")) for provider in objects(item.get("providers")))


def _side(item: Mapping[str, Any]) -> Side | None:
    return SIDES.get(text(mapping(item.get("match")).get("mode")))
