"""Clusters and endpoints: names, discovery, TLS, traffic policies."""

from __future__ import annotations

from typing import Any

import pytest

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.envoy.vocabulary import CLUSTER, ENDPOINT, MAX_UINT32
from tests.fakes.istio_world import World

HOST = "web.default.svc.cluster.local"
SUBSETS = [{"name": v, "labels": {"version": v}} for v in ("v1", "v2")]


def world_with(*ports: Obj, **rule: Any) -> World:
    world = World()
    world.pod("client", {"app": "client"})
    world.pod("web-1", {"app": "web", "version": "v1"}, account="web")
    world.pod("web-2", {"app": "web", "version": "v2"}, account="web2")
    world.service("web", {"app": "web"}, list(ports) or [{"name": "http", "port": 80, "targetPort": 8080}])
    if rule:
        world.add(
            {
                "apiVersion": "networking.istio.io/v1beta1",
                "kind": "DestinationRule",
                "metadata": {"name": "web"},
                "spec": {"host": "web", **rule},
            }
        )
    return world


def cluster(world: World, name: str = f"outbound|80||{HOST}") -> Obj:
    return world.build("client")[CLUSTER][name]


def socket_context(cluster: Obj) -> Obj:
    context: Obj = cluster["transport_socket_matches"][0]["transport_socket"]["typed_config"]
    return context


def addresses(world: World, name: str) -> list[tuple[str, int]]:
    assignment = world.build("client")[ENDPOINT][name]
    found = [e["endpoint"]["address"]["socket_address"] for g in assignment["endpoints"] for e in g["lb_endpoints"]]
    return [(a["address"], a["port_value"]) for a in found]


def test_names_as_upstream() -> None:
    world = world_with({"name": "http", "port": 80, "targetPort": 8080}, subsets=SUBSETS)
    outbound = {n for n in world.build("client")[CLUSTER] if HOST in n}
    assert outbound == {f"outbound|80||{HOST}", f"outbound|80|v1|{HOST}", f"outbound|80|v2|{HOST}"}
    inbound = {n for n in world.build("web-1")[CLUSTER] if n.startswith("inbound")}
    assert inbound == {"inbound|8080||"}
    assert {"BlackHoleCluster", "PassthroughCluster", "InboundPassthroughCluster"} <= set(
        world.build("client")[CLUSTER]
    )


def test_defaults_as_upstream() -> None:
    found = cluster(world_with())
    assert (found["connect_timeout"], found["lb_policy"]) == ("10s", "LEAST_REQUEST")
    assert found["circuit_breakers"]["thresholds"][0]["max_pending_requests"] == MAX_UINT32
    assert found["common_lb_config"]["healthy_panic_threshold"] == {"value": 0}
    assert "outlier_detection" not in found
    assert "upstream_bind_config" not in found, "the bootstrap binds every cluster to the pod's address"


def test_auto_mtls_towards_sidecars_only() -> None:
    found = cluster(world_with())
    context = socket_context(found)
    assert context["sni"] == f"outbound_.80_._.{HOST}"
    validation = context["common_tls_context"]["combined_validation_context"]["default_validation_context"]
    assert [m["matcher"]["exact"] for m in validation["match_typed_subject_alt_names"]] == [
        "spiffe://cluster.local/ns/default/sa/web",
        "spiffe://cluster.local/ns/default/sa/web2",
    ]
    assert found["transport_socket_matches"][1]["match"] == {}


@pytest.mark.parametrize(
    ("port_name", "alpn", "http2"),
    [
        ("http", ["istio-http/1.1", "istio", "http/1.1"], False),
        ("grpc", ["istio-h2", "istio", "h2"], True),
        ("http2", ["istio-h2", "istio", "h2"], True),
        ("tcp", ["istio-peer-exchange", "istio"], None),
        ("", ["istio-http/1.1", "istio", "http/1.1"], False),
    ],
)
def test_offered_protocols_follow_the_ports_protocol(port_name: str, alpn: list[str], http2: bool | None) -> None:
    found = cluster(world_with({"name": port_name, "port": 80}))
    assert socket_context(found)["common_tls_context"]["alpn_protocols"] == alpn
    options = found.get("typed_extension_protocol_options")
    if http2 is None:
        assert options is None
    else:
        assert options is not None
        (http,) = options.values()
        assert ("http2_protocol_options" in http["explicit_http_config"]) is http2


