from __future__ import annotations

from typing import Any

import pytest

from meshlab.grading.registry import Registry
from tests.fakes.cluster import ObjectCluster, deployment, injectors, named
from tests.unit.checks.support import brief, verdict

SYSTEM = "istio-system"
CONFIGURATIONS = "mutatingwebhookconfigurations.admissionregistration.k8s.io"
DEFINITIONS = "customresourcedefinitions.apiextensions.k8s.io"
KINDS = (
    "virtualservices.networking.istio.io",
    "destinationrules.networking.istio.io",
    "gateways.networking.istio.io",
    "peerauthentications.security.istio.io",
    "authorizationpolicies.security.istio.io",
)


def definition(name: str, *, established: bool = True) -> dict[str, Any]:
    return named(name, status={"conditions": [{"type": "Established", "status": str(established)}]})


def installed(*, istiod: tuple[int, int] = (1, 1), ca_bundle: str | None = None) -> ObjectCluster:
    webhook = injectors() if ca_bundle is None else injectors(ca_bundle=ca_bundle)
    return ObjectCluster(
        {
            "deployments.apps": [
                deployment("istiod", SYSTEM, wanted=istiod[0], available=istiod[1], app="istiod"),
                deployment("istio-ingressgateway", SYSTEM),
                deployment("istio-egressgateway", SYSTEM),
            ],
            DEFINITIONS: [definition(name) for name in (*KINDS, "gateways.gateway.networking.k8s.io")],
            CONFIGURATIONS: [webhook],
        }
    )


def test_an_installation_is_complete(registry: Registry) -> None:
    judged = verdict(registry, "istio.installed", installed())
    assert brief(judged) == ("PASS", "istio.installed", "observed")
    assert judged.found == "istiod ready, 5 kinds served"
    assert brief(verdict(registry, "istio.gateways", installed())) == ("PASS", "gateways.ready", "observed")


@pytest.mark.parametrize(
    ("cluster", "expected"),
    [
        (ObjectCluster(), ("FAIL", "istio.no-control-plane", "declared")),
        (installed(istiod=(0, 0)), ("FAIL", "istio.scaled-to-zero", "accepted")),
        (installed(istiod=(1, 0)), ("PENDING", "istio.not-ready", "accepted")),
        (installed(ca_bundle=""), ("PENDING", "istio.webhook-no-ca", "pushed")),
        (installed(ca_bundle="not base64!"), ("PENDING", "istio.webhook-no-ca", "pushed")),
    ],
)
def test_an_installation_lacks_something(
    registry: Registry, cluster: ObjectCluster, expected: tuple[str, str, str]
) -> None:
    assert brief(verdict(registry, "istio.installed", cluster)) == expected


def test_kinds_that_are_not_served_are_named(registry: Registry) -> None:
    cluster = installed()
    cluster.delete(DEFINITIONS, KINDS[0])
    cluster.put(DEFINITIONS, definition(KINDS[1], established=False))
    judged = verdict(registry, "istio.installed", cluster)
    assert brief(judged) == ("PENDING", "istio.no-kinds", "accepted")
    assert judged.found == f"the API server does not serve {KINDS[0]}, {KINDS[1]}"


def test_a_missing_gateway_is_told_from_a_missing_mesh(registry: Registry) -> None:
    nothing = verdict(registry, "istio.gateways", ObjectCluster())
    assert "not installed" in nothing.why
    cluster = installed()
    cluster.delete("deployments.apps", "istio-egressgateway", SYSTEM)
    judged = verdict(registry, "istio.gateways", cluster)
    assert brief(judged) == ("FAIL", "gateways.missing", "declared")
    assert judged.found == "no Deployment istio-egressgateway in istio-system; istio-ingressgateway is there"
    assert "profiles differ" in judged.why


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ((0, 0), ("FAIL", "gateways.scaled-to-zero", "accepted")),
        ((1, 0), ("PENDING", "gateways.not-ready", "accepted")),
    ],
)
def test_a_gateway_must_run(registry: Registry, counts: tuple[int, int], expected: tuple[str, str, str]) -> None:
    cluster = installed()
    cluster.put("deployments.apps", deployment("istio-ingressgateway", SYSTEM, wanted=counts[0], available=counts[1]))
    assert brief(verdict(registry, "istio.gateways", cluster)) == expected


def test_absence_is_the_absence_of_all_parts(registry: Registry) -> None:
    only_gateway_api = ObjectCluster({DEFINITIONS: [definition("gateways.gateway.networking.k8s.io")]})
    assert brief(verdict(registry, "istio.absent", only_gateway_api)) == ("PASS", "istio.absent", "declared")
    judged = verdict(registry, "istio.absent", installed())
    assert brief(judged) == ("FAIL", "istio.present", "declared")
    assert "istiod in istio-system" in judged.found
    assert "5 of its CustomResourceDefinitions" in judged.found
    assert "--lab install start install-demo" in judged.hint
    assert "istioctl uninstall --purge" in judged.hint
