"""Tracing in the mesh's configuration: extension providers that take spans, and how a proxy's own configuration traces.

The names of fields come in Go's and in protobuf's spelling (``customTags``, ``custom_tags``), as upstream reads both.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from meshlab.minicluster.mesh.istio.reading import boolean, integer, mapping, number, objects, seconds, text, texts
from meshlab.minicluster.mesh.providers import CustomTag, ProxyTracing, Tracer, Tracing

NOT_RUN = ("lightstep", "opencensus", "stackdriver")
"""Kinds of tracing providers that Envoy does not have any more; upstream leaves them out, too."""
DEFAULT_SAMPLING_PERCENT = 1.0


def tracing_settings(mesh_config: Mapping[str, Any], sampling_percent: float = DEFAULT_SAMPLING_PERCENT) -> Tracing:
    """What the mesh's configuration says of traces.

    Args:
        mesh_config: Istio's MeshConfig.
        sampling_percent: how many requests istiod wants to be traced where nothing else says.
    """
    found: list[Tracer] = []
    for provider in objects(mesh_config.get("extensionProviders")):
        for kind, reader in _READERS.items():
            if isinstance(provider.get(kind), dict):
                found.append(reader(text(provider.get("name")), mapping(provider[kind])))
    defaults = texts(mapping(mesh_config.get("defaultProviders")).get("tracing"))
    return Tracing(
        enabled=boolean(mesh_config.get("enableTracing")) is not False,
        tracers=tuple(found),
        default=defaults[0] if defaults else None,
        proxy=proxy_tracing(mapping(mesh_config.get("defaultConfig")), sampling_percent),
    )


def proxy_tracing(proxy_config: Mapping[str, Any], sampling_percent: float = DEFAULT_SAMPLING_PERCENT) -> ProxyTracing:
    """What a proxy's configuration says of traces."""
    given = mapping(proxy_config.get("tracing"))
    sampling = number(given.get("sampling")) or sampling_percent
    address = text(mapping(given.get("zipkin")).get("address"))
    host, _, port = address.rpartition(":")
    return ProxyTracing(
        sampling_percent=sampling if sampling <= 100 else DEFAULT_SAMPLING_PERCENT,
        max_path_tag_length=integer(_either(given, "maxPathTagLength", "max_path_tag_length")) or 0,
        tags=custom_tags(_either(given, "customTags", "custom_tags")),
        mesh_tags=boolean(_either(given, "enableIstioTags", "enable_istio_tags")) is not False,
        zipkin=(host, int(port)) if host and port.isdecimal() else None,
    )


def custom_tags(given: Any) -> tuple[CustomTag, ...]:
    """Custom tags by name, as ProxyConfig and Telemetry write them."""
    found: list[CustomTag] = []
    for name, value in sorted(mapping(given).items()):
        tag = mapping(value)
        if "literal" in tag:
            found.append(CustomTag(name, "LITERAL", text(mapping(tag["literal"]).get("value"))))
        elif "formatter" in tag:
            found.append(CustomTag(name, "FORMATTER", text(mapping(tag["formatter"]).get("value"))))
        elif "environment" in tag:
            found.append(_looked_up(name, "ENVIRONMENT", mapping(tag["environment"])))
        elif "header" in tag:
            found.append(_looked_up(name, "HEADER", mapping(tag["header"])))
    return tuple(found)


def _looked_up(name: str, kind: Any, given: Mapping[str, Any]) -> CustomTag:
    return CustomTag(name, kind, text(given.get("name")), text(_either(given, "defaultValue", "default_value")))


def _either(given: Mapping[str, Any], *names: str) -> Any:
    return next((given[name] for name in names if name in given), None)


def _zipkin(name: str, given: Mapping[str, Any]) -> Tracer:
    return Tracer(
        name=name,
        kind="ZIPKIN",
        host=text(given.get("service")),
        port=integer(given.get("port")) or 0,
        path=text(given.get("path")),
        max_path_tag_length=integer(given.get("maxTagLength")) or 0,
        short_trace_ids=boolean(_either(given, "enable64bitTraceId", "enable_64bit_trace_id")) or False,
        w3c=given.get("traceContextOption") == "USE_B3_WITH_W3C_PROPAGATION",
        timeout_s=seconds(given.get("timeout")),
        headers=_headers(given.get("headers")),
    )


def _opentelemetry(name: str, given: Mapping[str, Any]) -> Tracer:
    http = given.get("http")
    transport = mapping(http if isinstance(http, dict) else given.get("grpc"))
    return Tracer(
        name=name,
        kind="OTLP_HTTP" if isinstance(http, dict) else "OTLP_GRPC",
        host=text(given.get("service")),
        port=integer(given.get("port")) or 0,
        path=text(transport.get("path")),
        max_path_tag_length=integer(given.get("maxTagLength")) or 0,
        timeout_s=seconds(transport.get("timeout")),
        headers=_headers(transport.get("headers") or transport.get("initialMetadata")),
        environment_resource="environment" in mapping(given.get("resourceDetectors")),
    )


def _skywalking(name: str, given: Mapping[str, Any]) -> Tracer:
    return Tracer(name, "SKYWALKING", text(given.get("service")), integer(given.get("port")) or 0)


def _datadog(name: str, given: Mapping[str, Any]) -> Tracer:
    length = integer(given.get("maxTagLength")) or 0
    service, port = text(given.get("service")), integer(given.get("port")) or 0
    return Tracer(name, "DATADOG", service, port, max_path_tag_length=length)


_READERS: Mapping[str, Callable[[str, Mapping[str, Any]], Tracer]] = {
    "zipkin": _zipkin,
    "opentelemetry": _opentelemetry,
    "skywalking": _skywalking,
    "datadog": _datadog,
}


def _headers(given: Any) -> tuple[tuple[str, str], ...]:
    return tuple((text(header.get("name")), text(header.get("value"))) for header in objects(given))