def test_upgrade_to_http2_by_policy() -> None:
    found = cluster(world_with(trafficPolicy={"connectionPool": {"http": {"h2UpgradePolicy": "UPGRADE"}}}))
    assert socket_context(found)["common_tls_context"]["alpn_protocols"][-1] == "h2"


@pytest.mark.parametrize(
    ("tls", "socket"),
    [
        ({"mode": "DISABLE"}, None),
        ({"mode": "SIMPLE"}, {"sni": HOST}),
        ({"mode": "SIMPLE", "sni": "other"}, {"sni": "other"}),
        ({"mode": "ISTIO_MUTUAL"}, {"sni": f"outbound_.80_._.{HOST}"}),
    ],
)
def test_tls_of_a_rule_replaces_auto_mtls(tls: Obj, socket: Obj | None) -> None:
    found = cluster(world_with(trafficPolicy={"tls": tls}))
    assert "transport_socket_matches" not in found
    if socket is None:
        assert "transport_socket" not in found
    else:
        assert found["transport_socket"]["typed_config"]["sni"] == socket["sni"]


@pytest.mark.parametrize(
    ("tls", "authority", "names"),
    [
        ({}, "file-root:system", [HOST]),
        ({"caCertificates": "system"}, "file-root:system", [HOST]),
        ({"caCertificates": "/etc/ca.pem"}, "file-root:/etc/ca.pem", [HOST]),
        ({"subjectAltNames": ["a.example.com"]}, "file-root:system", ["a.example.com"]),
        ({"sni": "b.example.com"}, "file-root:system", []),
    ],
)
def test_a_server_outside_the_mesh_is_verified(tls: Obj, authority: str, names: list[str]) -> None:
    found = cluster(world_with(trafficPolicy={"tls": {"mode": "SIMPLE", **tls}}))
    common = found["transport_socket"]["typed_config"]["common_tls_context"]
    validation = common["combined_validation_context"]
    assert validation["validation_context_sds_secret_config"]["name"] == authority
    wanted = validation["default_validation_context"].get("match_typed_subject_alt_names", [])
    assert [matcher["matcher"]["exact"] for matcher in wanted] == names


def test_a_server_is_not_verified_where_that_is_asked_for() -> None:
    found = cluster(world_with(trafficPolicy={"tls": {"mode": "SIMPLE", "insecureSkipVerify": True}}))
    assert "combined_validation_context" not in found["transport_socket"]["typed_config"]["common_tls_context"]


def test_mutual_tls_with_a_credential() -> None:
    found = cluster(world_with(trafficPolicy={"tls": {"mode": "MUTUAL", "credentialName": "cred"}}))
    common = found["transport_socket"]["typed_config"]["common_tls_context"]
    assert common["tls_certificate_sds_secret_configs"][0]["name"] == "kubernetes://cred"
    assert (
        common["combined_validation_context"]["validation_context_sds_secret_config"]["name"]
        == "kubernetes://cred-cacert"
    )


def test_no_auto_mtls_to_a_namespace_that_disables_it_or_a_mesh_without() -> None:
    world = world_with()
    world.apply("{kind: PeerAuthentication, metadata: {name: x}, spec: {mtls: {mode: DISABLE}}}")
    assert "transport_socket_matches" not in cluster(world)
    world = world_with()
    world.mesh_config = {"enableAutoMtls": False}
    assert "transport_socket_matches" not in cluster(world)


