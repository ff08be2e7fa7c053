from __future__ import annotations

import json

import pytest

from meshlab.minicluster.kubeapi import Obj, StatusError, matches_labels, object_key


def test_a_status_has_upstreams_order_of_keys() -> None:
    status = StatusError(404, "NotFound", 'pods "x" not found', {"name": "x", "kind": "pods"}).to_status()
    assert json.dumps(status) == (
        '{"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", '
        '"message": "pods \\"x\\" not found", "reason": "NotFound", '
        '"details": {"name": "x", "kind": "pods"}, "code": 404}'
    )


def test_an_error_survives_the_wire() -> None:
    error = StatusError(409, "Conflict", "changed", {"name": "x"})
    again = StatusError.from_status(json.loads(json.dumps(error.to_status())))
    assert (again.code, again.reason, again.message, again.details) == (409, "Conflict", "changed", {"name": "x"})
    assert "details" not in StatusError(500, "InternalError", "x").to_status()


@pytest.mark.parametrize("status", [{}, {"code": None, "reason": "", "message": None}])
def test_a_status_that_says_nothing(status: Obj) -> None:
    error = StatusError.from_status(status)
    assert (error.code, error.reason, str(error)) == (500, "Unknown", "unknown error")


def test_keys() -> None:
    assert object_key({"metadata": {"name": "a", "namespace": "b"}}) == ("b", "a")
    assert object_key({"metadata": {"name": "a"}}) == ("", "a")


@pytest.mark.parametrize(
    ("selector", "labels", "selected"),
    [
        ({"a": "1"}, {"a": "1", "b": "2"}, True),
        ({"a": "1", "b": "2"}, {"a": "1"}, False),
        ({"a": "1"}, {"a": "2"}, False),
        ({"a": "1"}, None, False),
        ({}, {"a": "1"}, False),
        (None, {"a": "1"}, False),
    ],
)
def test_an_empty_selector_selects_nothing(
    selector: dict[str, str] | None, labels: dict[str, str] | None, selected: bool
) -> None:
    assert matches_labels(selector, labels) is selected
