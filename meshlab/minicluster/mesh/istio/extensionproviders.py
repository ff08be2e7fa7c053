"""``extensionProviders`` of the mesh's configuration: services that policies refer to by name."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal

from meshlab.minicluster.mesh.istio.reading import boolean, integer, mapping, objects, seconds, string_map, text, texts
from meshlab.minicluster.mesh.providers import AccessLogSink, BodyCheck, ExternalAuthorizer

AUTHORIZERS: Mapping[str, Literal["HTTP", "GRPC"]] = {"envoyExtAuthzHttp": "HTTP", "envoyExtAuthzGrpc": "GRPC"}


def external_authorizers(mesh_config: Mapping[str, Any]) -> tuple[ExternalAuthorizer, ...]:
    """The external authorizers that the configuration names."""
    found: list[ExternalAuthorizer] = []
    for provider in objects(mesh_config.get("extensionProviders")):
        for field, protocol in AUTHORIZERS.items():
            if isinstance(provider.get(field), dict):
                found.append(_authorizer(text(provider.get("name")), protocol, provider[field]))
    return tuple(found)


def _authorizer(name: str, protocol: Literal["HTTP", "GRPC"], given: Mapping[str, Any]) -> ExternalAuthorizer:
    body = mapping(given.get("includeRequestBodyInCheck"))
    maximum = integer(body.get("maxRequestBytes"))
    timeout = seconds(given.get("timeout"))
    return ExternalAuthorizer(
        name=name,
        protocol=protocol,
        host=text(given.get("service")),
        port=integer(given.get("port")) or 0,
        timeout_s=timeout if timeout else 600.0,
        fail_open=boolean(given.get("failOpen")) or False,
        status_on_error=integer(given.get("statusOnError")),
        clear_route_cache=boolean(given.get("clearRouteCache")) or False,
        body=BodyCheck(
            maximum,
            boolean(body.get("allowPartialMessage")) or False,
            boolean(body.get("packAsBytes")) or False,
        )
        if maximum
        else None,
        path_prefix=text(given.get("pathPrefix")),
        request_headers=texts(given.get("includeHeadersInCheck")) + texts(given.get("includeRequestHeadersInCheck")),
        added_headers=tuple(string_map(given.get("includeAdditionalHeadersInCheck")).items()),
        upstream_headers=texts(given.get("headersToUpstreamOnAllow")),
        client_headers_on_allow=texts(given.get("headersToDownstreamOnAllow")),
        client_headers_on_deny=texts(given.get("headersToDownstreamOnDeny")),
    )


BUILT_IN = AccessLogSink(name="envoy", kind="FILE", path="/dev/stdout")
"""The provider that every mesh has; its format is the one of the mesh's own access log."""
SINKS: Mapping[str, Literal["FILE", "OTEL", "HTTP_GRPC", "TCP_GRPC"]] = {
    "envoyFileAccessLog": "FILE",
    "envoyOtelAls": "OTEL",
    "envoyHttpAls": "HTTP_GRPC",
    "envoyTcpAls": "TCP_GRPC",
}
ALWAYS_THERE = {"envoy": "envoyFileAccessLog", "prometheus": "prometheus", "stackdriver": "stackdriver"}
"""Providers that every mesh has, by kind."""


def access_log_sinks(mesh_config: Mapping[str, Any]) -> tuple[AccessLogSink, ...]:
    """Where access logs may go, the built-in file last."""
    found: list[AccessLogSink] = []
    for provider in objects(mesh_config.get("extensionProviders")):
        for field, kind in SINKS.items():
            if isinstance(provider.get(field), dict):
                found.append(_sink(text(provider.get("name")), kind, provider[field], mesh_config))
    if not any(sink.name == BUILT_IN.name for sink in found):
        found.append(_sink(BUILT_IN.name, "FILE", {"path": BUILT_IN.path}, mesh_config))
    return tuple(found)


def default_sinks(mesh_config: Mapping[str, Any]) -> tuple[str, ...]:
    """The sinks that are used unless a Telemetry names others."""
    return texts(mapping(mesh_config.get("defaultProviders")).get("accessLogging"))


def default_metrics(mesh_config: Mapping[str, Any]) -> tuple[str, ...]:
    """Who takes metrics unless a Telemetry names others: upstream's installation says Prometheus."""
    given = mapping(mesh_config.get("defaultProviders")).get("metrics")
    return ("prometheus",) if given is None else texts(given)


def provider_kinds(mesh_config: Mapping[str, Any]) -> Mapping[str, str]:
    """The kinds of all providers by name, in small letters: names are compared so."""
    found = dict(ALWAYS_THERE)
    for provider in objects(mesh_config.get("extensionProviders")):
        kind = next((key for key, value in provider.items() if isinstance(value, dict)), "")
        found[text(provider.get("name")).lower()] = kind
    return found


def _sink(
    name: str,
    kind: Literal["FILE", "OTEL", "HTTP_GRPC", "TCP_GRPC"],
    given: Mapping[str, Any],
    mesh_config: Mapping[str, Any],
) -> AccessLogSink:
    log_format = mapping(given.get("logFormat"))
    labels = log_format.get("labels")
    line, as_labels = text(log_format.get("text")), json.dumps(labels) if isinstance(labels, dict) else ""
    if name == BUILT_IN.name and not log_format and not given.get("omitEmptyValues"):
        line = text(mesh_config.get("accessLogFormat"))
        if mesh_config.get("accessLogEncoding") == "JSON":
            line, as_labels = "", json_labels(line)
    return AccessLogSink(
        name=name,
        kind=kind,
        path=text(given.get("path")) or BUILT_IN.path,
        text=line,
        labels=as_labels,
        omit_empty_values=boolean(given.get("omitEmptyValues")) or False,
        host=text(given.get("service")),
        port=integer(given.get("port")) or 0,
        log_name=text(given.get("logName")),
        request_headers=texts(given.get("additionalRequestHeadersToLog")),
        response_headers=texts(given.get("additionalResponseHeadersToLog")),
        response_trailers=texts(given.get("additionalResponseTrailersToLog")),
        filter_state=texts(given.get("filterStateObjectsToLog")),
    )


def json_labels(given: str) -> str:
    """A JSON format of the mesh's configuration; ``{}``, the default, for what is none."""
    try:
        return given if isinstance(json.loads(given or "{}"), dict) and given else "{}"
    except ValueError:
        return "{}"
