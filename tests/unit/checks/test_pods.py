from __future__ import annotations

from typing import Any

import pytest

from checks import pods

Obj = dict[str, Any]


@pytest.mark.parametrize(
    ("spec", "found"),
    [
        ({"containers": [{"name": "curl"}]}, False),
        ({"containers": [{"name": "curl"}, {"name": "istio-proxy"}]}, True),
        (
            {"containers": [{"name": "curl"}], "initContainers": [{"name": "istio-proxy", "restartPolicy": "Always"}]},
            True,
        ),
        ({"containers": [{"name": "curl"}], "initContainers": [{"name": "istio-proxy"}]}, False),
    ],
)
def test_both_forms_of_a_sidecar_are_known(spec: Obj, found: bool) -> None:
    assert pods.has_proxy(spec) is found


@pytest.mark.parametrize(
    ("status", "injected"),
    [
        ('{"initContainers": ["istio-proxy"], "containers": null}', True),
        ("", False),
        ("injected", False),
        ("[]", False),
    ],
)
def test_injection_leaves_an_annotation_that_can_be_read(status: str, injected: bool) -> None:
    spec = {"containers": [{"name": "app"}, {"name": "istio-proxy"}]}
    assert pods.is_injected({"annotations": {"sidecar.istio.io/status": status}}, spec) is injected


def test_a_proxy_written_by_hand_is_no_injection() -> None:
    assert not pods.is_injected({}, {"containers": [{"name": "istio-proxy"}]})


@pytest.mark.parametrize(
    ("owners", "name"),
    [
        ([], "web-7c9f-x2"),
        ([{"kind": "ReplicaSet", "name": "web-7c9f"}], "web"),
        ([{"kind": "StatefulSet", "name": "db"}], "db"),
    ],
)
def test_a_pod_is_named_by_its_workload(owners: list[Obj], name: str) -> None:
    assert pods.workload({"metadata": {"name": "web-7c9f-x2", "ownerReferences": owners}}) == name


def test_a_status_of_the_last_generation_counts_nothing() -> None:
    deployment: Obj = {
        "metadata": {"generation": 3},
        "spec": {"replicas": 2},
        "status": {"observedGeneration": 2, "availableReplicas": 2},
    }
    assert pods.availability(deployment) == {"wanted": 2, "available": 0}
    deployment["status"]["observedGeneration"] = 3
    assert pods.availability(deployment) == {"wanted": 2, "available": 2}