def test_endpoint_tells_whether_to_use_mutual_tls() -> None:
    world = world_with()
    world.pod("web-3", {"app": "web", "version": "v3"}, injected=False)
    world.objects["services"].clear()
    world.objects["endpointslices.discovery.k8s.io"].clear()
    world.service("web", {"app": "web"}, [{"name": "http", "port": 80, "targetPort": 8080}])
    world.apply(
        "{kind: PeerAuthentication, metadata: {name: x}, spec: {selector: {matchLabels: {version: v2}}, mtls: {mode: DISABLE}}}"
    )
    (group,) = world.build("client")[ENDPOINT][f"outbound|80||{HOST}"]["endpoints"]
    modes = [e["metadata"]["filter_metadata"].get("envoy.transport_socket_match") for e in group["lb_endpoints"]]
    assert modes == [{"tlsMode": "istio"}, None, None]
    workload = group["lb_endpoints"][0]["metadata"]["filter_metadata"]["istio"]["workload"]
    assert workload == "web-1;default;web;v1;Kubernetes"


def test_subsets_choose_endpoints_by_label() -> None:
    world = world_with(
        {"name": "http", "port": 80, "targetPort": 8080},
        subsets=[*SUBSETS, {"name": "v9", "labels": {"version": "v9"}}],
    )
    assert addresses(world, f"outbound|80||{HOST}") == [("127.77.1.3", 8080), ("127.77.1.4", 8080)]
    assert addresses(world, f"outbound|80|v2|{HOST}") == [("127.77.1.4", 8080)]
    assert addresses(world, f"outbound|80|v9|{HOST}") == []


def test_real_ports_are_dialled() -> None:
    world = world_with({"name": "http", "port": 80})
    assignment = world.build("client", ports=lambda port: port + 20000)[ENDPOINT][f"outbound|80||{HOST}"]
    endpoint = assignment["endpoints"][0]["lb_endpoints"][0]
    assert endpoint["endpoint"]["address"]["socket_address"]["port_value"] == 20080


def test_metadata_names_the_rule_for_the_tools() -> None:
    found = cluster(world_with(subsets=SUBSETS), f"outbound|80|v1|{HOST}")["metadata"]["filter_metadata"]["istio"]
    assert found["config"] == "/apis/networking.istio.io/v1/namespaces/default/destination-rule/web"
    assert found["subset"] == "v1"
    assert found["services"] == [{"host": HOST, "name": "web", "namespace": "default"}]


def test_policies_overlay_from_rule_to_port_to_subset() -> None:
    world = world_with(
        {"name": "http", "port": 80},
        {"name": "http-b", "port": 81},
        trafficPolicy={
            "loadBalancer": {"simple": "RANDOM"},
            "connectionPool": {"tcp": {"maxConnections": 7}},
            "portLevelSettings": [{"port": {"number": 81}, "loadBalancer": {"simple": "ROUND_ROBIN"}}],
        },
        subsets=[{"name": "v1", "labels": {}, "trafficPolicy": {"outlierDetection": {"consecutive5xxErrors": 1}}}],
    )
    clusters = world.build("client")[CLUSTER]
    top, other = clusters[f"outbound|80||{HOST}"], clusters[f"outbound|81||{HOST}"]
    subset, other_subset = clusters[f"outbound|80|v1|{HOST}"], clusters[f"outbound|81|v1|{HOST}"]

    assert (top["lb_policy"], other["lb_policy"]) == ("RANDOM", "ROUND_ROBIN")
    assert other["circuit_breakers"]["thresholds"][0]["max_connections"] == MAX_UINT32, (
        "a port's policy inherits nothing"
    )
    assert (subset["lb_policy"], other_subset["lb_policy"]) == ("RANDOM", "ROUND_ROBIN")
    assert subset["circuit_breakers"]["thresholds"][0]["max_connections"] == 7
    assert "outlier_detection" in subset
    assert "outlier_detection" in other_subset
    assert "outlier_detection" not in top


