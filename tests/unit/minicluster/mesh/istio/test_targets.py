"""Whom ``targetRefs`` of every kind of policy mean: gateways; what would need a waypoint is told."""

from __future__ import annotations

import pytest

from tests.fakes.istio_world import World

GATEWAY = {"gateway.networking.k8s.io/gateway-name": "shop"}
KINDS = {
    "AuthorizationPolicy": ("security.istio.io/v1", "rules: [{}]", "authorization"),
    "RequestAuthentication": ("security.istio.io/v1", "jwtRules: [{issuer: a, jwks: '{}'}]", "jwt_policies"),
    "Telemetry": ("telemetry.istio.io/v1", "tracing: [{}]", "observations"),
    "EnvoyFilter": ("networking.istio.io/v1alpha3", "configPatches: []", "patch_sets"),
}
MANIFEST = """
apiVersion: {version}
kind: {kind}
metadata: {{name: p, namespace: {namespace}}}
spec: {{{spec}, {targets}}}
"""


def translated(
    kind: str, targets: str, namespace: str = "default"
) -> tuple[list[tuple[str, dict[str, str]]], list[str]]:
    """(namespace, selector) of what the policy became, and the problems."""
    version, spec, member = KINDS[kind]
    world = World()
    world.apply(MANIFEST.format(version=version, kind=kind, namespace=namespace, spec=spec, targets=targets))
    found = world.translate()
    policies = getattr(found.model, member)
    return [(p.namespace, dict(p.selector)) for p in policies], [problem.message for problem in found.problems]


@pytest.mark.parametrize("kind", KINDS)
def test_a_gateway_is_its_proxies(kind: str) -> None:
    reference = "{group: gateway.networking.k8s.io, kind: Gateway, name: shop}"
    assert translated(kind, f"targetRefs: [{reference}]") == ([("default", GATEWAY)], [])
    both, _ = translated(kind, f"targetRefs: [{reference}, {reference.replace('shop', 'other')}]")
    assert len(both) == 2
    assert translated(kind, f"targetRefs: [{reference}]", "istio-system")[0] == [("istio-system", GATEWAY)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "reference",
    [
        "{group: '', kind: Service, name: shop}",
        "{group: networking.istio.io, kind: ServiceEntry, name: shop}",
        "{group: gateway.networking.k8s.io, kind: GatewayClass, name: istio-waypoint}",
    ],
)
def test_what_needs_a_waypoint_applies_to_nobody(kind: str, reference: str) -> None:
    policies, problems = translated(kind, f"targetRefs: [{reference}]")
    assert policies == []
    assert len(problems) == 1
    assert "needs a waypoint proxy, which this mesh does not have" in problems[0]
