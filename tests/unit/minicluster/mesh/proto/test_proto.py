"""Dicts in Envoy's vocabulary become messages, and mistakes in them are found."""

from __future__ import annotations

import pytest

from meshlab.minicluster.mesh import proto

CLUSTER = "type.googleapis.com/envoy.config.cluster.v3.Cluster"
RAW_BUFFER = "type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer"


def test_a_dict_survives_the_way_through_a_message() -> None:
    cluster = {
        "name": "a",
        "type": "EDS",
        "connect_timeout": "1.500s",
        "transport_socket": {"name": "raw", "typed_config": {"@type": RAW_BUFFER}},
    }
    message = proto.to_message(CLUSTER, cluster)
    again = proto.message_class("envoy.config.cluster.v3.Cluster").FromString(message.SerializeToString())
    assert proto.to_dict(again) == cluster


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        ({"nmae": "a"}, "nmae"),
        ({"name": 5}, "name"),
        ({"connect_timeout": "soon"}, "soon"),
        ({"transport_socket": {"typed_config": {"@type": "type.googleapis.com/no.such.Type"}}}, "no.such.Type"),
    ],
)
def test_mistakes_are_named(value: dict[str, object], complaint: str) -> None:
    with pytest.raises(proto.InvalidResource, match=complaint):
        proto.to_message(CLUSTER, value)


def test_an_unknown_type_is_refused() -> None:
    with pytest.raises(proto.InvalidResource, match="NoSuchMessage"):
        proto.message_class("envoy.NoSuchMessage")


def test_telemetry_services_are_in_the_pool() -> None:
    span = proto.message_class("opentelemetry.proto.collector.trace.v1.ExportTraceServiceRequest")()
    assert "scope_spans" in span.resource_spans.add().DESCRIPTOR.fields_by_name
    proto.message_class("envoy.service.accesslog.v3.StreamAccessLogsMessage")