def test_outlier_detection_as_upstream() -> None:
    found = cluster(
        world_with(trafficPolicy={"outlierDetection": {"consecutiveGatewayErrors": 0, "consecutive5xxErrors": 2}})
    )
    assert found["outlier_detection"] == {
        "enforcing_success_rate": 0,
        "consecutive_5xx": 2,
        "enforcing_consecutive_5xx": 100,
        "consecutive_gateway_failure": 0,
        "enforcing_consecutive_gateway_failure": 0,
    }


@pytest.mark.parametrize(
    ("client_namespace", "rules", "winner"),
    [
        ("default", ["default", "other", "istio-system"], "default"),
        ("other", ["default", "other", "istio-system"], "other"),
        ("third", ["default", "other", "istio-system"], "default"),
        ("third", ["istio-system", "other"], "istio-system"),
    ],
)
def test_rule_of_the_client_then_the_service_then_the_root(
    client_namespace: str, rules: list[str], winner: str
) -> None:
    world = world_with()
    world.pod("caller", {}, namespace=client_namespace)
    for namespace in rules:
        world.apply(
            f"{{apiVersion: networking.istio.io/v1, kind: DestinationRule, metadata: {{name: r, namespace: {namespace}}},"
            f" spec: {{host: {HOST}}}}}"
        )
    found = world.build("caller")[CLUSTER][f"outbound|80||{HOST}"]
    config = found["metadata"]["filter_metadata"]["istio"]["config"]
    assert config == f"/apis/networking.istio.io/v1/namespaces/{winner}/destination-rule/r"


def test_exact_host_of_a_rule_wins_over_a_wildcard_and_export_to_hides() -> None:
    world = world_with()
    world.pod("caller", {}, namespace="other")
    base = "{apiVersion: networking.istio.io/v1, kind: DestinationRule, metadata: {name: %s}, spec: {host: '%s'%s}}"
    world.apply(base % ("wild", "*.default.svc.cluster.local", ""))
    world.apply(base % ("exact", HOST, ", exportTo: ['.']"))

    def rule(pod: str) -> str:
        return str(world.build(pod)[CLUSTER][f"outbound|80||{HOST}"]["metadata"]["filter_metadata"]["istio"]["config"])

    assert rule("client").endswith("/exact")
    assert rule("caller").endswith("/wild")


def test_rule_for_some_clients_only() -> None:
    world = world_with(
        workloadSelector={"matchLabels": {"app": "client"}}, trafficPolicy={"loadBalancer": {"simple": "RANDOM"}}
    )
    world.pod("caller", {"app": "caller"})
    assert cluster(world)["lb_policy"] == "RANDOM"
    assert world.build("caller")[CLUSTER][f"outbound|80||{HOST}"]["lb_policy"] == "LEAST_REQUEST"


def locality_world(policy: Obj) -> World:
    world = World()
    for name in ("client", "near", "zone", "region", "far"):
        place = {"client": "r1.z1", "near": "r1.z1", "zone": "r1.z2", "region": "r2.z1", "far": "r3.z1"}[name]
        labels = {"istio-locality": place, **({} if name == "client" else {"app": "web"})}
        world.pod(name, labels)
    world.service("web", {"app": "web"}, [{"name": "http", "port": 80}])
    world.add({"kind": "DestinationRule", "metadata": {"name": "r"}, "spec": {"host": "web", "trafficPolicy": policy}})
    return world


def groups(world: World) -> list[tuple[str, int, int]]:
    found = world.build("client")[ENDPOINT][f"outbound|80||{HOST}"]["endpoints"]
    return [
        (g["locality"]["region"] + g["locality"]["zone"], g.get("priority", 0), g["load_balancing_weight"])
        for g in found
    ]


def test_failover_by_place_needs_outlier_detection() -> None:
    balancing = {"localityLbSetting": {"failover": [{"from": "r1", "to": "r3"}]}}
    without = locality_world({"loadBalancer": balancing})
    assert {priority for _, priority, _ in groups(without)} == {0}
    with_ = locality_world({"loadBalancer": balancing, "outlierDetection": {"interval": "1s"}})
    assert groups(with_) == [("r1z1", 0, 1), ("r1z2", 1, 1), ("r2z1", 3, 1), ("r3z1", 2, 1)]


