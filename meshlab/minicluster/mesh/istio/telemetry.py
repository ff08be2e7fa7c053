"""Telemetry: which proxies log, trace and count what."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh import cel
from meshlab.minicluster.mesh.istio.extensionproviders import provider_kinds
from meshlab.minicluster.mesh.istio.reading import Problems, boolean, created, mapping, number, objects, text
from meshlab.minicluster.mesh.istio.targets import targets
from meshlab.minicluster.mesh.istio.tracingproviders import NOT_RUN, custom_tags
from meshlab.minicluster.mesh.metrics import STANDARD
from meshlab.minicluster.mesh.model import ConfigRef
from meshlab.minicluster.mesh.observation import (
    ALL_METRICS,
    LoggingRule,
    MetricRule,
    MetricRules,
    Observation,
    Side,
    TracingRule,
)
from meshlab.minicluster.mesh.telemetry import PEER_FIELDS

SIDES: Mapping[str, Side] = {"CLIENT": "CLIENT", "SERVER": "SERVER"}
CEL_FUNCTIONS = frozenset(
    [
        *("has", "size", "contains", "startsWith", "endsWith", "matches"),
        *("int", "uint", "double", "bool", "bytes", "timestamp", "duration", "type", "dyn"),
        *("getFullYear", "getMonth", "getDate", "getDayOfMonth", "getDayOfWeek", "getDayOfYear"),
        *("getHours", "getMinutes", "getSeconds", "getMilliseconds"),
    ]
)
"""What an expression may call in a proxy: Envoy's own has neither ``string()`` nor loops."""

ATTRIBUTES = frozenset(
    ["request", "response", "source", "destination", "connection", "upstream", "metadata", "filter_state", "xds"]
)
"""The first words of what expressions may ask for; anything else is unknown, as upstream since 1.24."""
PEERS = ("upstream_peer", "downstream_peer")
_PEER_NAMES: tuple[tuple[str, ...], ...] = tuple((peer,) for peer in PEERS)

Complain = Callable[[str, str], None]
"""Takes a code and a sentence."""


def translate_telemetry(
    obj: Obj, ref: ConfigRef, root: str, mesh_config: Mapping[str, Any], problems: Problems
) -> list[Observation]:
    """The rules of one Telemetry, once for each of its targets.

    Args:
        obj: the resource.
        ref: its reference.
        root: the root namespace.
        mesh_config: Istio's MeshConfig, which names the providers.
        problems: told what has no effect.
    """
    spec = mapping(obj.get("spec"))

    def complain(code: str, sentence: str) -> None:
        problems.add(f"telemetry.{code}", ref, f"{ref}: {sentence}")

    _check_providers(spec, provider_kinds(mesh_config), complain)
    logging = tuple(
        LoggingRule(
            providers=_providers(item),
            disabled=boolean(item.get("disabled")) or False,
            side=_side(item),
            condition=text(mapping(item.get("filter")).get("expression")),
        )
        for item in objects(spec.get("accessLogging"))
        if not _is_unreadable(text(mapping(item.get("filter")).get("expression")) or "true", complain)
    )
    tracing = tuple(_tracing(item) for item in objects(spec.get("tracing")))
    metrics = tuple(_metrics(item, complain) for item in objects(spec.get("metrics")))
    return [
        # A selector picks workloads of the resource's own namespace, in the root namespace as well.
        Observation(
            ref.namespace if target.selector else target.namespace,
            target.selector,
            ref,
            logging,
            tracing,
            metrics,
            created(obj),
        )
        for target in targets(spec, ref, root, problems)
    ]


def _check_providers(spec: Mapping[str, Any], kinds: Mapping[str, str], complain: Complain) -> None:
    for section in ("accessLogging", "tracing", "metrics"):
        for name in (name for item in objects(spec.get(section)) for name in _providers(item)):
            kind = kinds.get(name.lower())
            if kind is None:
                complain("provider", f"{section} names {name}, which is no provider")
            elif section == "tracing" and kind in NOT_RUN:
                complain("tracer", f"tracing names {name}, but proxies have no tracer for {kind}")


