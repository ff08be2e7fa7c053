"""The CEL rules of custom resources among the other checks of a write."""

from __future__ import annotations

from typing import Any

import pytest

from meshlab.minicluster.apiserver.local import LocalApi
from meshlab.minicluster.kubeapi import Obj, StatusError

WIDGETS = "widgets.example.com"


@pytest.fixture
async def widgets(api: LocalApi) -> LocalApi:
    spec: Any = {
        "type": "object",
        "required": ["size"],
        "x-kubernetes-validations": [{"rule": "self.size <= self.limit", "message": "too large"}],
        "properties": {
            "size": {"type": "integer"},
            "limit": {"type": "integer", "default": 5},
            "kind": {
                "type": "string",
                "x-kubernetes-validations": [{"rule": "self == oldSelf", "message": "immutable"}],
            },
        },
    }
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": spec}}},
    }
    await api.create(
        "customresourcedefinitions.apiextensions.k8s.io",
        {
            "metadata": {"name": "widgets.example.com"},
            "spec": {
                "group": "example.com",
                "scope": "Namespaced",
                "names": {"plural": "widgets", "kind": "Widget"},
                "versions": [version],
            },
        },
    )
    return api


def widget(**spec: Any) -> Obj:
    return {"metadata": {"name": "w"}, "spec": spec}


async def refusal(api: LocalApi, obj: Obj) -> str:
    with pytest.raises(StatusError) as caught:
        await (api.update(WIDGETS, obj) if "uid" in obj["metadata"] else api.create(WIDGETS, obj, "default"))
    assert caught.value.code == 422
    return caught.value.message.removeprefix('Widget.example.com "w" is invalid: ')


async def test_rules_see_the_defaults(widgets: LocalApi) -> None:
    assert await refusal(widgets, widget(size=6)) == "spec: Invalid value: too large"
    created = await widgets.create(WIDGETS, widget(size=6, limit=7), "default")
    assert created["spec"]["limit"] == 7


async def test_the_schema_is_judged_first(widgets: LocalApi) -> None:
    assert await refusal(widgets, widget(limit=1)) == (
        '[spec.size: Required value, <nil>: Invalid value: "null": some validation rules were not checked because the '
        "object was invalid; correct the existing errors to complete validation]"
    )


async def test_changes(widgets: LocalApi) -> None:
    created = await widgets.create(WIDGETS, widget(size=1, kind="a"), "default")
    assert await refusal(widgets, {**created, "spec": {**created["spec"], "kind": "b"}}) == (
        'spec.kind: Invalid value: "b": immutable'
    )
    changed = await widgets.update(WIDGETS, {**created, "spec": {**created["spec"], "size": 2}})
    assert changed["spec"]["size"] == 2
