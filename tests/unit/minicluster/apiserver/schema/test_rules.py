"""The CEL rules of custom resources: where they are found, what is said, and what changes are let through."""

from __future__ import annotations

from typing import Any

import pytest

from meshlab.minicluster.apiserver.schema.rules import escaped, not_checked, rule_problems, rule_tree
from meshlab.minicluster.apiserver.statuses import Problem


def schema(*rules: dict[str, str], kind: str = "object", **more: Any) -> dict[str, Any]:
    return {"type": kind, "x-kubernetes-validations": list(rules), **more}


def found(tree: dict[str, Any], obj: Any, old: Any = None) -> list[str]:
    problems = rule_problems(
        rule_tree({"type": "object", "properties": {"spec": tree}}), {"spec": obj}, old and {"spec": old}
    )
    return [f"{problem.field}: {problem.message}" for problem in problems]


def test_a_schema_without_rules_costs_nothing() -> None:
    assert rule_tree({"type": "object", "properties": {"a": {"type": "array", "items": {"type": "string"}}}}) is None


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ({"message": "no"}, "spec: Invalid value: no"),
        ({}, "spec: Invalid value: failed rule: self.a > 1"),
        ({"message": "no", "messageExpression": "'a is %d'.format([self.a])"}, "spec: Invalid value: a is 1"),
        ({"message": "no", "messageExpression": "self.missing"}, "spec: Invalid value: no"),
        ({"message": "no", "messageExpression": "'  '"}, "spec: Invalid value: no"),
        ({"message": "no", "fieldPath": ".a"}, "spec.a: Invalid value: no"),
        ({"message": "no", "reason": "FieldValueForbidden"}, "spec: Forbidden: no"),
        ({"message": "no", "fieldPath": ".b", "reason": "FieldValueRequired"}, "spec.b: Required value: no"),
        ({"message": "no", "reason": "FieldValueDuplicate"}, "spec: Duplicate value"),
    ],
)
def test_what_is_said(rule: dict[str, str], expected: str) -> None:
    assert found(schema({"rule": "self.a > 1", **rule}), {"a": 1}) == [expected]


def test_plain_values_are_shown() -> None:
    assert found(schema({"rule": "self != 'a'", "message": "no"}, kind="string"), "a") == [
        'spec: Invalid value: "a": no'
    ]
    assert found(schema({"rule": "self > 1", "message": "no"}, kind="integer"), 1) == ["spec: Invalid value: 1: no"]


def test_rules_that_fail_to_evaluate() -> None:
    assert found(schema({"rule": "self.a > 1", "message": "no"}), {}) == [
        'spec: Invalid value: "object": no such key: a evaluating rule: no'
    ]
    anything = {**schema({"rule": "self.a > 1"}), "x-kubernetes-preserve-unknown-fields": True}
    assert found(anything, {"a": "x"}) == [
        "spec: Invalid value: \"object\": 'no such overload': call arguments did not match a supported operator, "
        "function or macro signature for rule: self.a > 1"
    ]


def test_a_malformed_rule_refuses_every_object() -> None:
    (told,) = found(schema({"rule": "self ==", "message": "no"}), {})
    assert told.startswith('spec: Invalid value: "object": Failed to parse expression')
    assert told.endswith(" evaluating rule: no")


def test_places() -> None:
    positive = schema({"rule": "self > 0", "message": "no"}, kind="integer")
    tree = {
        "type": "object",
        "properties": {
            "list": {"type": "array", "items": {"type": "object", "properties": {"n": positive}}},
            "map": {"type": "object", "additionalProperties": positive},
        },
    }
    assert found(tree, {"list": [{"n": 1}, {"n": 0}], "map": {"a-b": -1}}) == [
        "spec.list[1].n: Invalid value: 0: no",
        "spec.map[a-b]: Invalid value: -1: no",
    ]


def test_a_number_is_a_number_whatever_its_digits() -> None:
    tree = schema({"rule": "self.n / 2.0 == 1.0"}, properties={"n": {"type": "number"}})
    assert found(tree, {"n": 2}) == []


def test_names_that_cel_cannot_spell() -> None:
    names = ["a-b", "a.b/c", "a__b", "namespace", "plain"]
    assert list(map(escaped, names)) == [
        "a__dash__b",
        "a__dot__b__slash__c",
        "a__underscores__b",
        "__namespace__",
        "plain",
    ]
    tree = schema(
        {"rule": "self.__namespace__ == 'x' && self.a__dash__b == 1"}, properties={"namespace": {}, "a-b": {}}
    )
    assert found(tree, {"namespace": "x", "a-b": 1}) == []


def test_transition_rules_are_for_changes() -> None:
    immutable = schema({"rule": "self == oldSelf", "message": "immutable"}, kind="string")
    assert found(immutable, "a") == []
    assert found(immutable, "a", "a") == []
    assert found(immutable, "a", "b") == ['spec: Invalid value: "a": immutable']


def test_items_are_compared_by_their_keys() -> None:
    item = {
        "type": "object",
        "properties": {"name": {"type": "string"}, "n": schema({"rule": "self >= oldSelf"}, kind="integer")},
    }
    tree = {"type": "array", "items": item, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]}
    old = [{"name": "a", "n": 1}, {"name": "b", "n": 2}]
    assert found(tree, [{"name": "b", "n": 3}, {"name": "c", "n": 0}], old) == []
    assert found(tree, [{"name": "b", "n": 1}], old) == ["spec[0].n: Invalid value: 1: failed rule: self >= oldSelf"]


def test_what_was_wrong_before_is_let_through_unchanged() -> None:
    tree = schema({"rule": "self.a > 1", "message": "no"})
    assert found(tree, {"a": 1}, {"a": 1}) == []
    assert found(tree, {"a": 0}, {"a": 1}) == ["spec: Invalid value: no"]


def test_rules_are_not_judged_of_what_has_no_shape() -> None:
    required = [Problem("FieldValueRequired", "spec.a", "Required value")]
    assert [problem.message for problem in not_checked(required)] == [
        'Invalid value: "null": some validation rules were not checked because the object was invalid; '
        "correct the existing errors to complete validation"
    ]
    assert not_checked([Problem("FieldValueInvalid", "spec.a", "Invalid value: 1")]) == []
