"""The wire format by hand; what kubectl really sends is in the functional tests."""

from __future__ import annotations

import struct

import pytest

from meshlab.minicluster.apiserver.protobuf import decode, zero_fill
from meshlab.minicluster.kubeapi import StatusError


def varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])


def field(number: int, value: int | str | bytes) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def body(api_version: str, kind: str, *fields: bytes) -> bytes:
    type_meta = field(1, api_version) + field(2, kind)
    return b"k8s\0" + field(1, type_meta) + field(2, b"".join(fields))


def test_config_map() -> None:
    metadata = field(1, "settings") + field(11, field(1, "app") + field(2, "web"))
    data = field(1, "key") + field(2, "value")
    assert decode(body("v1", "ConfigMap", field(1, metadata), field(2, data))) == {
        "kind": "ConfigMap",
        "apiVersion": "v1",
        "metadata": {"name": "settings", "labels": {"app": "web"}},
        "data": {"key": "value"},
    }


def test_bytes_become_base64() -> None:
    assert decode(body("v1", "Secret", field(2, field(1, "k") + field(2, b"s3cr3t"))))["data"] == {"k": "czNjcjN0"}


def test_times_quantities_and_ports() -> None:
    created = field(8, field(1, 1767323045))
    port = field(1, field(1, "web") + field(3, 80) + field(4, field(1, 1) + field(3, "http")))
    service = decode(body("v1", "Service", field(1, created), field(2, port)))
    assert service["metadata"] == {"creationTimestamp": "2026-01-02T03:04:05Z"}
    assert service["spec"]["ports"] == [{"name": "web", "port": 80, "targetPort": "http"}]
    hard = field(2, field(1, field(1, "cpu") + field(2, field(1, "100m"))))
    assert decode(body("v1", "ResourceQuota", hard))["spec"] == {"hard": {"cpu": "100m"}}


def test_the_zero_time_is_absent() -> None:
    assert decode(body("v1", "Namespace", field(1, field(1, "x") + field(8, b""))))["metadata"] == {"name": "x"}


def test_an_embedded_struct_is_part_of_its_parent() -> None:
    volume = field(1, "v") + field(2, field(2, b""))
    pod = decode(body("v1", "Pod", field(2, field(1, volume))))
    assert pod["spec"]["volumes"] == [{"name": "v", "emptyDir": {}}]


def test_empty_values_follow_omitempty() -> None:
    deployment = decode(body("apps/v1", "Deployment", field(2, field(1, 0) + field(5, 0) + field(4, b""))))
    # replicas is a pointer, so that 0 is a value; minReadySeconds is none; strategy is a struct and never omitted.
    assert deployment["spec"] == {"replicas": 0, "strategy": {}}


def test_negative_numbers() -> None:
    value = decode(body("scheduling.k8s.io/v1", "PriorityClass", field(2, -5)))
    assert value["value"] == -5


def test_repeated_messages_of_strings() -> None:
    user = field(1, "ann") + field(4, field(1, "scopes") + field(2, field(1, "a") + field(1, "b")))
    review = decode(body("authentication.k8s.io/v1", "TokenReview", field(3, field(2, user))))
    assert review["status"]["user"] == {"username": "ann", "extra": {"scopes": ["a", "b"]}}


def test_options_of_any_group() -> None:
    options = decode(body("apps/v1", "DeleteOptions", field(1, 0), field(4, "Foreground")))
    assert options == {
        "kind": "DeleteOptions",
        "apiVersion": "apps/v1",
        "gracePeriodSeconds": 0,
        "propagationPolicy": "Foreground",
    }


def test_unknown_fields_of_newer_clients_are_skipped() -> None:
    extra = field(900, 1) + field(901, "x") + varint(902 << 3 | 1) + struct.pack("<d", 1.5)
    assert decode(body("v1", "Namespace", field(1, field(1, "x")), extra))["metadata"] == {"name": "x"}


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"{}", "does not appear to be a protobuf message"),
        (body("v1", "Gadget"), 'no kind "Gadget" is registered for version "v1"'),
        (body("v1", "ConfigMap", b"\x0a\x7f"), "unexpected EOF"),
        (body("v1", "ConfigMap", b"\x0b"), "illegal wireType"),
        (body("v1", "ConfigMap", b"\x08\x01"), "wrong wireType"),
        (b"k8s\0\x80", "unable to decode"),
    ],
)
def test_malformed_bodies(data: bytes, problem: str) -> None:
    with pytest.raises(StatusError) as caught:
        decode(data)
    assert (caught.value.code, caught.value.reason) == (400, "BadRequest")
    assert problem in caught.value.message


def test_zero_fill() -> None:
    filled = zero_fill("apps/v1", "DaemonSet", {"metadata": {"name": "d"}, "status": {"numberReady": 1}})
    assert filled["status"] == {
        "numberReady": 1,
        "currentNumberScheduled": 0,
        "numberMisscheduled": 0,
        "desiredNumberScheduled": 0,
    }
    pod = {"status": {"containerStatuses": [{"name": "c"}]}}
    assert zero_fill("v1", "Pod", pod)["status"]["containerStatuses"] == [
        {"name": "c", "ready": False, "restartCount": 0, "image": "", "imageID": ""}
    ]
    assert pod == {"status": {"containerStatuses": [{"name": "c"}]}}
    assert zero_fill("rbac.authorization.k8s.io/v1", "Role", {})["rules"] == []
    assert zero_fill("lab.io/v1", "Gadget", {"a": 1}) == {"a": 1}
