from __future__ import annotations

import base64
from typing import Any

import pytest

from meshlab.minicluster.node import environment, fieldpath, quantity
from meshlab.minicluster.node.environment import ConfigError, Sources

POD: dict[str, Any] = {
    "metadata": {
        "name": "p",
        "namespace": "ns",
        "uid": "u",
        "labels": {"b": "2", "a": '1"'},
        "annotations": {"k/x": "v"},
    },
    "spec": {"nodeName": "meshlab", "serviceAccountName": "sa", "containers": [{"name": "c"}]},
    "status": {"podIP": "127.7.1.1", "podIPs": [{"ip": "127.7.1.1"}], "hostIP": "127.7.0.1"},
}
CONFIG_MAPS = {"cm": {"data": {"key": "value", "other": "$(X)"}}}
SECRETS = {"se": {"data": {"pw": base64.b64encode(b"hidden").decode()}}}
SOURCES = Sources(CONFIG_MAPS.get, SECRETS.get, {"cpu": "4", "memory": "1Gi"})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$(A)", "1"),
        ("x$(A)y$(B)z", "x1y2z"),
        ("$(UNKNOWN)", "$(UNKNOWN)"),
        ("$$(A)", "$(A)"),
        ("$$$(A)", "$1"),
        ("$A and ${A}", "$A and ${A}"),
        ("$(A", "$(A"),
        ("$", "$"),
        ("cost: $$5", "cost: $5"),
    ],
)
def test_expansion(text: str, expected: str) -> None:
    assert environment.expand(text, {"A": "1", "B": "2"}) == expected


def test_order_and_precedence() -> None:
    container = {
        "name": "c",
        "envFrom": [{"configMapRef": {"name": "cm"}}, {"prefix": "S_", "secretRef": {"name": "se"}}],
        "env": [{"name": "key", "value": "mine"}, {"name": "TWICE", "value": "$(key)$(LATER)"}, {"name": "LATER"}],
    }
    env = environment.container_environment(POD, container, {"key": "image", "PATH": "/x"}, SOURCES)
    assert env == {"PATH": "/x", "key": "mine", "other": "$(X)", "S_pw": "hidden", "TWICE": "mine$(LATER)", "LATER": ""}


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ({"configMapKeyRef": {"name": "nope", "key": "k"}}, 'configmap "nope" not found'),
        ({"configMapKeyRef": {"name": "cm", "key": "k"}}, "couldn't find key k in ConfigMap ns/cm"),
        ({"secretKeyRef": {"name": "se", "key": "k"}}, "couldn't find key k in Secret ns/se"),
        ({"secretKeyRef": {"name": "nope", "key": "k"}}, 'secret "nope" not found'),
    ],
)
def test_missing_references(source: dict[str, Any], words: str) -> None:
    container = {"name": "c", "env": [{"name": "X", "valueFrom": source}]}
    with pytest.raises(ConfigError) as caught:
        environment.container_environment(POD, container, {}, SOURCES)
    assert str(caught.value) == words
    ((kind, reference),) = source.items()
    optional = {"name": "c", "env": [{"name": "X", "valueFrom": {kind: {**reference, "optional": True}}}]}
    assert environment.container_environment(POD, optional, {}, SOURCES) == {}


def test_service_variables() -> None:
    ports = [{"port": 80, "name": "http-web"}, {"port": 53, "protocol": "UDP"}]
    services = [
        {"metadata": {"name": "a-b"}, "spec": {"clusterIP": "10.0.0.1", "ports": ports}},
        {"metadata": {"name": "headless"}, "spec": {"clusterIP": "None", "ports": [{"port": 80}]}},
    ]
    assert environment.service_variables(services) == {
        "A_B_SERVICE_HOST": "10.0.0.1",
        "A_B_SERVICE_PORT": "80",
        "A_B_SERVICE_PORT_HTTP_WEB": "80",
        "A_B_PORT": "tcp://10.0.0.1:80",
        "A_B_PORT_80_TCP": "tcp://10.0.0.1:80",
        "A_B_PORT_80_TCP_PROTO": "tcp",
        "A_B_PORT_80_TCP_PORT": "80",
        "A_B_PORT_80_TCP_ADDR": "10.0.0.1",
        "A_B_PORT_53_UDP": "udp://10.0.0.1:53",
        "A_B_PORT_53_UDP_PROTO": "udp",
        "A_B_PORT_53_UDP_PORT": "53",
        "A_B_PORT_53_UDP_ADDR": "10.0.0.1",
    }


@pytest.mark.parametrize(
    ("container", "expected"),
    [
        ({}, ["entry", "default"]),
        ({"args": ["a", "$(X)"]}, ["entry", "a", "1"]),
        ({"command": ["c"]}, ["c"]),
        ({"command": ["c"], "args": ["a"]}, ["c", "a"]),
    ],
)
def test_command_line(container: dict[str, Any], expected: list[str]) -> None:
    assert environment.command_line(container, ("entry",), ("default",), {"X": "1"}) == expected


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("metadata.name", "p"),
        ("metadata.labels['b']", "2"),
        ("metadata.labels['absent']", ""),
        ("metadata.annotations['k/x']", "v"),
        ("metadata.labels", 'a="1\\""\nb="2"'),
        ("status.podIPs", "127.7.1.1"),
        ("spec.serviceAccountName", "sa"),
    ],
)
def test_field_paths(path: str, expected: str) -> None:
    assert fieldpath.field_value(POD, path) == expected


def test_unknown_field_path() -> None:
    with pytest.raises(ValueError, match=r"unsupported fieldPath: status\.phase"):
        fieldpath.field_value(POD, "status.phase")


@pytest.mark.parametrize(
    ("value", "divisor", "expected"),
    [
        ("100m", None, "1"),
        ("100m", "1m", "100"),
        ("64Mi", "1Ki", "65536"),
        ("1500m", "1", "2"),
        ("2e3", "1k", "2"),
        ("0.5Gi", "1Mi", "512"),
    ],
)
def test_quantities(value: str, divisor: str | None, expected: str) -> None:
    assert quantity.divided(value, divisor) == expected


def test_resource_of_a_container_without_limits_is_the_node() -> None:
    reference = {"resource": "limits.memory", "divisor": "1Mi"}
    assert fieldpath.resource_value({"name": "c"}, reference, {"memory": "1Gi"}) == "1024"
    assert fieldpath.resource_value({"resources": {"limits": {"cpu": "2"}}}, {"resource": "requests.cpu"}, {}) == "2"
    with pytest.raises(ValueError, match="malformed"):
        quantity.parse("12xx")
