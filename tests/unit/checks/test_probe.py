from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from checks import probe
from meshlab.grading.registry import Registry
from tests.fakes.cluster import ObjectCluster, injectors, named, pod
from tests.unit.checks.support import brief, curl_replies, verdict

CONFIGURATIONS = "mutatingwebhookconfigurations.admissionregistration.k8s.io"
SEEN = json.dumps({"headers": {"X-Forwarded-Client-Cert": ["By=spiffe://a;URI=spiffe://a"]}})


class ProbedCluster(ObjectCluster):
    """A cluster whose namespaces get a ServiceAccount, and whose pods become what a function makes of them."""

    def __init__(
        self, admit: Callable[[str], dict[str, Any]], reply: tuple[str, str, str] = (SEEN, "200", "0")
    ) -> None:
        super().__init__(
            {CONFIGURATIONS: [injectors()]},
            on_exec=lambda namespace, name, command: curl_replies(command, {"": reply}),
        )
        self.admit = admit

    def create(self, resource: str, obj: dict[str, Any], namespace: str | None = None) -> dict[str, Any]:
        created = super().create(resource, obj, namespace)
        if resource == "namespaces":
            self.put("serviceaccounts", named("default", obj["metadata"]["name"]))
        if resource == "pods":
            created = self.admit(namespace or "")
            self.put("pods", created)
        return created


def injected(namespace: str) -> dict[str, Any]:
    return pod("probe", namespace, "probe", sidecar=True)


def never_ready(namespace: str) -> dict[str, Any]:
    return pod("probe", namespace, "probe", sidecar=True, ready=False)


@pytest.fixture(autouse=True)
def no_patience(monkeypatch: pytest.MonkeyPatch, registry: Registry) -> None:
    module = __import__("sys").modules[registry.get("istio.probe").collect.__module__]
    monkeypatch.setattr(module, "READY_WITHIN_S", 0)


@pytest.mark.parametrize(
    ("cluster", "expected"),
    [
        (ObjectCluster(), ("FAIL", "probe.no-injector", "declared")),
        (ProbedCluster(injected), ("PASS", "probe.served", "observed")),
        (ProbedCluster(lambda ns: pod("probe", ns, "probe")), ("FAIL", "probe.no-sidecar", "accepted")),
        (ProbedCluster(never_ready), ("PENDING", "probe.not-ready", "pushed")),
        (ProbedCluster(injected, ("", "503", "0")), ("PENDING", "probe.not-served", "observed")),
        (ProbedCluster(injected, ("{}", "200", "0")), ("FAIL", "probe.no-identity", "observed")),
    ],
)
def test_the_probe_tells_what_became_of_it(
    registry: Registry, cluster: ObjectCluster, expected: tuple[str, str, str]
) -> None:
    assert brief(verdict(registry, "istio.probe", cluster)) == expected
    assert not cluster.list_objects("namespaces")


def test_a_webhook_that_nobody_answers_is_the_finding_and_the_namespace_goes_all_the_same(registry: Registry) -> None:
    cluster = ProbedCluster(injected)
    cluster.refuses["pods"] = 'failed calling webhook "namespace.sidecar-injector.istio.io"'
    judged = verdict(registry, "istio.probe", cluster)
    assert brief(judged) == ("FAIL", "probe.refused", "accepted")
    assert "failed calling webhook" in judged.found
    assert not cluster.list_objects("namespaces")


def test_leftovers_of_a_killed_probe_are_swept_and_fresh_ones_are_not(registry: Registry) -> None:
    cluster = ProbedCluster(injected)
    for name, created in (("old", "2020-01-01T00:00:00Z"), ("fresh", "2999-01-01T00:00:00Z")):
        namespace = named(name, labels={probe.LABEL: "true"})
        namespace["metadata"]["creationTimestamp"] = created
        cluster.put("namespaces", namespace)
    verdict(registry, "istio.probe", cluster)
    assert [each["metadata"]["name"] for each in cluster.list_objects("namespaces")] == ["fresh"]
