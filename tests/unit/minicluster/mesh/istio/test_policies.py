"""DestinationRule merging, PeerAuthentication precedence, Gateways, AuthorizationPolicy, Sidecar: the model's side."""

from __future__ import annotations

import itertools

import pytest

from meshlab.minicluster.mesh.model import MtlsMode
from meshlab.minicluster.mesh.policy import HashKey
from tests.fakes.istio_world import World


def codes(world: World) -> list[str]:
    return [problem.code for problem in world.translate().problems]


def test_rules_for_one_host_are_merged_oldest_first() -> None:
    world = World()
    world.apply(
        """
{kind: DestinationRule, metadata: {name: first}, spec: {host: web, subsets: [{name: v1, labels: {version: v1}}]}}
---
kind: DestinationRule
metadata: {name: second}
spec:
  host: web.default.svc.cluster.local
  trafficPolicy: {loadBalancer: {simple: RANDOM}}
  subsets: [{name: v1, labels: {version: other}}, {name: v2, labels: {version: v2}}]
---
{kind: DestinationRule, metadata: {name: third}, spec: {host: web, trafficPolicy: {loadBalancer: {simple: ROUND_ROBIN}}}}
"""
    )

    (policy,) = world.mesh().service_policies

    assert [(s.name, s.labels) for s in policy.subsets] == [("v1", {"version": "v1"}), ("v2", {"version": "v2"})]
    assert policy.policy.load_balancing is not None
    assert policy.policy.load_balancing.algorithm == "RANDOM"
    assert policy.ref.name == "first"
    assert codes(world) == ["destinationrule.subset", "destinationrule.policy"]


def test_rules_of_different_namespaces_are_not_merged() -> None:
    world = World()
    for namespace in ("a", "b"):
        world.apply(f"{{kind: DestinationRule, metadata: {{name: x, namespace: {namespace}}}, spec: {{host: web.a}}}}")
    assert len(world.mesh().service_policies) == 2


def test_consistent_hash_without_a_key_is_none() -> None:
    world = World()
    world.apply(
        "{kind: DestinationRule, metadata: {name: a}, spec: {host: a, trafficPolicy: {loadBalancer: {consistentHash:"
        " {httpCookie: {name: user, ttl: 1m}}}}}}"
    )
    balancing = world.mesh().service_policies[0].policy.load_balancing
    assert balancing is not None
    assert balancing.hash_key == HashKey(cookie="user", cookie_ttl_s=60.0)


def peer_authentication(name: str, namespace: str, mode: str, extra: str = "") -> str:
    return (
        f"{{kind: PeerAuthentication, metadata: {{name: {name}, namespace: {namespace}}},"
        f" spec: {{mtls: {{mode: {mode}}}{extra}}}}}"
    )


def test_default_is_permissive() -> None:
    assert World().mesh().mtls_mode("default", {"app": "web"}, 80) is MtlsMode.PERMISSIVE


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_workload_wins_over_namespace_over_mesh_in_any_order(order: tuple[int, ...]) -> None:
    manifests = [
        peer_authentication("mesh", "istio-system", "STRICT"),
        peer_authentication("ns", "default", "DISABLE"),
        peer_authentication("web", "default", "PERMISSIVE", ", selector: {matchLabels: {app: web}}"),
    ]
    world = World()
    for position in order:
        world.apply(manifests[position])
    mesh = world.mesh()

    assert mesh.mtls_mode("other", {"app": "web"}, 80) is MtlsMode.STRICT
    assert mesh.mtls_mode("default", {"app": "other"}, 80) is MtlsMode.DISABLE
    assert mesh.mtls_mode("default", {"app": "web"}, 80) is MtlsMode.PERMISSIVE
    assert mesh.mtls_mode("default", {}, None) is MtlsMode.DISABLE, "a namespace's own mode knows no workloads"


def test_port_mode_wins_and_unset_inherits() -> None:
    world = World()
    world.apply(peer_authentication("mesh", "istio-system", "STRICT"))
    world.apply(
        peer_authentication(
            "web",
            "default",
            "UNSET",
            ", selector: {matchLabels: {app: web}}, portLevelMtls: {8080: {mode: DISABLE}, '9090': {mode: UNSET}}",
        )
    )
    mesh = world.mesh()

    assert mesh.mtls_mode("default", {"app": "web"}, 8080) is MtlsMode.DISABLE
    assert mesh.mtls_mode("default", {"app": "web"}, 9090) is MtlsMode.STRICT
    assert mesh.mtls_mode("default", {"app": "web"}, 1) is MtlsMode.STRICT


def test_the_oldest_policy_of_a_level_wins() -> None:
    world = World()
    world.apply(peer_authentication("z", "default", "STRICT"))
    world.apply(peer_authentication("a", "default", "DISABLE"))
    assert world.mesh().mtls_mode("default", {}, None) is MtlsMode.STRICT


def test_ports_without_selector_and_selectors_in_the_root_namespace_are_reported() -> None:
    world = World()
    world.apply(peer_authentication("a", "default", "STRICT", ", portLevelMtls: {80: {mode: DISABLE}}"))
    world.apply(peer_authentication("b", "istio-system", "DISABLE", ", selector: {matchLabels: {app: web}}"))

    assert codes(world) == ["peerauthentication.ports", "peerauthentication.selector"]
    assert world.mesh().mtls_mode("default", {"app": "web"}, 80) is MtlsMode.STRICT


def test_gateway_servers_that_cannot_work_are_reported() -> None:
    world = World()
    world.apply(
        """
kind: Gateway
metadata: {name: edge, namespace: shop}
spec:
  servers:
  - {port: {number: 80, name: http, protocol: HTTP}, hosts: ["./a.example.com", "*/b.example.com", c.example.com]}
  - {port: {number: 80, name: nohosts, protocol: HTTP}}
  - {port: {number: 443, name: notls, protocol: HTTPS}, hosts: ["*"]}
  - {port: {number: 443, name: nocert, protocol: HTTPS}, hosts: ["*"], tls: {mode: SIMPLE}}
"""
    )
    (gateway,) = world.mesh().gateways

    assert gateway.key == "shop/edge"
    assert [server.port_name for server in gateway.servers] == ["http"]
    assert gateway.servers[0].hosts == (("shop", "a.example.com"), ("*", "b.example.com"), ("*", "c.example.com"))
    assert codes(world) == ["gateway.server", "gateway.tls", "gateway.tls"]


def test_what_is_not_enforced_is_said() -> None:
    world = World()
    world.apply("{kind: RequestAuthentication, metadata: {name: a}, spec: {jwtRules: [{issuer: me}]}}")
    world.apply("{kind: AuthorizationPolicy, metadata: {name: a}, spec: {action: AUDIT, rules: [{}]}}")

    assert codes(world) == ["authorizationpolicy.audit", "requestauthentication.keys"]
    assert world.mesh().jwt_policies[0].rules[0].issuer == "me"


def test_mesh_configuration() -> None:
    world = World()
    world.mesh_config = {
        "trustDomain": "lab",
        "enableAutoMtls": False,
        "outboundTrafficPolicy": {"mode": "REGISTRY_ONLY"},
        "connectTimeout": "3s",
        "accessLogFile": "/dev/stdout",
    }
    settings = world.mesh().settings
    assert (settings.trust_domain, settings.auto_mtls, settings.allow_unknown_hosts) == ("lab", False, False)
    assert (settings.connect_timeout_s, settings.access_log_path) == (3.0, "/dev/stdout")
