"""Telemetry resources as rules, and what is said about those that change nothing."""

from __future__ import annotations

import pytest

from meshlab.minicluster.mesh.observation import MetricRule, MetricRules, Observation, TracingRule
from meshlab.minicluster.mesh.providers import CustomTag
from tests.fakes.istio_world import World


def translated(spec: str, namespace: str = "default", **mesh_config: object) -> tuple[list[Observation], list[str]]:
    world = World()
    world.mesh_config = dict(mesh_config)
    world.apply(
        f"{{apiVersion: telemetry.istio.io/v1, kind: Telemetry, metadata: {{name: t, namespace: {namespace}}}, "
        f"spec: {spec}}}"
    )
    found = world.translate()
    return list(found.model.observations), [problem.message for problem in found.problems]


def test_metrics_with_labels_of_ones_own() -> None:
    (found,), problems = translated(
        "{metrics: [{providers: [{name: prometheus}], overrides: ["
        "{match: {metric: REQUEST_COUNT, mode: CLIENT_AND_SERVER}, tagOverrides: {a: {value: request.host}}},"
        "{match: {customMetric: requests_total, mode: SERVER}, disabled: true},"
        "{tagOverrides: {b: {operation: REMOVE}}}]}]}"
    )
    assert problems == []
    assert found.metrics == (
        MetricRules(
            ("prometheus",),
            (
                MetricRule("requests_total", tags=(("a", "request.host"),)),
                MetricRule("requests_total", "SERVER", disabled=True),
                MetricRule(tags=(("b", None),)),
            ),
        ),
    )


def test_traces() -> None:
    (found,), problems = translated(
        "{tracing: [{providers: [{name: zipkin}], randomSamplingPercentage: 12.5, disableSpanReporting: false, "
        "match: {mode: CLIENT}, useRequestIdForTraceSampling: false, enableIstioTags: false, "
        "customTags: {c: {literal: {value: x}}, b: {environment: {name: E, defaultValue: d}}, a: {header: {name: h}}, "
        "d: {formatter: {value: '%PROTOCOL%'}}}}]}",
        extensionProviders=[{"name": "zipkin", "zipkin": {"service": "a.b", "port": 1}}],
    )
    assert problems == []
    assert found.tracing == (
        TracingRule(
            ("zipkin",),
            "CLIENT",
            disabled=False,
            sampling_percent=12.5,
            tags=(
                CustomTag("a", "HEADER", "h"),
                CustomTag("b", "ENVIRONMENT", "E", "d"),
                CustomTag("c", "LITERAL", "x"),
                CustomTag("d", "FORMATTER", "%PROTOCOL%"),
            ),
            mesh_tags=False,
            by_request_id=False,
        ),
    )


@pytest.mark.parametrize(
    ("namespace", "selector", "wanted"),
    [
        ("istio-system", "", ""),
        ("istio-system", "selector: {matchLabels: {app: gateway}}", "istio-system"),
        ("shop", "", "shop"),
        ("shop", "targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: g}]", "shop"),
    ],
)
def test_only_the_root_namespace_speaks_for_all_and_only_without_selector(
    namespace: str, selector: str, wanted: str
) -> None:
    (found,), problems = translated(f"{{{selector}}}", namespace)
    assert problems == []
    assert found.namespace == wanted
    assert bool(found.selector) == bool(selector)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("{tracing: [{providers: [{name: nobody}]}]}", "names nobody, which is no provider"),
        ("{tracing: [{providers: [{name: old}]}]}", "no tracer for lightstep"),
        ("{accessLogging: [{providers: [{name: envoy}], filter: {expression: 'a ='}}]}", "'a =' is no expression"),
        ("{metrics: [{overrides: [{tagOverrides: {a: {value: 'f(1)'}}}]}]}", "calls f, which proxies do not have"),
        ("{metrics: [{overrides: [{tagOverrides: {a: {value: node.id}}}]}]}", "no attribute node; a node is xds.node"),
        ("{metrics: [{overrides: [{tagOverrides: {a: {value: upstream_peer.app}}}]}]}", "filter_state.upstream_peer"),
        ("{metrics: [{overrides: [{tagOverrides: {a: {value: filter_state.upstream_peer.name}}}]}]}", "of a peer"),
        (
            "{metrics: [{overrides: [{tagOverrides: {a: {value: 'filter_state.upstream_peer.app == request.host'}}}]}]}",
            "not compared",
        ),
        ("{metrics: [{overrides: [{tagOverrides: {a: {value: 'string(a.b) == a.b'}}}]}]}", "calls string"),
        ("{metrics: [{overrides: [{match: {customMetric: own}}]}]}", "there is no metric own"),
        ("{metrics: [{reportingInterval: 5s}]}", "reportingInterval has no effect"),
        ("{targetRefs: [{group: '', kind: Service, name: web}]}", "needs a waypoint proxy"),
    ],
)
def test_what_has_no_effect_is_told(spec: str, message: str) -> None:
    _, problems = translated(spec, extensionProviders=[{"name": "old", "lightstep": {"service": "a", "port": 1}}])
    assert len(problems) == 1
    assert message in problems[0]
