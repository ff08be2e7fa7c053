"""The three-way merge between what is there, what was rendered and what is rendered now."""

from __future__ import annotations

from typing import Any

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.istio.istioctl.reconcile import LAST_APPLIED, covers, merge3, reconcile, with_last_applied


def deployment(*env: str, image: str = "a:1", **labels: str) -> Obj:
    containers = [{"name": "c", "image": image, "env": [{"name": name, "value": "1"} for name in env]}]
    return {
        "kind": "Deployment",
        "metadata": {"name": "d", "labels": labels},
        "spec": {"template": {"spec": {"containers": containers}}},
    }


def as_live(desired: Obj) -> Obj:
    """The object as the server would return it."""
    written: Obj = with_last_applied(desired)
    written["metadata"] = {**written["metadata"], "uid": "u", "resourceVersion": "1"}
    return {**written, "status": {"replicas": 1}}


def env_of(obj: Obj) -> list[str]:
    return [entry["name"] for entry in obj["spec"]["template"]["spec"]["containers"][0]["env"]]


def test_nothing_to_do() -> None:
    assert reconcile(as_live(deployment("A")), deployment("A")) is None


def test_what_is_no_longer_rendered_goes_and_what_others_added_stays() -> None:
    live = as_live(deployment("A", "B", x="1", y="2"))
    live["spec"]["template"]["spec"]["containers"][0]["env"].append({"name": "THEIRS", "value": "1"})
    live["metadata"]["labels"]["theirs"] = "1"
    result = reconcile(live, deployment("A", x="1"))
    assert result is not None
    assert env_of(result) == ["A", "THEIRS"]
    assert result["metadata"]["labels"] == {"x": "1", "theirs": "1"}
    assert result["status"] == {"replicas": 1}


def test_hand_edits_of_rendered_fields_are_undone() -> None:
    live = as_live(deployment("A"))
    live["spec"]["template"]["spec"]["containers"][0]["image"] = "evil:2"
    result = reconcile(live, deployment("A"))
    assert result is not None
    assert result["spec"]["template"]["spec"]["containers"][0]["image"] == "a:1"


def test_an_edited_record_is_no_obstacle() -> None:
    live = as_live(deployment("A"))
    live["metadata"]["annotations"][LAST_APPLIED] = "{"
    assert reconcile(live, deployment("A")) is not None


def test_service_ports_keep_what_the_server_gave() -> None:
    live = {
        "ports": [
            {"port": 80, "protocol": "TCP", "nodePort": 30001},
            {"port": 81, "protocol": "TCP", "nodePort": 30002},
        ]
    }
    last = {"ports": [{"port": 80}, {"port": 81}]}
    desired = {"ports": [{"port": 80, "targetPort": 1}]}
    assert merge3(live, last, desired) == {
        "ports": [{"port": 80, "protocol": "TCP", "nodePort": 30001, "targetPort": 1}]
    }


def test_webhooks_keep_what_istiod_wrote() -> None:
    def hook(**more: Any) -> Obj:
        client = {"service": {"name": "istiod"}, **more.pop("client", {})}
        return {
            "kind": "ValidatingWebhookConfiguration",
            "metadata": {"name": "v"},
            "webhooks": [{"name": "a", "clientConfig": client, "failurePolicy": "Ignore", **more}],
        }

    live = as_live(hook())
    live["webhooks"][0] |= {
        "clientConfig": {"service": {"name": "istiod"}, "caBundle": "Y2E="},
        "failurePolicy": "Fail",
    }
    assert reconcile(live, hook()) is None
    assert reconcile(live, hook(sideEffects="None")) is not None


def test_definitions_are_compared_not_recorded() -> None:
    desired = {"kind": "CustomResourceDefinition", "metadata": {"name": "x"}, "spec": {"versions": [{"name": "v1"}]}}
    assert with_last_applied(desired) is desired
    live = {
        **desired,
        "metadata": {"name": "x", "uid": "u"},
        "spec": {"versions": [{"name": "v1", "served": True}], "conversion": {"strategy": "None"}},
    }
    assert reconcile(live, desired) is None
    changed = {**desired, "spec": {"versions": [{"name": "v2"}]}}
    result = reconcile(live, changed)
    assert result is not None
    assert result["spec"] == {"versions": [{"name": "v2"}], "conversion": {"strategy": "None"}}


def test_covers() -> None:
    assert covers({"a": [1, {"b": 2, "c": 3}]}, {"a": [1, {"b": 2}]})
    assert not covers({"a": [1]}, {"a": [1, 2]})
    assert not covers({}, {"a": None})
