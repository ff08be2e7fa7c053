"""Tracing in MeshConfig and in a proxy's own configuration, in both spellings of its fields."""

from __future__ import annotations

from typing import Any

import pytest

from meshlab.minicluster.mesh.istio.pilot.options import sampling_percent
from meshlab.minicluster.mesh.istio.tracingproviders import proxy_tracing, tracing_settings
from meshlab.minicluster.mesh.providers import CustomTag, ProxyTracing, Tracer


def test_every_kind_of_provider_that_proxies_have_a_tracer_for() -> None:
    service: dict[str, Any] = {"service": "ns/a.b", "port": 1}
    config = {
        "extensionProviders": [
            {"name": "z", "zipkin": {**service, "maxTagLength": 9, "enable64bitTraceId": True, "path": "/p"}},
            {"name": "g", "opentelemetry": {**service, "grpc": {"initialMetadata": [{"name": "a", "value": "b"}]}}},
            {"name": "h", "opentelemetry": {**service, "http": {"path": "/v1/traces", "timeout": "2s"}}},
            {"name": "s", "skywalking": service},
            {"name": "d", "datadog": service},
            {"name": "l", "lightstep": service},
            {"name": "f", "envoyFileAccessLog": {}},
        ],
        "defaultProviders": {"tracing": ["h", "z"]},
    }
    found = tracing_settings(config)
    assert found.tracers == (
        Tracer("z", "ZIPKIN", "ns/a.b", 1, "/p", max_path_tag_length=9, short_trace_ids=True),
        Tracer("g", "OTLP_GRPC", "ns/a.b", 1, headers=(("a", "b"),)),
        Tracer("h", "OTLP_HTTP", "ns/a.b", 1, "/v1/traces", timeout_s=2.0),
        Tracer("s", "SKYWALKING", "ns/a.b", 1),
        Tracer("d", "DATADOG", "ns/a.b", 1),
    )
    assert (found.enabled, found.default) == (True, "h")
    assert tracing_settings({"enableTracing": False}).enabled is False


def test_a_proxys_own_configuration_in_both_spellings() -> None:
    tag = {"my": {"environment": {"name": "E", "default_value": "d"}}}
    wanted = ProxyTracing(
        sampling_percent=10.0,
        max_path_tag_length=5,
        tags=(CustomTag("my", "ENVIRONMENT", "E", "d"),),
        mesh_tags=False,
        zipkin=("zipkin.istio-system", 9411),
    )
    common = {"sampling": 10, "zipkin": {"address": "zipkin.istio-system:9411"}}
    for given in (
        {"max_path_tag_length": 5, "custom_tags": tag, "enable_istio_tags": False},
        {"maxPathTagLength": 5, "customTags": tag, "enableIstioTags": False},
    ):
        assert proxy_tracing({"tracing": {**common, **given}}) == wanted


@pytest.mark.parametrize(("given", "percent"), [({}, 7.0), ({"sampling": 0}, 7.0), ({"sampling": 101}, 1.0)])
def test_sampling_falls_back_to_istiods(given: dict[str, Any], percent: float) -> None:
    assert proxy_tracing({"tracing": given}, 7.0).sampling_percent == percent


@pytest.mark.parametrize(("given", "percent"), [("", 1.0), ("100", 100.0), ("0", 0.0), ("x", 1.0), ("101", 1.0)])
def test_what_istiod_samples(given: str, percent: float) -> None:
    assert sampling_percent({"PILOT_TRACE_SAMPLING": given}) == percent
