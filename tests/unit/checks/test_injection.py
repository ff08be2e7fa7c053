from __future__ import annotations

from typing import Any

import pytest

from checks import webhooks
from meshlab.grading.registry import Registry
from tests.fakes.cluster import ObjectCluster, deployment, injectors, named, pod
from tests.unit.checks.support import SHOP, brief, context, verdict

CONFIGURATIONS = "mutatingwebhookconfigurations.admissionregistration.k8s.io"
ENABLED = {"istio-injection": "enabled"}


def shop(labels: dict[str, str], *pods: dict[str, Any], **more: list[dict[str, Any]]) -> ObjectCluster:
    return ObjectCluster(
        {"namespaces": [named(SHOP, labels=labels)], CONFIGURATIONS: [injectors()], "pods": list(pods), **more}
    )


@pytest.mark.parametrize(
    ("labels", "injects"),
    [
        ({}, False),
        ({"istio-injection": "enabled"}, True),
        ({"istio-injection": "disabled"}, False),
        ({"istio-injection": "true"}, False),
        ({"istio-injection": "Enabled"}, False),
        ({"istio.io/rev": "default"}, True),
        ({"istio.io/rev": "canary"}, False),
        ({"istio-injection": "enabled", "istio.io/rev": "canary"}, True),
        ({"istio-injection": "disabled", "istio.io/rev": "default"}, False),
    ],
)
def test_the_decision_table_is_read_from_the_webhooks(labels: dict[str, str], injects: bool) -> None:
    found = webhooks.injectors(context(shop({})))
    assert webhooks.namespace_injects(found, labels) is injects


@pytest.mark.parametrize(
    ("selector", "labels", "matches"),
    [
        ({}, {"a": "b"}, True),
        ({"matchLabels": {"a": "b"}}, {"a": "b", "c": "d"}, True),
        ({"matchLabels": {"a": "b"}}, {"a": "c"}, False),
        ({"matchExpressions": [{"key": "a", "operator": "Exists"}]}, {"a": ""}, True),
        ({"matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["b"]}]}, {}, True),
        ({"matchExpressions": [{"key": "a", "operator": "In", "values": ["b"]}]}, {}, False),
    ],
)
def test_label_selectors(selector: dict[str, Any], labels: dict[str, str], matches: bool) -> None:
    assert webhooks.selects(selector, labels) is matches


def test_an_operator_that_does_not_exist_is_no_match_by_accident() -> None:
    with pytest.raises(ValueError, match="no operator Like"):
        webhooks.selects({"matchExpressions": [{"key": "a", "operator": "Like"}]}, {})


def test_a_namespace_asks_for_sidecars(registry: Registry) -> None:
    assert brief(verdict(registry, "istio.namespace_injects", shop(ENABLED))) == (
        "PASS", "namespace.injects", "accepted",
    )  # fmt: skip
    assert verdict(registry, "istio.namespace_injects", shop({})).code == "namespace.no-label"
    judged = verdict(registry, "istio.namespace_injects", shop({"istio-injection": "true"}))
    assert (judged.code, judged.found) == (
        "namespace.no-match",
        "namespace shop carries istio-injection=true, and no webhook selects that",
    )


BARE, MESHED = pod("web-1", SHOP, "web"), pod("web-2", SHOP, "web", sidecar=True)


@pytest.mark.parametrize(
    ("cluster", "expected"),
    [
        (shop(ENABLED), ("PENDING", "injected.no-pods", "declared")),
        (shop({}, BARE), ("FAIL", "injected.not-asked", "declared")),
        (shop(ENABLED, BARE), ("FAIL", "injected.old-pods", "accepted")),
        (shop(ENABLED, BARE, MESHED), ("PENDING", "injected.rolling", "accepted")),
        (shop(ENABLED, MESHED, pod("db-1", SHOP, "db")), ("FAIL", "injected.old-pods", "accepted")),
        (
            shop(ENABLED, pod("web-2", SHOP, "web", sidecar=True, ready=False)),
            ("PENDING", "injected.not-ready", "accepted"),
        ),
        (
            shop(ENABLED, MESHED, pod("web-1", SHOP, "web", leaving=True)),
            ("PENDING", "injected.old-leaving", "accepted"),
        ),
        (shop(ENABLED, MESHED), ("PASS", "injected.all", "observed")),
        # However they came to it: the effect decides, and the namespace's label is another task.
        (shop({}, MESHED), ("PASS", "injected.all", "observed")),
    ],
)
def test_every_pod_needs_a_sidecar(registry: Registry, cluster: ObjectCluster, expected: tuple[str, str, str]) -> None:
    assert brief(verdict(registry, "istio.injected", cluster)) == expected


def test_a_pod_that_opted_out_is_told_from_an_old_one(registry: Registry) -> None:
    out = pod("web-1", SHOP, "web")
    out["metadata"]["labels"]["sidecar.istio.io/inject"] = "false"
    assert verdict(registry, "istio.injected", shop(ENABLED, out)).code == "injected.opted-out"


def test_an_annotation_is_named_as_the_mistake(registry: Registry) -> None:
    annotated = pod("web-1", SHOP, "web")
    annotated["metadata"]["annotations"] = {"sidecar.istio.io/inject": "true"}
    assert "annotation" in verdict(registry, "istio.injected", shop({}, annotated)).why


def relic(labels: dict[str, str], *pods: dict[str, Any], injected: bool) -> ObjectCluster:
    obj = deployment("web", SHOP)
    sidecar = pod("x", SHOP, "web", sidecar=injected)
    obj["spec"]["template"] = {"metadata": sidecar["metadata"], "spec": sidecar["spec"]}
    return shop(labels, *pods, **{"deployments.apps": [obj]})


@pytest.mark.parametrize(
    ("cluster", "expected"),
    [
        (shop({}), ("FAIL", "kube-inject.no-deployment", "declared")),
        (relic({}, BARE, injected=False), ("FAIL", "kube-inject.not-applied", "declared")),
        (relic({}, MESHED, injected=False), ("FAIL", "kube-inject.by-webhook", "declared")),
        (relic(ENABLED, MESHED, injected=False), ("FAIL", "kube-inject.by-namespace", "declared")),
        (relic(ENABLED, MESHED, injected=True), ("FAIL", "kube-inject.by-namespace", "declared")),
        (relic({}, BARE, MESHED, injected=True), ("PENDING", "kube-inject.rolling", "accepted")),
        (relic({}, BARE, injected=True), ("PENDING", "kube-inject.rolling", "accepted")),
        (relic({}, MESHED, injected=True), ("PASS", "kube-inject.template", "observed")),
    ],
)
def test_kube_inject_changes_the_template(
    registry: Registry, cluster: ObjectCluster, expected: tuple[str, str, str]
) -> None:
    assert brief(verdict(registry, "istio.kube_injected", cluster, deployment="web")) == expected
