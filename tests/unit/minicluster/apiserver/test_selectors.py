from __future__ import annotations

import pytest

from meshlab.minicluster.apiserver.resources import Resource, builtin_resources
from meshlab.minicluster.apiserver.selectors import (
    parse_field_selector,
    parse_label_selector,
    selector_from_object,
)
from meshlab.minicluster.kubeapi import StatusError

RESOURCES = {item.storage: item for item in builtin_resources()}


def resource(storage: str) -> Resource:
    return RESOURCES[storage]


@pytest.mark.parametrize(
    ("selector", "labels", "matches"),
    [
        ("", {}, True),
        ("app=web", {"app": "web"}, True),
        ("app=web", {"app": "db"}, False),
        ("app==web,tier=front", {"app": "web", "tier": "front"}, True),
        ("app==web,tier=front", {"app": "web"}, False),
        ("app!=web", {}, True),
        ("app != web", {"app": "web"}, False),
        ("app in (web, db)", {"app": "db"}, True),
        ("app in (web,db)", {}, False),
        ("app notin (web,db)", {}, True),
        ("app notin (web,db)", {"app": "web"}, False),
        ("app", {"app": ""}, True),
        ("app", {}, False),
        ("!app", {}, True),
        ("! app", {"app": "x"}, False),
        ("app=", {"app": ""}, True),
        ("app in (,web)", {"app": ""}, True),
        ("version>2", {"version": "10"}, True),
        ("version<2", {"version": "10"}, False),
        ("version>2", {"version": "ten"}, False),
        ("app.kubernetes.io/name=web", {"app.kubernetes.io/name": "web"}, True),
        ("service.istio.io/canonical-name in (a),x", {"service.istio.io/canonical-name": "a", "x": "1"}, True),
    ],
)
def test_label_selector(selector: str, labels: dict[str, str], matches: bool) -> None:
    assert parse_label_selector(selector).matches(labels) is matches


@pytest.mark.parametrize(
    ("selector", "problem"),
    [
        ("app=web,", "found '', expected: identifier after ','"),
        ("app in web", "found 'web' expected: '('"),
        ("app in (web", "found '', expected: ',', or ')'"),
        ("=web", "found '=', expected: identifier"),
        ("app web", "found 'web', expected: in, notin, =, ==, !=, gt, lt"),
        ("a/b/c=1", 'key: Invalid value: "a/b/c"'),
        ("app=we~b", 'values[0][app]: Invalid value: "we~b"'),
        ("version>x", "the value must be an integer"),
    ],
)
def test_malformed_label_selector(selector: str, problem: str) -> None:
    with pytest.raises(StatusError) as caught:
        parse_label_selector(selector)
    assert caught.value.code == 400
    assert caught.value.message.startswith("unable to parse requirement: ")
    assert problem in caught.value.message


def test_an_empty_selector_is_false() -> None:
    assert not parse_label_selector(" ")
    assert parse_label_selector("a")


def test_selector_object() -> None:
    selector = selector_from_object(
        {
            "matchLabels": {"app": "web"},
            "matchExpressions": [
                {"key": "tier", "operator": "In", "values": ["front", "back"]},
                {"key": "old", "operator": "DoesNotExist"},
                {"key": "zone", "operator": "Exists"},
                {"key": "env", "operator": "NotIn", "values": ["prod"]},
            ],
        }
    )
    assert selector.matches({"app": "web", "tier": "back", "zone": "1"})
    assert not selector.matches({"app": "web", "tier": "back", "zone": "1", "old": ""})
    assert not selector.matches({"app": "web", "tier": "back", "zone": "1", "env": "prod"})
    with pytest.raises(StatusError):
        selector_from_object({"matchExpressions": [{"key": "a", "operator": "Near"}]})


POD = {
    "metadata": {"name": "web", "namespace": "shop"},
    "spec": {"nodeName": "meshlab", "hostNetwork": False},
    "status": {"phase": "Running"},
}


@pytest.mark.parametrize(
    ("selector", "matches"),
    [
        ("", True),
        ("metadata.name=web", True),
        ("metadata.name==web,status.phase!=Failed", True),
        ("metadata.namespace=other", False),
        ("spec.nodeName=", False),
        ("status.podIP=", True),
        ("spec.hostNetwork=false", True),
    ],
)
def test_field_selector(selector: str, matches: bool) -> None:
    assert parse_field_selector(selector).matches(POD, resource("pods")) is matches


def test_field_selector_of_events_knows_both_apis() -> None:
    selector = parse_field_selector("involvedObject.kind=Pod,involvedObject.name=web,reason=Killing")
    assert selector.matches(
        {"metadata": {}, "involvedObject": {"kind": "Pod", "name": "web"}, "reason": "Killing"}, resource("events")
    )
    assert selector.matches(
        {"metadata": {}, "regarding": {"kind": "Pod", "name": "web"}, "reason": "Killing"}, resource("events")
    )


def test_field_selector_unescapes_values() -> None:
    assert parse_field_selector(r"metadata.name=a\,b\=c").matches({"metadata": {"name": "a,b=c"}}, resource("pods"))


@pytest.mark.parametrize("selector", ["metadata.name", "=x", "a=b=c"])
def test_malformed_field_selector(selector: str) -> None:
    with pytest.raises(StatusError, match="invalid selector"):
        parse_field_selector(selector)


def test_unknown_field() -> None:
    selector = parse_field_selector("spec.color=red")
    with pytest.raises(StatusError, match=r"field label not supported: spec\.color"):
        selector.check(resource("pods"))
    with pytest.raises(StatusError, match=r"field label not supported: status\.phase"):
        parse_field_selector("status.phase=Running").check(resource("configmaps"))