def test_distribution_by_place() -> None:
    distribute = [{"from": "r1/*", "to": {"r1/*": 80, "r2/z1": 20}}]
    world = locality_world({"loadBalancer": {"localityLbSetting": {"distribute": distribute}}})
    found = groups(world)
    assert [name for name, _, _ in found] == ["r1z1", "r1z2", "r2z1"]
    assert found[0][2] + found[1][2] == 4 * found[2][2]
    assert cluster(world)["common_lb_config"]["locality_weighted_lb_config"] == {}


def test_a_ports_settings_inherit_nothing_in_a_subset_either() -> None:
    subset = {
        **SUBSETS[0],
        "trafficPolicy": {
            "connectionPool": {"tcp": {"maxConnections": 5}},
            "portLevelSettings": [{"port": {"number": 80}, "loadBalancer": {"simple": "RANDOM"}}],
        },
    }
    world = world_with(subsets=[subset], trafficPolicy={"outlierDetection": {"interval": "1s"}})
    found = cluster(world, f"outbound|80|v1|{HOST}")
    assert found["lb_policy"] == "RANDOM"
    assert "outlier_detection" not in found
    assert found["circuit_breakers"]["thresholds"][0]["max_connections"] == MAX_UINT32


def test_warm_up_retry_budget_and_proxy_header() -> None:
    policy = {
        "loadBalancer": {"simple": "ROUND_ROBIN", "warmup": {"duration": "30s", "aggression": 2}},
        "retryBudget": {"percent": 25, "minRetryConcurrency": 7},
        "proxyProtocol": {"version": "V2"},
        "tls": {"mode": "DISABLE"},
    }
    found = cluster(world_with(trafficPolicy=policy))
    slow_start = found["round_robin_lb_config"]["slow_start_config"]
    assert slow_start["slow_start_window"] == "30s"
    assert (slow_start["aggression"]["default_value"], slow_start["min_weight_percent"]) == (2.0, {"value": 10.0})
    assert found["circuit_breakers"]["thresholds"][0]["retry_budget"] == {
        "budget_percent": {"value": 25.0},
        "min_retry_concurrency": 7,
    }
    socket = found["transport_socket"]["typed_config"]
    assert socket["config"] == {"version": "V2"}
    assert socket["transport_socket"]["name"] == "envoy.transport_sockets.raw_buffer"


def test_http_versions_follow_policy_mesh_or_client() -> None:
    def http(**members: Any) -> Obj:
        world = world_with(**({"trafficPolicy": {"connectionPool": {"http": members}}} if members else {}))
        world.mesh_config = {"h2UpgradePolicy": "UPGRADE"}
        (options,) = cluster(world)["typed_extension_protocol_options"].values()
        found: Obj = options
        return found

    assert "http2_protocol_options" in http()["explicit_http_config"]
    assert "http_protocol_options" in http(h2UpgradePolicy="DO_NOT_UPGRADE")["explicit_http_config"]
    assert "use_downstream_protocol_config" in http(useClientProtocol=True)


def test_a_service_may_prefer_near_endpoints_by_itself() -> None:
    world = World()
    world.pod("client", {"app": "client", "istio-locality": "r1.z1"})
    for name, place in (("near", "r1.z1"), ("far", "r2.z1")):
        world.pod(name, {"app": "web", "istio-locality": place})
    world.service("web", {"app": "web"}, [{"name": "http", "port": 80}])["spec"]["trafficDistribution"] = "PreferClose"
    groups = world.build("client")[ENDPOINT][f"outbound|80||{HOST}"]["endpoints"]
    assert [(g["locality"]["region"], g.get("priority", 0)) for g in groups] == [("r1", 0), ("r2", 1)]
