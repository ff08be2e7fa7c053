"""Deleting: at once, after a grace period, or when the finalizers are gone."""

from __future__ import annotations

import pytest

from meshlab.minicluster.apiserver.local import LocalApi
from meshlab.minicluster.kubeapi import Obj, StatusError


async def gone(api: LocalApi, resource: str, name: str) -> bool:
    try:
        await api.get(resource, name, "default")
    except StatusError as error:
        return error.code == 404
    return False


async def running_pod(api: LocalApi, **metadata: object) -> Obj:
    pod: Obj = {"metadata": {"name": "p", **metadata}, "spec": {"containers": [{"name": "c", "image": "nginx"}]}}
    await api.create("pods", pod, "default")
    await api.create(
        "pods", {"metadata": {"name": "p"}, "target": {"name": "meshlab"}}, "default", subresource="binding"
    )
    return await api.get("pods", "p", "default")


async def test_what_nothing_holds_goes_at_once(api: LocalApi) -> None:
    await api.create("configmaps", {"metadata": {"name": "c"}}, "default")
    await api.delete("configmaps", "c", "default")
    assert await gone(api, "configmaps", "c")


@pytest.mark.parametrize(
    ("policy", "finalizer"), [("Foreground", "foregroundDeletion"), ("Orphan", "orphan"), ("Background", "")]
)
async def test_propagation_policies_become_finalizers(api: LocalApi, policy: str, finalizer: str) -> None:
    await api.create("configmaps", {"metadata": {"name": "c"}}, "default")
    left = await api.delete("configmaps", "c", "default", propagation=policy)  # type: ignore[arg-type]
    if not finalizer:
        assert await gone(api, "configmaps", "c")
        return
    assert left["metadata"]["finalizers"] == [finalizer] and left["metadata"]["deletionTimestamp"]
    await api.patch("configmaps", "c", {"metadata": {"finalizers": None}}, "default")
    assert await gone(api, "configmaps", "c")


async def test_a_dying_object_takes_no_new_finalizers(api: LocalApi) -> None:
    await api.create("configmaps", {"metadata": {"name": "c", "finalizers": ["a.io/x"]}}, "default")
    await api.delete("configmaps", "c", "default")
    with pytest.raises(StatusError, match="no new finalizers can be added if the object is being deleted"):
        await api.patch("configmaps", "c", {"metadata": {"finalizers": ["a.io/x", "a.io/y"]}}, "default")


async def test_a_running_pod_is_given_time(api: LocalApi) -> None:
    pod = await running_pod(api)
    dying = await api.delete("pods", "p", "default")
    assert dying["metadata"]["deletionGracePeriodSeconds"] == 30
    again = await api.delete("pods", "p", "default")
    assert again == dying
    shorter = await api.delete("pods", "p", "default", grace_period_s=5)
    assert shorter["metadata"]["deletionGracePeriodSeconds"] == 5
    assert shorter["metadata"]["deletionTimestamp"] < dying["metadata"]["deletionTimestamp"]
    assert await api.delete("pods", "p", "default", grace_period_s=20) == shorter
    with pytest.raises(StatusError, match="Precondition failed: UID in precondition: other"):
        await api.delete("pods", "p", "default", grace_period_s=0, uid="other")
    await api.delete("pods", "p", "default", grace_period_s=0, uid=pod["metadata"]["uid"])
    assert await gone(api, "pods", "p")


async def test_a_pod_that_runs_nowhere_goes_at_once(api: LocalApi) -> None:
    await api.create(
        "pods", {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "x"}]}}, "default"
    )
    await api.delete("pods", "p", "default")
    assert await gone(api, "pods", "p")


async def test_a_stopped_pod_waits_for_its_finalizers(api: LocalApi) -> None:
    await running_pod(api, finalizers=["a.io/x"])
    await api.delete("pods", "p", "default")
    await api.delete("pods", "p", "default", grace_period_s=0)
    held = await api.get("pods", "p", "default")
    assert held["metadata"]["deletionGracePeriodSeconds"] == 0
    await api.patch("pods", "p", {"metadata": {"finalizers": None}}, "default")
    assert await gone(api, "pods", "p")


async def test_a_pod_is_bound_once(api: LocalApi) -> None:
    await running_pod(api)
    with pytest.raises(StatusError) as caught:
        binding = {"metadata": {"name": "p"}, "target": {"name": "elsewhere"}}
        await api.create("pods", binding, "default", subresource="binding")
    assert caught.value.code == 409 and 'pod p is already assigned to node "meshlab"' in caught.value.message


async def test_eviction_respects_budgets(api: LocalApi) -> None:
    await running_pod(api, labels={"app": "x"})
    status = {"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}}
    await api.patch("pods", "p", status, "default", subresource="status")
    budget = {"metadata": {"name": "b"}, "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "x"}}}}
    await api.create("poddisruptionbudgets.policy", budget, "default")
    with pytest.raises(StatusError) as caught:
        await api.create("pods", {"metadata": {"name": "p"}}, "default", subresource="eviction")
    assert caught.value.code == 429
    await api.delete("poddisruptionbudgets.policy", "b", "default")
    await api.create("pods", {"metadata": {"name": "p"}}, "default", subresource="eviction")
    assert (await api.get("pods", "p", "default"))["metadata"]["deletionTimestamp"]
