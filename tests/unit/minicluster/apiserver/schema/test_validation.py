from __future__ import annotations

from typing import Any

import pytest

from meshlab.minicluster.apiserver.schema import SchemaSet, validate

SPEC = "spec"


def findings(spec_schema: dict[str, Any], spec: Any) -> list[tuple[str, str, str]]:
    """Validate ``{"spec": spec}`` and give (reason, field, message) of every finding."""
    schema = {"type": "object", "properties": {SPEC: spec_schema}}
    return [(item.reason, item.field, item.message) for item in validate(schema, {SPEC: spec})]


INVALID, TYPE = "FieldValueInvalid", "FieldValueTypeInvalid"


@pytest.mark.parametrize(
    ("schema", "value", "reason", "message"),
    [
        ({"type": "integer"}, "x", TYPE, 'Invalid value: "string": spec in body must be of type integer: "string"'),
        ({"type": "integer"}, 1.5, TYPE, 'Invalid value: "number": spec in body must be of type integer: "number"'),
        ({"type": "integer"}, True, TYPE, 'Invalid value: "boolean": spec in body must be of type integer: "boolean"'),
        ({"type": "object"}, [], TYPE, 'Invalid value: "array": spec in body must be of type object: "array"'),
        ({"type": "string"}, None, TYPE, 'Invalid value: "null": spec in body must be of type string: "null"'),
        (
            {"x-kubernetes-int-or-string": True},
            True,
            TYPE,
            'Invalid value: "boolean": spec in body must be of type integer,string: "boolean"',
        ),
        (
            {"type": "string", "enum": ["RED", "BLUE"]},
            "green",
            "FieldValueNotSupported",
            'Unsupported value: "green": supported values: "RED", "BLUE"',
        ),
        (
            {"type": "integer", "minimum": 1},
            0,
            INVALID,
            "Invalid value: 0: spec in body should be greater than or equal to 1",
        ),
        (
            {"type": "integer", "minimum": 1, "exclusiveMinimum": True},
            1,
            INVALID,
            "Invalid value: 1: spec in body should be greater than 1",
        ),
        (
            {"type": "number", "maximum": 100},
            101,
            INVALID,
            "Invalid value: 101: spec in body should be less than or equal to 100",
        ),
        (
            {"type": "integer", "maximum": 4294967295},
            4294967296,
            INVALID,
            "Invalid value: 4294967296: spec in body should be less than or equal to 4.294967295e+09",
        ),
        ({"type": "integer", "multipleOf": 5}, 7, INVALID, "Invalid value: 7: spec in body should be a multiple of 5"),
        (
            {"type": "string", "minLength": 2},
            "a",
            INVALID,
            'Invalid value: "a": spec in body should be at least 2 chars long',
        ),
        ({"type": "string", "maxLength": 2}, "abc", "FieldValueTooLong", "Too long: may not be more than 2 bytes"),
        ({"type": "string", "pattern": "^a$"}, "b", INVALID, "Invalid value: \"b\": spec in body should match '^a$'"),
        (
            {"type": "string", "format": "date-time"},
            "yesterday",
            TYPE,
            'Invalid value: "yesterday": spec in body must be of type date-time: "yesterday"',
        ),
        ({"type": "array", "minItems": 1}, [], INVALID, "Invalid value: 0: spec in body should have at least 1 items"),
        ({"type": "array", "maxItems": 1}, [1, 2], "FieldValueTooMany", "Too many: 2: must have at most 1 items"),
        (
            {"type": "object", "minProperties": 1},
            {},
            INVALID,
            "Invalid value: {}: spec in body should have at least 1 properties",
        ),
        (
            {"type": "object", "maxProperties": 1},
            {"a": 1, "b": 2},
            "FieldValueTooMany",
            "Too many: 2: must have at most 1 items",
        ),
    ],
)
def test_one_finding(schema: dict[str, Any], value: Any, reason: str, message: str) -> None:
    assert findings(schema, value) == [(reason, "spec", message)]


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "integer"}, 3.0),
        ({"type": "number"}, 3),
        ({"type": "string", "nullable": True}, None),
        ({"type": "string", "format": "date-time"}, "2026-01-02T03:04:05.6Z"),
        ({"type": "string", "format": "no-such-format"}, "x"),
        ({"x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}, {"type": "string"}]}, "50%"),
        ({"x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}, {"type": "string"}]}, 5),
        ({"type": "object", "x-kubernetes-preserve-unknown-fields": True}, {"any": [{"thing": 1}]}),
        ({"x-kubernetes-preserve-unknown-fields": True}, 1),
        ({"type": "string", "pattern": r"^[a-z]+\z"}, "abc"),
        ({"type": "integer", "enum": [1, 2]}, 1),
    ],
)
def test_nothing_wrong(schema: dict[str, Any], value: Any) -> None:
    assert findings(schema, value) == []


def test_a_final_newline_does_not_match_a_dollar() -> None:
    assert findings({"type": "string", "pattern": "^a$"}, "a\n") != []


def test_required() -> None:
    schema = {"type": "object", "required": ["host"], "properties": {"host": {"type": "string"}}}
    assert findings(schema, {}) == [("FieldValueRequired", "spec.host", "Required value")]
    assert findings(schema, {"host": ""}) == []
    assert findings(schema, {"host": None})[0][0] == TYPE


def test_paths_of_nested_findings() -> None:
    schema = {
        "type": "object",
        "properties": {
            "http": {
                "type": "array",
                "items": {"type": "object", "required": ["name"], "properties": {"weight": {"type": "integer"}}},
            }
        },
        "additionalProperties": {"type": "string"},
    }
    found = findings(schema, {"http": [{"name": "a"}, {"weight": "x"}], "labels": 1})
    assert [(reason, field) for reason, field, _ in found] == [
        ("FieldValueRequired", "spec.http[1].name"),
        (TYPE, "spec.http[1].weight"),
        (TYPE, "spec.labels"),
    ]


def test_one_of() -> None:
    schema = {
        "type": "object",
        "properties": {"a": {"type": "string"}, "b": {"type": "string"}},
        "oneOf": [{"required": ["a"]}, {"required": ["b"]}],
    }
    assert findings(schema, {"a": "x"}) == []
    none = findings(schema, {})
    assert none[0] == (
        INVALID,
        "<nil>",
        'Invalid value: "": "spec" must validate one and only one schema (oneOf). Found none valid',
    )
    assert none[1][0] == "FieldValueRequired"
    both = findings(schema, {"a": "x", "b": "y"})
    assert both == [
        (
            INVALID,
            "<nil>",
            'Invalid value: "": "spec" must validate one and only one schema (oneOf). Found 2 valid alternatives',
        )
    ]


def test_any_of_and_not() -> None:
    """The way in which Istio's definitions say "at most one of these fields"."""
    schema = {
        "type": "object",
        "oneOf": [
            {"not": {"anyOf": [{"required": ["simple"]}, {"required": ["hash"]}]}},
            {"required": ["simple"]},
            {"required": ["hash"]},
        ],
    }
    assert findings(schema, {}) == []
    assert findings(schema, {"simple": "RANDOM"}) == []
    assert findings(schema, {"simple": "RANDOM", "hash": {}})[0][2].endswith("Found 2 valid alternatives")
    assert findings({"not": {"required": ["a"]}}, {"a": 1})[0][2] == (
        'Invalid value: "": "spec" must not validate the schema (not)'
    )
    assert findings({"anyOf": [{"type": "string"}, {"type": "boolean"}]}, 1)[0][2] == (
        'Invalid value: "": "spec" must validate at least one schema (anyOf)'
    )
    assert findings({"allOf": [{"minimum": 1}, {"maximum": 3}]}, 5)[0][2].endswith("less than or equal to 3")


def test_duplicates_in_sets_and_maps() -> None:
    as_set = {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"}
    assert findings(as_set, ["a", "b", "a"]) == [("FieldValueDuplicate", "spec[2]", 'Duplicate value: "a"')]
    as_map = {
        "type": "array",
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["port", "protocol"],
        "items": {"type": "object", "properties": {"port": {"type": "integer"}, "protocol": {"default": "TCP"}}},
    }
    found = findings(as_map, [{"port": 80}, {"port": 80, "protocol": "UDP"}, {"port": 80, "protocol": "TCP"}])
    assert found == [("FieldValueDuplicate", "spec[2]", 'Duplicate value: {"port":80,"protocol":"TCP"}')]


def test_built_in_kinds() -> None:
    schema = SchemaSet().definition("apps/v1", "Deployment")
    assert schema is not None
    deployment: dict[str, Any] = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "creationTimestamp": None},
        "spec": {
            "replicas": None,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"image": "nginx", "resources": {"limits": {"cpu": 1}}}]},
            },
            "strategy": {"rollingUpdate": {"maxSurge": "25%", "maxUnavailable": 0}},
        },
        "status": {},
    }
    assert [item.field for item in validate(schema, deployment)] == ["spec.template.spec.containers[0].name"]
    deployment["spec"]["selector"] = None
    assert ("spec.selector", "Required value") in [(item.field, item.message) for item in validate(schema, deployment)]
