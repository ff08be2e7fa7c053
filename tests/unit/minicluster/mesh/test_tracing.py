"""Whom spans are sent to, and how many, by telemetry rules of several levels."""

from __future__ import annotations

from meshlab.minicluster.mesh.model import ConfigRef
from meshlab.minicluster.mesh.observation import Observation, Side, TracingRule
from meshlab.minicluster.mesh.providers import CustomTag, Tracer, Tracing
from meshlab.minicluster.mesh.tracing import TracingSpec, tracing_spec

ZIPKIN = Tracer("zipkin", "ZIPKIN", "zipkin.istio-system.svc.cluster.local", 9411)
OTEL = Tracer("otel", "OTLP_GRPC", "collector.otel.svc.cluster.local", 4317)
TAG = CustomTag("a", "LITERAL", "1")


def spec(*rules: TracingRule, default: str | None = None, side: Side = "CLIENT") -> TracingSpec | None:
    ref = ConfigRef("", "", "Telemetry", "", "")
    tracing = Tracing(tracers=(ZIPKIN, OTEL), default=default)
    return tracing_spec([Observation("", {}, ref, tracing=(rule,)) for rule in rules], tracing, side)


def test_without_rules_and_default_the_proxy_decides() -> None:
    assert spec() is None
    assert spec(default="ZIPKIN") == TracingSpec(tracer=ZIPKIN)


def test_an_unknown_tracer_is_none() -> None:
    assert spec(default="nobody") == TracingSpec()
    assert spec(TracingRule(("nobody",)), default="zipkin") == TracingSpec()
    assert spec(TracingRule(sampling_percent=100.0)) == TracingSpec(sampling_percent=100.0)


def test_narrower_rules_are_laid_over_wider_ones() -> None:
    wide = TracingRule(("zipkin", "otel"), sampling_percent=100.0, tags=(TAG,), by_request_id=False)
    assert spec(wide, TracingRule(sampling_percent=0.0, mesh_tags=False)) == TracingSpec(
        tracer=ZIPKIN, sampling_percent=0.0, tags=(TAG,), mesh_tags=False, by_request_id=False
    )
    assert spec(wide, TracingRule(("otel",), tags=())) == TracingSpec(
        tracer=OTEL, sampling_percent=100.0, by_request_id=False
    )


def test_sides_differ() -> None:
    rules = (TracingRule(("zipkin",)), TracingRule(side="SERVER", disabled=True))
    assert spec(*rules, side="CLIENT") == TracingSpec(tracer=ZIPKIN)
    assert spec(*rules, side="SERVER") == TracingSpec(tracer=ZIPKIN, disabled=True)