def _tracing(item: Mapping[str, Any]) -> TracingRule:
    return TracingRule(
        providers=_providers(item),
        side=_side(item),
        disabled=boolean(item.get("disableSpanReporting")),
        sampling_percent=number(item.get("randomSamplingPercentage")),
        tags=custom_tags(item["customTags"]) if item.get("customTags") is not None else None,
        mesh_tags=boolean(item.get("enableIstioTags")),
        by_request_id=boolean(item.get("useRequestIdForTraceSampling")),
        silent=boolean(item.get("disableContextPropagation")),
    )


def _metrics(item: Mapping[str, Any], complain: Complain) -> MetricRules:
    if item.get("reportingInterval") is not None:
        complain("interval", "reportingInterval has no effect: connections are counted when they end")
    return MetricRules(
        _providers(item), tuple(_metric(override, complain) for override in objects(item.get("overrides")))
    )


def _metric(item: Mapping[str, Any], complain: Complain) -> MetricRule:
    match = mapping(item.get("match"))
    named, custom = text(match.get("metric")), text(match.get("customMetric"))
    metric = custom or STANDARD.get(named, ALL_METRICS)
    if metric not in (ALL_METRICS, *STANDARD.values()):
        complain("metric", f"there is no metric {metric}: new ones need definitions, which Telemetry cannot give")
    return MetricRule(
        metric=metric,
        side=SIDES.get(text(match.get("mode"))),
        disabled=boolean(item.get("disabled")),
        tags=tuple(_tags(mapping(item.get("tagOverrides")).items(), complain)),
    )


def _tags(given: Iterable[tuple[str, Any]], complain: Complain) -> Iterable[tuple[str, str | None]]:
    for name, override in given:
        expression = text(mapping(override).get("value"))
        removed = mapping(override).get("operation") == "REMOVE"
        # Upstream leaves a standard label out, too, if its expression cannot be read.
        if removed or _is_unreadable(expression, complain, cel.text_parts):
            yield name, None
        else:
            _check_attributes(expression, complain)
            yield name, expression


def _check_attributes(expression: str, complain: Complain) -> None:
    """Complain about what gives ``unknown``."""
    present = {f"filter_state.{peer}": True for peer in PEERS}
    for path in sorted(cel.paths(cel.with_known(expression, present))):
        name = ".".join(path)
        if path[0] not in ATTRIBUTES:
            hint = "; a node is xds.node" if path[0] == "node" else f"; a peer is filter_state.{path[0]}"
            hint = hint if path[0] in ("node", *PEERS) else ""
            complain("attribute", f"{expression!r} is unknown: requests have no attribute {path[0]}{hint}")
        elif (
            path[0] == "filter_state"
            and path[1:2] in _PEER_NAMES
            and (not (len(path) == 3 and path[2] in PEER_FIELDS) or name not in cel.results(expression))
        ):
            fields = ", ".join(PEER_FIELDS)
            complain("peer", f"{expression!r}: of a peer {fields} can be told here, but not compared or called with")


def _is_unreadable(
    expression: str, complain: Complain, parts: Callable[[str], tuple[str, ...]] = lambda expression: (expression,)
) -> bool:
    """Whether a proxy would refuse an expression; complained about.

    Args:
        expression: the expression.
        complain: told why.
        parts: what the proxy evaluates in its place.
    """
    fault = cel.fault(expression)
    if fault:
        complain("expression", f"{expression!r} is no expression: {fault}")
        return True
    called = frozenset(function for part in parts(expression) for function in cel.calls(part))
    unknown = called - CEL_FUNCTIONS
    if unknown:
        complain("expression", f"{expression!r} calls {', '.join(sorted(unknown))}, which proxies do not have")
    return bool(unknown)


def _providers(item: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(text(provider.get("name")) for provider in objects(item.get("providers")))


def _side(item: Mapping[str, Any]) -> Side | None:
    return SIDES.get(text(mapping(item.get("match")).get("mode")))
