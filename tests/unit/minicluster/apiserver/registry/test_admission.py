"""The admission chain: ServiceAccounts, and the order in which webhooks see an object."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from meshlab.minicluster.apiserver.admission.builtin import TOKEN_MOUNT_PATH
from meshlab.minicluster.apiserver.local import LocalApi
from meshlab.minicluster.kubeapi import Obj, StatusError


def pod(**spec: Any) -> Obj:
    return {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "nginx"}], **spec}}


async def test_a_pod_gets_its_token_volume(api: LocalApi) -> None:
    made = await api.create("pods", pod(initContainers=[{"name": "i", "image": "x"}]), "default")
    spec = made["spec"]
    (volume,) = spec["volumes"]
    assert volume["name"].startswith("kube-api-access-") and volume["projected"]["defaultMode"] == 420
    for container in (*spec["containers"], *spec["initContainers"]):
        mount = {"name": volume["name"], "readOnly": True, "mountPath": TOKEN_MOUNT_PATH}
        assert container["volumeMounts"] == [mount]
    assert [toleration["tolerationSeconds"] for toleration in spec["tolerations"]] == [300, 300]
    assert spec["priority"] == 0 and spec["enableServiceLinks"] is True


async def test_a_pod_may_do_without(api: LocalApi) -> None:
    made = await api.create("pods", pod(automountServiceAccountToken=False), "default")
    assert "volumes" not in made["spec"]


async def test_an_unknown_account_is_refused(api: LocalApi) -> None:
    with pytest.raises(StatusError) as caught:
        await api.create("pods", pod(serviceAccountName="ghost"), "default")
    assert caught.value.message == (
        'pods "p" is forbidden: error looking up service account default/ghost: serviceaccount "ghost" not found'
    )


def add(path: str, value: Any) -> Any:
    operations = [{"op": "add", "path": path, "value": value}]
    patch = base64.b64encode(json.dumps(operations).encode()).decode()
    return lambda request: {"allowed": True, "patchType": "JSONPatch", "patch": patch}


def webhook(name: str, **more: Any) -> Obj:
    rules = [{"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["configmaps", "pods"]}]
    return {
        "name": name,
        "clientConfig": {"url": "https://hook.example/"},
        "rules": rules,
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
        **more,
    }


async def configure(api: LocalApi, *webhooks: Obj, kind: str = "mutating") -> None:
    resource = f"{kind}webhookconfigurations.admissionregistration.k8s.io"
    await api.create(resource, {"metadata": {"name": "hooks"}, "webhooks": list(webhooks)})


async def test_defaults_are_filled_in_after_a_patch(api: LocalApi, hooks: Any) -> None:
    hooks.answers["a.x.io"] = add("/spec/containers/-", {"name": "proxy", "image": "istio/proxyv2:1.31"})
    await configure(api, webhook("a.x.io"))
    made = await api.create("pods", pod(), "default")
    proxy = made["spec"]["containers"][1]
    assert proxy["imagePullPolicy"] == "IfNotPresent" and proxy["terminationMessagePolicy"] == "File"


async def test_a_webhook_sees_again_what_later_ones_changed_if_it_asks(api: LocalApi, hooks: Any) -> None:
    hooks.answers["a.x.io"] = lambda request: {"allowed": True}
    hooks.answers["b.x.io"] = add("/data", {"k": "v"})
    await configure(api, webhook("a.x.io", reinvocationPolicy="IfNeeded"), webhook("b.x.io"))
    await api.create("configmaps", {"metadata": {"name": "c"}}, "default")
    assert hooks.asked == ["a.x.io", "b.x.io", "a.x.io"]


async def test_validating_webhooks_see_the_object_as_it_would_be_stored(api: LocalApi, hooks: Any) -> None:
    seen: list[Obj] = []

    def judge(request: Obj) -> Obj:
        seen.append(request)
        return {"allowed": True, "warnings": ["careful"]}

    hooks.answers["v.x.io"] = judge
    await configure(api, webhook("v.x.io"), kind="validating")
    made = await api.create("configmaps", {"metadata": {"generateName": "c-"}}, "default")
    assert seen[0]["object"]["metadata"]["uid"] == made["metadata"]["uid"]
    await api.delete("configmaps", made["metadata"]["name"], "default")
    assert seen[1]["operation"] == "DELETE" and seen[1]["object"] is None
    assert seen[1]["oldObject"]["metadata"]["name"] == made["metadata"]["name"]


async def test_webhooks_never_judge_webhook_configurations(api: LocalApi, hooks: Any) -> None:
    hooks.answers["v.x.io"] = lambda request: {"allowed": False}
    every = [{"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*"]}]
    await configure(api, webhook("v.x.io", rules=every), kind="validating")
    await api.delete("validatingwebhookconfigurations.admissionregistration.k8s.io", "hooks")
    assert hooks.asked == []


@pytest.mark.parametrize(
    ("status", "code", "message"),
    [
        ({"message": "no", "code": 403, "reason": "Forbidden"}, 403, "denied the request: no"),
        ({"reason": "Because"}, 400, "denied the request: Because"),
        ({}, 400, "denied the request without explanation"),
    ],
)
async def test_denials(api: LocalApi, hooks: Any, status: Obj, code: int, message: str) -> None:
    hooks.answers["v.x.io"] = lambda request: {"allowed": False, "status": status}
    await configure(api, webhook("v.x.io"), kind="validating")
    with pytest.raises(StatusError) as caught:
        await api.create("configmaps", {"metadata": {"name": "c"}}, "default")
    assert (caught.value.code, caught.value.message) == (code, f'admission webhook "v.x.io" {message}')
