from __future__ import annotations

import copy

from meshlab.minicluster.apiserver.schema import SchemaSet, default

SCHEMA = {
    "type": "object",
    "properties": {
        "spec": {
            "type": "object",
            "default": {},
            "properties": {
                "mode": {"type": "string", "default": "STRICT"},
                "note": {"type": "string", "nullable": True, "default": "none"},
                "ports": {
                    "type": "array",
                    "items": {"type": "object", "properties": {"protocol": {"type": "string", "default": "TCP"}}},
                },
                "zones": {
                    "type": "object",
                    "additionalProperties": {"type": "object", "properties": {"weight": {"default": 1}}},
                },
            },
        }
    },
}


def test_defaults_are_filled_in_at_every_depth() -> None:
    assert default(SCHEMA, {}) == {"spec": {"mode": "STRICT", "note": "none"}}
    obj = {"spec": {"mode": "PERMISSIVE", "ports": [{}, {"protocol": "UDP"}], "zones": {"a": {}}}}
    before = copy.deepcopy(obj)
    assert default(SCHEMA, obj)["spec"] == {
        "mode": "PERMISSIVE",
        "note": "none",
        "ports": [{"protocol": "TCP"}, {"protocol": "UDP"}],
        "zones": {"a": {"weight": 1}},
    }
    assert obj == before


def test_null_counts_as_absent_unless_the_field_is_nullable() -> None:
    assert default(SCHEMA, {"spec": {"mode": None, "note": None}})["spec"] == {"mode": "STRICT", "note": None}


def test_an_object_that_lacks_nothing_comes_back_itself() -> None:
    obj = {"spec": {"mode": "x", "note": "y", "ports": [{"protocol": "UDP"}]}}
    assert default(SCHEMA, obj) is obj


def test_the_default_itself_is_never_handed_out_to_be_changed() -> None:
    schema = {"type": "object", "properties": {"hosts": {"type": "array", "default": ["*"]}}}
    default(schema, {})["hosts"].append("changed")
    assert default(schema, {}) == {"hosts": ["*"]}


def test_the_few_defaults_of_built_in_schemas() -> None:
    schema = SchemaSet().definition("v1", "Service")
    assert schema is not None
    service = default(schema, {"spec": {"ports": [{"port": 80}]}})
    assert service["spec"]["ports"] == [{"port": 80, "protocol": "TCP"}]
