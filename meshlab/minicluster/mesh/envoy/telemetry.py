"""What proxies count: Istio's standard metrics, by Envoy's own access logger for statistics.

Istio's filter ``istio.stats`` is no part of Envoy. The logger ``envoy.access_loggers.stats`` emits counters and
histograms at the end of each request or connection, without a program beside Envoy. Its tags are those that differ
between requests; the rest of the standard labels is known to the agent, which serves the statistics.
"""

from __future__ import annotations

import json

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.envoy.vocabulary import TUNNEL, extension
from meshlab.minicluster.mesh.telemetry import (
    METADATA,
    PEER_HEADER,
    PEER_KEY,
    PEER_VARIABLE,
    SERVICE_KEY,
    VIA_KEY,
    encode_service,
)

STATS_SCOPE = "istio"
STATS_LOGGER = "envoy.access_loggers.stats"

CLUSTER_SERVICE = f"%CLUSTER_METADATA({METADATA}:{SERVICE_KEY})%"
SERVICE_OR_HOST = f"""%COALESCE({
    json.dumps(
        {
            "operators": [
                {"command": "CLUSTER_METADATA", "param": f"{METADATA}:{SERVICE_KEY}"},
                {"command": "REQ", "param": ":AUTHORITY"},
            ]
        }
    )
})%"""
"""Without a cluster, what the program asked for stands as the service; sidecars only: strangers call gateways."""

RESULT = {
    "response_code": "%RESPONSE_CODE%",
    "response_flags": "%RESPONSE_FLAGS%",
    "grpc_response_status": "%GRPC_STATUS_NUMBER%",
}
SOURCE = {
    "reporter": "source",
    "peer": f"%UPSTREAM_METADATA({METADATA}:{PEER_KEY})%",
    "peer_principal": "%UPSTREAM_PEER_URI_SAN%",
    "own_principal": "%UPSTREAM_LOCAL_URI_SAN%",
    "via": f"%METADATA(ROUTE:{METADATA}:{VIA_KEY})%",
}
DESTINATION = {
    "reporter": "destination",
    "peer": f"%DYNAMIC_METADATA({METADATA}:{PEER_KEY})%",
    "peer_principal": "%DOWNSTREAM_PEER_URI_SAN%",
    "own_principal": "%DOWNSTREAM_LOCAL_URI_SAN%",
    "service": CLUSTER_SERVICE,
}


def _stat(name: str, tags: dict[str, str]) -> Obj:
    return {"name": name, "tags": [{"name": tag, "value_format": text} for tag, text in tags.items()]}


def _logger(**members: object) -> Obj:
    # A `sharing_name` would keep counters when a changed listener takes the place of another, but with it Envoy 1.40
    # crashes when it ends.
    scope = {"prefix": STATS_SCOPE}
    return extension(STATS_LOGGER, "envoy.extensions.access_loggers.stats.v3.Config", stats_scope=scope, **members)


def _requests(tags: dict[str, str]) -> Obj:
    """Per request: how many, how long, how large."""
    tags = {**tags, **RESULT}
    return _logger(
        counters=[{"stat": _stat("requests_total", tags), "value_fixed": 1}],
        histograms=[
            {
                "stat": _stat("request_duration_milliseconds", tags),
                "unit": "Milliseconds",
                "value_format": "%DURATION%",
            },
            {"stat": _stat("request_bytes", tags), "unit": "Bytes", "value_format": "%DOWNSTREAM_WIRE_BYTES_RECEIVED%"},
            {"stat": _stat("response_bytes", tags), "unit": "Bytes", "value_format": "%DOWNSTREAM_WIRE_BYTES_SENT%"},
        ],
    )


def _connections(tags: dict[str, str]) -> Obj:
    """Per connection, when it ends."""
    tags = {**tags, "response_flags": RESULT["response_flags"]}
    return _logger(
        counters=[
            {"stat": _stat("tcp_connections_opened_total", tags), "value_fixed": 1},
            {"stat": _stat("tcp_connections_closed_total", tags), "value_fixed": 1},
            {"stat": _stat("tcp_sent_bytes_total", tags), "value_format": "%DOWNSTREAM_WIRE_BYTES_SENT%"},
            {"stat": _stat("tcp_received_bytes_total", tags), "value_format": "%DOWNSTREAM_WIRE_BYTES_RECEIVED%"},
        ]
    )


def _when(logger: Obj, log_filter: Obj) -> Obj:
    return {**logger, "filter": log_filter}


def _is_connect(*, inverted: bool = False) -> Obj:
    header: Obj = {"name": ":method", "string_match": {"exact": "CONNECT"}}
    return {"header_filter": {"header": {**header, "invert_match": True} if inverted else header}}


_NOT_UNPACKED: Obj = {
    "extension_filter": extension(
        "envoy.access_loggers.extension_filters.cel",
        "envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter",
        expression=f"xds.cluster_name != '{TUNNEL}'",
    )
}
"""A tunnel that is unpacked into requests; those are counted."""

INBOUND_REQUESTS: tuple[Obj, ...] = (_requests(DESTINATION),)
GATEWAY_REQUESTS: tuple[Obj, ...] = (_requests({**SOURCE, "service": CLUSTER_SERVICE}),)
OUTBOUND_REQUESTS: tuple[Obj, ...] = (_requests({**SOURCE, "service": SERVICE_OR_HOST}),)
PROXIED_REQUESTS: tuple[Obj, ...] = (
    _when(OUTBOUND_REQUESTS[0], _is_connect(inverted=True)),
    _when(
        _connections({**SOURCE, "service": SERVICE_OR_HOST}),
        {"and_filter": {"filters": [_is_connect(), _NOT_UNPACKED]}},
    ),
)
"""Of a listener that takes requests and, by CONNECT, connections."""
INBOUND_CONNECTIONS: tuple[Obj, ...] = (_connections(DESTINATION),)
GATEWAY_CONNECTIONS: tuple[Obj, ...] = (_connections({**SOURCE, "service": CLUSTER_SERVICE}),)

TELL_PEER: Obj = extension(
    "envoy.filters.http.header_mutation",
    "envoy.extensions.filters.http.header_mutation.v3.HeaderMutation",
    mutations={
        "request_mutations": [
            {
                "append": {
                    "header": {"key": PEER_HEADER, "value": f"%ENVIRONMENT({PEER_VARIABLE})%"},
                    "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
                }
            }
        ]
    },
)
"""The filter that tells the server's proxy who calls."""
TAKE_PEER: Obj = extension(
    "envoy.filters.http.header_to_metadata",
    "envoy.extensions.filters.http.header_to_metadata.v3.Config",
    request_rules=[
        {
            "header": PEER_HEADER,
            "on_header_present": {"metadata_namespace": METADATA, "key": PEER_KEY, "type": "STRING"},
            "remove": True,
        }
    ],
)
"""The filter that takes note of it, and keeps it from the program."""
WITHOUT_PEER: Obj = {"request_headers_to_remove": [PEER_HEADER]}
"""Members of a virtual host outside of the mesh: strangers are not told."""


def service_metadata(host: str, name: str, namespace: str) -> Obj:
    """Metadata of a service's cluster, to be merged with what else it has."""
    return {METADATA: {SERVICE_KEY: encode_service(host, name, namespace)}}


def route_via(name: str) -> Obj:
    """Members of a route to no service."""
    return {"metadata": {"filter_metadata": {METADATA: {VIA_KEY: name}}}}
