"""Access logs as telemetry rules want them: sinks as Envoy's loggers."""

from __future__ import annotations

import json
from collections.abc import Mapping

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.cel import renamed
from meshlab.minicluster.mesh.envoy.filelogs import TEXT, file_log
from meshlab.minicluster.mesh.envoy.vocabulary import cluster_name, extension
from meshlab.minicluster.mesh.providers import AccessLog, AccessLogSink
from meshlab.minicluster.mesh.scope import Scope


def logger(log: AccessLog, names: Mapping[str, str], scope: Scope) -> Obj | None:
    """A logger; None if the service that would take the log is unknown.

    Args:
        log: what is wanted.
        names: attributes of requests that have another name in this proxy.
        scope: what the proxy sees.
    """
    sink = log.sink
    found = (
        file_log(sink.path, sink.text, sink.labels, omit_empty_values=sink.omit_empty_values)
        if sink.kind == "FILE"
        else _service(sink, scope)
    )
    if found is not None and log.condition:
        found["filter"] = {
            "extension_filter": extension(
                "envoy.access_loggers.extension_filters.cel",
                "envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter",
                expression=renamed(log.condition, names),
            )
        }
    return found


def _service(sink: AccessLogSink, scope: Scope) -> Obj | None:
    service = scope.services.get(sink.host.rpartition("/")[2])
    if service is None:
        return None
    envoy_grpc = {"cluster_name": cluster_name("outbound", sink.port, "", service.host), "authority": service.host}
    common: Obj = {"grpc_service": {"envoy_grpc": envoy_grpc}, "transport_api_version": "V3"}
    if sink.filter_state:
        common["filter_state_objects_to_log"] = list(sink.filter_state)
    if sink.kind == "OTEL":
        body = sink.text or TEXT
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
    more = {
        "request_headers": sink.request_headers,
        "response_headers": sink.response_headers,
        "response_trailers": sink.response_trailers,
    }
    return extension(
        f"envoy.access_loggers.{kind.lower()}_grpc",
        f"envoy.extensions.access_loggers.grpc.v3.{kind}GrpcAccessLogConfig",
        common_config=common,
        **{f"additional_{name}_to_log": list(values) for name, values in more.items() if values},
    )
