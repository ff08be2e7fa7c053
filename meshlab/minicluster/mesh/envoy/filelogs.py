"""Access logs that are written into files, with Istio's formats where nobody gives another."""

from __future__ import annotations

import json

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.envoy.vocabulary import extension
from meshlab.minicluster.mesh.model import Settings

FILE_LOGGER = "envoy.access_loggers.file"
WITHOUT_QUERY = "%REQ_WITHOUT_QUERY("
"""The one command that is not built into Envoy."""

TEXT = (
    '[%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" %RESPONSE_CODE% %RESPONSE_FLAGS% '
    '%RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% "%UPSTREAM_TRANSPORT_FAILURE_REASON%" %BYTES_RECEIVED% '
    '%BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% "%REQ(X-FORWARDED-FOR)%" "%REQ(USER-AGENT)%" '
    '"%REQ(X-REQUEST-ID)%" "%REQ(:AUTHORITY)%" "%UPSTREAM_HOST%" %UPSTREAM_CLUSTER_RAW% %UPSTREAM_LOCAL_ADDRESS% '
    "%DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS% %REQUESTED_SERVER_NAME% %ROUTE_NAME%\n"
)
"""Istio's default text format."""

LABELS: Obj = {
    "authority": "%REQ(:AUTHORITY)%",
    "bytes_received": "%BYTES_RECEIVED%",
    "bytes_sent": "%BYTES_SENT%",
    "connection_termination_details": "%CONNECTION_TERMINATION_DETAILS%",
    "downstream_local_address": "%DOWNSTREAM_LOCAL_ADDRESS%",
    "downstream_remote_address": "%DOWNSTREAM_REMOTE_ADDRESS%",
    "duration": "%DURATION%",
    "method": "%REQ(:METHOD)%",
    "path": "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%",
    "protocol": "%PROTOCOL%",
    "request_id": "%REQ(X-REQUEST-ID)%",
    "requested_server_name": "%REQUESTED_SERVER_NAME%",
    "response_code": "%RESPONSE_CODE%",
    "response_code_details": "%RESPONSE_CODE_DETAILS%",
    "response_flags": "%RESPONSE_FLAGS%",
    "route_name": "%ROUTE_NAME%",
    "start_time": "%START_TIME%",
    "upstream_cluster": "%UPSTREAM_CLUSTER_RAW%",
    "upstream_host": "%UPSTREAM_HOST%",
    "upstream_local_address": "%UPSTREAM_LOCAL_ADDRESS%",
    "upstream_service_time": "%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)%",
    "upstream_transport_failure_reason": "%UPSTREAM_TRANSPORT_FAILURE_REASON%",
    "user_agent": "%REQ(USER-AGENT)%",
    "x_forwarded_for": "%REQ(X-FORWARDED-FOR)%",
}
"""Istio's default JSON format."""


def access_logs(settings: Settings) -> list[Obj]:
    """The access log that the mesh configuration asks for, if any."""
    if not settings.access_log_path:
        return []
    return [file_log(settings.access_log_path, settings.access_log_format, settings.access_log_labels)]


def file_log(path: str, text: str, labels: str, *, omit_empty_values: bool = False) -> Obj:
    """A logger.

    Args:
        path: the file, such as ``/dev/stdout``.
        text: the format of a line; empty: the default.
        labels: a JSON object of formats instead of a line; ``{}``: the default ones.
        omit_empty_values: whether labels without a value are left out, and ``-`` in lines.
    """
    log_format: Obj
    if labels:
        log_format = {"json_format": json.loads(labels) or LABELS}
    else:
        line = text or TEXT
        log_format = {"text_format_source": {"inline_string": line if line.endswith("\n") else line + "\n"}}
    if omit_empty_values:
        log_format["omit_empty_values"] = True
    if WITHOUT_QUERY in (labels or text):
        log_format["formatters"] = [
            extension(
                "envoy.formatter.req_without_query",
                "envoy.extensions.formatter.req_without_query.v3.ReqWithoutQuery",
            )
        ]
    return extension(
        FILE_LOGGER, "envoy.extensions.access_loggers.file.v3.FileAccessLog", path=path, log_format=log_format
    )
