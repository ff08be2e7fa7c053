"""Resources that select workloads: Sidecars, Telemetries, and policies for the pods of a Kubernetes Gateway."""

from __future__ import annotations

from typing import Any

import pytest

from meshlab.minicluster.mesh.istio.analysis import kubernetesgateway, sidecar, telemetry
from meshlab.minicluster.mesh.istio.analysis.model import Resource
from tests.unit.minicluster.mesh.istio.analysis.builders import (
    NETWORKING,
    SECURITY,
    TELEMETRY,
    codes,
    config_map,
    found,
    obj,
    pod,
)


def one_sidecar(name: str, namespace: str = "default", **labels: str) -> Resource:
    spec = {"workloadSelector": {"labels": labels}} if labels else {"egress": [{"hosts": ["./*"]}]}
    return obj(NETWORKING, "Sidecar", name, spec, namespace)


def one_telemetry(name: str, namespace: str = "default", spec: Any = None, **labels: str) -> Resource:
    return obj(
        TELEMETRY, "Telemetry", name, {**(spec or {}), **({"selector": {"matchLabels": labels}} if labels else {})},
        namespace,
    )  # fmt: skip


def test_sidecars_select_different_pods() -> None:
    web, api = pod("web", {"app": "web", "tier": "front"}), pod("api", {"app": "api"})
    assert found(sidecar.analyze, one_sidecar("a", app="web"), one_sidecar("b", app="api"), web, api) == []
    assert found(sidecar.analyze, one_sidecar("a", app="web"), one_sidecar("b", tier="front"), web) == [
        f'Error [IST0110] (Sidecar default/{name}) The Sidecars [a b] in namespace "default" select the same workload '
        'pod "web", which can lead to undefined behavior.'
        for name in "ab"
    ]
    assert found(sidecar.analyze, one_sidecar("a", app="web", namespace="other"), web) == [
        'Error [IST0101] (Sidecar other/a) Referenced selector not found: "app=web"'
    ]


def test_a_namespace_has_one_sidecar_for_all() -> None:
    assert found(sidecar.analyze, one_sidecar("a"), one_sidecar("b"), one_sidecar("c", "other")) == [
        f'Error [IST0111] (Sidecar default/{name}) The Sidecars [a b] in namespace "default" have no workload '
        "selector, which can lead to undefined behavior."
        for name in "ab"
    ]


def test_telemetries_follow_the_same_rules() -> None:
    web = pod("web", {"app": "web"})
    both = [one_telemetry("a", app="web"), one_telemetry("b", app="web")]
    assert codes(telemetry.selectors, *both, web) == [("IST0159", f"Telemetry default/{name}") for name in "ab"]
    assert codes(telemetry.selectors, one_telemetry("a", app="no"), web) == [("IST0101", "Telemetry default/a")]
    assert codes(telemetry.defaults, one_telemetry("a"), one_telemetry("b")) == [
        ("IST0160", f"Telemetry default/{name}") for name in "ab"
    ]
    attached = one_telemetry("b", spec={"targetRefs": [{"kind": "Gateway", "name": "g"}]})
    assert codes(telemetry.defaults, one_telemetry("a"), attached) == []


@pytest.mark.parametrize(
    ("entry", "mesh", "silent"),
    [
        ({"filter": {"expression": "true"}}, "{}", False),
        ({"providers": [{"name": "envoy"}]}, "{}", True),
        ({"disabled": True}, "{}", True),
        ({}, "{defaultProviders: {accessLogging: [envoy]}}", True),
    ],
)
def test_access_logging_needs_a_provider(entry: Any, mesh: str, silent: bool) -> None:
    resource = one_telemetry("logs", "istio-system", {"accessLogging": [entry]})
    expected = (
        'Warning [IST0157] (Telemetry istio-system/logs) The Telemetry logs in namespace "istio-system" with empty '
        "providers will be ignored."
    )
    assert found(telemetry.providers, resource, config_map("istio", mesh=mesh)) == ([] if silent else [expected])


def test_lightstep_is_gone() -> None:
    mesh = "extensionProviders: [{name: old, lightstep: {service: a, port: 1}}, {name: new, opentelemetry: {}}]"
    tracing = [{"providers": [{"name": "old"}]}, {"providers": [{"name": "new"}]}]
    resource = one_telemetry("traces", spec={"tracing": tracing})
    assert found(telemetry.lightstep, resource, config_map("istio", mesh=mesh)) == [
        "Warning [IST0002] (Telemetry default/traces) Deprecated: The Lightstep provider old is deprecated, please "
        "migrate to OpenTelemetry provider."
    ]


def test_a_selector_does_nothing_for_a_kubernetes_gateway() -> None:
    gateway = pod("g-1", {"gateway.networking.k8s.io/gateway-name": "public"})
    spec: Any = {"selector": {"matchLabels": {"gateway.networking.k8s.io/gateway-name": "public"}}}
    policy = obj(SECURITY, "AuthorizationPolicy", "p", spec)
    assert found(kubernetesgateway.analyze, policy, gateway) == [
        "Warning [IST0166] (AuthorizationPolicy default/p) Ineffective selector on Kubernetes Gateway public. Use the "
        "TargetRef field instead."
    ]
    elsewhere = obj(SECURITY, "AuthorizationPolicy", "p", spec, "other")
    by_reference = obj(SECURITY, "AuthorizationPolicy", "p", {"targetRefs": [{"kind": "Gateway", "name": "public"}]})
    assert found(kubernetesgateway.analyze, elsewhere, by_reference, gateway) == []
