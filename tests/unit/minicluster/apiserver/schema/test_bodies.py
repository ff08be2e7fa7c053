from __future__ import annotations

import copy
from typing import Any

import pytest

from meshlab.minicluster.apiserver.schema import SchemaSet, decode_error, parse_body
from meshlab.minicluster.kubeapi import StatusError

DEPLOYMENT: dict[str, Any] = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "web"},
    "spec": {
        "selector": {},
        "template": {
            "spec": {
                "containers": [{"name": "c", "ports": [{"containerPort": 80}], "resources": {"limits": {"cpu": "1"}}}]
            }
        },
    },
}
PREFIX = 'Deployment in version "v1" cannot be handled as a Deployment: '


def error_with(path: list[str | int], value: Any) -> str | None:
    obj = copy.deepcopy(DEPLOYMENT)
    node: Any = obj
    for step in path[:-1]:
        node = node[step]
    node[path[-1]] = value
    schema = SchemaSet().definition("apps/v1", "Deployment")
    assert schema is not None
    return decode_error(schema, obj)


CONTAINER: list[str | int] = ["spec", "template", "spec", "containers", 0]


@pytest.mark.parametrize(
    ("path", "value", "problem"),
    [
        (
            ["spec", "replicas"],
            "3",
            "json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32",
        ),
        (
            ["spec", "replicas"],
            1.5,
            "json: cannot unmarshal number 1.5 into Go struct field DeploymentSpec.spec.replicas of type int32",
        ),
        (
            ["metadata", "labels"],
            {"version": 1},
            "json: cannot unmarshal number into Go struct field ObjectMeta.metadata.labels of type string",
        ),
        (
            [*CONTAINER, "ports", 0, "containerPort"],
            "80",
            "json: cannot unmarshal string into Go struct field "
            "ContainerPort.spec.template.spec.containers.ports.containerPort of type int32",
        ),
        (
            [*CONTAINER, "ports"],
            {},
            "json: cannot unmarshal object into Go struct field Container.spec.template.spec.containers.ports of type "
            "[]v1.ContainerPort",
        ),
        (
            [*CONTAINER, "command"],
            "sh",
            "json: cannot unmarshal string into Go struct field Container.spec.template.spec.containers.command "
            "of type []string",
        ),
        (
            ["spec"],
            [],
            "json: cannot unmarshal array into Go struct field Deployment.spec of type v1.DeploymentSpec",
        ),
        (
            [*CONTAINER, "resources", "limits", "cpu"],
            "lots",
            "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
        ),
        (
            ["metadata", "creationTimestamp"],
            "now",
            'parsing time "now" as "2006-01-02T15:04:05Z07:00": cannot parse "now" as "2006"',
        ),
    ],
)
def test_decode_error(path: list[str | int], value: Any, problem: str) -> None:
    assert error_with(path, value) == PREFIX + problem


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (["spec", "replicas"], 3),
        (["spec", "replicas"], None),
        (["spec", "strategy"], {"rollingUpdate": {"maxSurge": "25%", "maxUnavailable": 1}}),
        ([*CONTAINER, "resources", "limits", "cpu"], 1.5),
        ([*CONTAINER, "resources", "limits", "cpu"], "100m"),
        ([*CONTAINER, "resources", "limits", "cpu"], "1.5Gi"),
        (["metadata", "creationTimestamp"], "2026-01-02T03:04:05Z"),
        (["spec", "unknown"], {"is": "pruned, not refused"}),
    ],
)
def test_decodes(path: list[str | int], value: Any) -> None:
    assert error_with(path, value) is None


def test_secret_data_must_be_base64() -> None:
    schema = SchemaSet().definition("v1", "Secret")
    assert schema is not None
    secret = {"apiVersion": "v1", "kind": "Secret", "data": {"key": "not base64"}}
    assert decode_error(schema, secret) == (
        'Secret in version "v1" cannot be handled as a Secret: illegal base64 data at input byte 3'
    )
    assert decode_error(schema, {**secret, "data": {"key": "c2VjcmV0"}}) is None


def test_json_bodies() -> None:
    assert parse_body(b'{"a": [1, null]}', "application/json") == ({"a": [1, None]}, [])
    duplicates = b'{"a":1,"b":{"c":1,"c":2},"l":[{"x":1,"x":1}],"a":3}'
    assert parse_body(duplicates, "application/json") == ({"a": 3, "b": {"c": 2}, "l": [{"x": 1}]}, [])
    value, paths = parse_body(duplicates, "application/json; charset=utf-8", strict=True)
    assert value["a"] == 3
    assert paths == ["b.c", "l[0].x", "a"]


def test_yaml_bodies() -> None:
    body = b"a: 1\nday: 2020-01-01\nanswer: yes\nflag: true\nport: 0o17\nb:\n- c: 1\n  c: 2\na: 2\n"
    value, paths = parse_body(body, "application/apply-patch+yaml", strict=True)
    assert value["a"] == 2
    assert value["day"] == "2020-01-01"
    assert value["answer"] == "yes"
    assert value["flag"] is True
    assert paths == ["b[0].c", "a"]


@pytest.mark.parametrize(("body", "content_type"), [(b'{"a"', "application/json"), (b"a: [", "application/yaml")])
def test_malformed_bodies(body: bytes, content_type: str) -> None:
    with pytest.raises(StatusError) as caught:
        parse_body(body, content_type)
    assert (caught.value.code, caught.value.reason) == (400, "BadRequest")
