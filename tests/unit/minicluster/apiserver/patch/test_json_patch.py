"""The examples of RFC 6902, appendix A, and what upstream's library adds."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from meshlab.minicluster.apiserver.patch import json_patch
from meshlab.minicluster.kubeapi import StatusError

CASES: list[tuple[dict[str, Any], list[dict[str, Any]], dict[str, Any]]] = [
    ({"foo": "bar"}, [{"op": "add", "path": "/baz", "value": "qux"}], {"baz": "qux", "foo": "bar"}),
    ({"foo": ["a", "c"]}, [{"op": "add", "path": "/foo/1", "value": "b"}], {"foo": ["a", "b", "c"]}),
    ({"baz": 1, "foo": 2}, [{"op": "remove", "path": "/baz"}], {"foo": 2}),
    ({"foo": ["a", "b", "c"]}, [{"op": "remove", "path": "/foo/1"}], {"foo": ["a", "c"]}),
    ({"baz": 1}, [{"op": "replace", "path": "/baz", "value": 2}], {"baz": 2}),
    (
        {"foo": {"bar": 1, "waldo": 2}, "qux": {"corge": 3}},
        [{"op": "move", "from": "/foo/waldo", "path": "/qux/thud"}],
        {"foo": {"bar": 1}, "qux": {"corge": 3, "thud": 2}},
    ),
    (
        {"foo": ["a", "b", "c", "d"]},
        [{"op": "move", "from": "/foo/1", "path": "/foo/3"}],
        {"foo": ["a", "c", "d", "b"]},
    ),
    (
        {"foo": {"bar": [1]}},
        [{"op": "copy", "from": "/foo/bar", "path": "/foo/baz"}],
        {"foo": {"bar": [1], "baz": [1]}},
    ),
    ({"baz": "qux", "foo": ["a", 2]}, [{"op": "test", "path": "/foo/1", "value": 2}], {"baz": "qux", "foo": ["a", 2]}),
    ({"foo": ["bar"]}, [{"op": "add", "path": "/foo/-", "value": ["x"]}], {"foo": ["bar", ["x"]]}),
    (
        {"a/b": 1, "m~n": 2},
        [{"op": "replace", "path": "/a~1b", "value": 3}, {"op": "remove", "path": "/m~0n"}],
        {"a/b": 3},
    ),
    ({"foo": [1, 2, 3]}, [{"op": "remove", "path": "/foo/-1"}], {"foo": [1, 2]}),
    ({"foo": 1}, [{"op": "test", "path": "/bar", "value": None}], {"foo": 1}),
    ({"foo": 1}, [{"op": "replace", "path": "", "value": {"bar": 2}}], {"bar": 2}),
    ({"foo": None}, [{"op": "test", "path": "/foo", "value": None}], {"foo": None}),
]


@pytest.mark.parametrize(("obj", "patch", "expected"), CASES)
def test_applies(obj: dict[str, Any], patch: list[dict[str, Any]], expected: dict[str, Any]) -> None:
    before = copy.deepcopy(obj)
    assert json_patch(obj, patch) == expected
    assert obj == before


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "test", "path": "/foo", "value": "other"},
        {"op": "test", "path": "/on", "value": 1},
        {"op": "remove", "path": "/missing"},
        {"op": "replace", "path": "/missing", "value": 1},
        {"op": "add", "path": "/missing/child", "value": 1},
        {"op": "add", "path": "/list/5", "value": 1},
        {"op": "remove", "path": "/list/x"},
        {"op": "add", "path": "/foo"},
        {"op": "move", "path": "/foo"},
        {"op": "jump", "path": "/foo"},
        {"op": "add", "path": "foo", "value": 1},
        {"op": "add", "path": "/foo/bar", "value": 1},
    ],
)
def test_an_operation_that_does_not_hold_is_invalid(operation: dict[str, Any]) -> None:
    with pytest.raises(StatusError) as caught:
        json_patch({"foo": "bar", "list": [1], "on": True}, [operation])
    assert (caught.value.code, caught.value.reason) == (422, "Invalid")
    assert caught.value.message == "the server rejected our request due to an error in our request"


def test_nothing_is_applied_if_one_operation_fails() -> None:
    obj = {"foo": {"bar": 1}}
    with pytest.raises(StatusError):
        json_patch(obj, [{"op": "remove", "path": "/foo/bar"}, {"op": "test", "path": "/foo/bar", "value": 1}])
    assert obj == {"foo": {"bar": 1}}


@pytest.mark.parametrize("patch", [{"op": "add"}, "x", ["x"], [None]])
def test_a_malformed_patch_is_a_bad_request(patch: Any) -> None:
    with pytest.raises(StatusError) as caught:
        json_patch({}, patch)
    assert caught.value.code == 400


def test_too_many_operations() -> None:
    with pytest.raises(StatusError) as caught:
        json_patch({}, [{"op": "add", "path": "/a", "value": 1}] * 10_001)
    assert caught.value.code == 413
