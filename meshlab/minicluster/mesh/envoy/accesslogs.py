"""Access logs: sinks as Envoy's loggers, and listeners whose logs differ from the mesh's."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.envoy.filters import ACCESS_LOG_FORMAT, ACCESS_LOG_JSON, CONNECTION_MANAGER
from meshlab.minicluster.mesh.envoy.vocabulary import cluster_name, extension
from meshlab.minicluster.mesh.providers import AccessLog, AccessLogSink
from meshlab.minicluster.mesh.scope import Scope

STATS_LOGGER = "envoy.access_loggers.stats"
FILE_LOGGER = "envoy.access_loggers.file"
TCP_PROXY = "envoy.filters.network.tcp_proxy"
WITHOUT_QUERY = "%REQ_WITHOUT_QUERY("
"""The one command that is not built into Envoy."""

METRICS = {
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


def logger(log: AccessLog, scope: Scope) -> Obj | None:
    """A logger; None if the service that would take the log is unknown."""
    sink = log.sink
    found = _file(sink) if sink.kind == "FILE" else _service(sink, scope)
    if found is not None and log.condition:
        found["filter"] = {
            "extension_filter": extension(
                "envoy.access_loggers.extension_filters.cel",
                "envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter",
                expression=log.condition,
            )
        }
    return found


def _file(sink: AccessLogSink) -> Obj:
    log_format: Obj
    if sink.labels:
        log_format = {"json_format": json.loads(sink.labels) or ACCESS_LOG_JSON}
    else:
        line = sink.text or ACCESS_LOG_FORMAT
        log_format = {"text_format_source": {"inline_string": line if line.endswith("\n") else line + "\n"}}
    if sink.omit_empty_values:
        log_format["omit_empty_values"] = True
    if WITHOUT_QUERY in sink.text + sink.labels:
        log_format["formatters"] = [
            extension(
                "envoy.formatter.req_without_query",
                "envoy.extensions.formatter.req_without_query.v3.ReqWithoutQuery",
            )
        ]
    return extension(
        FILE_LOGGER, "envoy.extensions.access_loggers.file.v3.FileAccessLog", path=sink.path, log_format=log_format
    )


def _service(sink: AccessLogSink, scope: Scope) -> Obj | None:
    service = scope.services.get(sink.host.rpartition("/")[2])
    if service is None:
        return None
    envoy_grpc = {"cluster_name": cluster_name("outbound", sink.port, "", service.host), "authority": service.host}
    common: Obj = {"grpc_service": {"envoy_grpc": envoy_grpc}, "transport_api_version": "V3"}
    if sink.kind == "OTEL":
        body = sink.text or ACCESS_LOG_FORMAT
        labels = json.loads(sink.labels or "{}")
        members: Obj = {
            # Newer Envoys prefer members that the shipped descriptors do not have yet.
            "common_config": {**common, "log_name": sink.log_name or "otel_envoy_accesslog"},
            "body": {"string_value": body},
        }
        if labels:
            values = [{"key": key, "value": {"string_value": str(value)}} for key, value in labels.items()]
            members["attributes"] = {"values": values}
        return extension(
            "envoy.access_loggers.open_telemetry",
            "envoy.extensions.access_loggers.open_telemetry.v3.OpenTelemetryAccessLogConfig",
            **members,
        )
    kind = "Http" if sink.kind == "HTTP_GRPC" else "Tcp"
    common["log_name"] = sink.log_name or f"{kind.lower()}_envoy_accesslog"
    return extension(
        f"envoy.access_loggers.{kind.lower()}_grpc",
        f"envoy.extensions.access_loggers.grpc.v3.{kind}GrpcAccessLogConfig",
        common_config=common,
    )


def relogged(
    listener: Obj, before: Sequence[Obj], logs: Iterable[AccessLog] | None, uncounted: frozenset[str], scope: Scope
) -> Obj:
    """The listener with other access logs than the mesh's, and without some metrics.

    Args:
        listener: the listener.
        before: the loggers that the mesh's configuration gave it.
        logs: what is logged instead; None: nothing else.
        uncounted: the metrics that are not counted, by Istio's names.
        scope: what the proxy sees.
    """
    after = [found for log in logs if (found := logger(log, scope)) is not None] if logs is not None else before
    if after == before and not uncounted:
        return listener
    statistics = frozenset(METRICS.values() if "ALL_METRICS" in uncounted else map(METRICS.get, uncounted))

    def loggers(found: Sequence[Obj], kind: str) -> list[Obj]:
        kept = [_counting(item, statistics) for item in found if item not in before]
        wanted = [item for item in after if not str(item["name"]).endswith("_grpc") or kind in item["name"]]
        return [*wanted, *(item for item in kept if item is not None)]

    def changed(item: Obj) -> Obj:
        config = item.get("typed_config", {})
        if item["name"] not in (CONNECTION_MANAGER, TCP_PROXY):
            return item
        kind = "http_grpc" if item["name"] == CONNECTION_MANAGER else "tcp_grpc"
        return {**item, "typed_config": {**config, "access_log": loggers(config.get("access_log", ()), kind)}}

    chains = [{**chain, "filters": [changed(item) for item in chain["filters"]]} for chain in listener["filter_chains"]]
    return {**listener, "filter_chains": chains}


def _counting(item: Obj, without: frozenset[str | None]) -> Obj | None:
    """A logger of statistics without some of them; None if nothing is left."""
    if item["name"] != STATS_LOGGER or not without:
        return item
    config = dict(item["typed_config"])
    for group in ("counters", "histograms"):
        if group in config:
            config[group] = [found for found in config[group] if found["stat"]["name"] not in without]
    if not config.get("counters") and not config.get("histograms"):
        return None
    return {**item, "typed_config": config}
