"""Listeners of captured connections, and what Sidecars make of them."""

from __future__ import annotations

from typing import Any

import pytest

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.envoy.vocabulary import CLUSTER, LISTENER, ROUTE
from tests.fakes.istio_world import World

PROXIES = {"http_proxy", "http_proxy_tunnel", "http_proxy_blackhole", "virtualOutbound", "virtualInbound"}
HEADLESS = "127.77.1.3_9000"
"""The pod behind the headless service."""


@pytest.fixture
def world() -> World:
    found = World()
    found.pod("client", {"app": "client"})
    found.pod("web", {"app": "web"})
    found.service(
        "web",
        {"app": "web"},
        [{"name": "http", "port": 8000}, {"name": "tcp", "port": 9000}, {"name": "x", "port": 7000}],
    )
    found.service("db", {"app": "web"}, [{"name": "tcp", "port": 9000}], headless=True)
    found.service("other", {"app": "web"}, [{"name": "http", "port": 8000}], namespace="else")
    return found


def entry(world: World, host: str, port: int, protocol: str, **spec: Any) -> None:
    ports = [{"number": port, "name": "p", "protocol": protocol}]
    world.add(
        {
            "kind": "ServiceEntry",
            "metadata": {"name": host.replace("*", "any")},
            "spec": {"hosts": [host], "ports": ports, "resolution": "DNS", **spec},
        }
    )


def sidecar(world: World, name: str = "s", namespace: str = "default", **spec: Any) -> None:
    world.add({"kind": "Sidecar", "metadata": {"name": name, "namespace": namespace}, "spec": spec})


def captured(world: World, pod: str = "client") -> set[str]:
    found = set(world.build(pod)[LISTENER]) - PROXIES
    return {name for name in found if not name.startswith("inbound_")}


def domains(world: World, name: str) -> dict[str, list[str]]:
    return {host["name"]: host["domains"] for host in world.build("client")[ROUTE][name]["virtual_hosts"]}


def targets(listener: Obj) -> list[tuple[Obj, str]]:
    """(condition, cluster) of each chain of a listener of connections."""
    chains = [
        *listener["filter_chains"],
        *([listener["default_filter_chain"]] if "default_filter_chain" in listener else []),
    ]
    return [
        (chain.get("filter_chain_match", {}), chain["filters"][-1]["typed_config"].get("cluster", ""))
        for chain in chains
    ]


def test_listeners_and_routes_are_named_as_upstreams(world: World) -> None:
    assert captured(world) == {"0.0.0.0_8000", "127.77.64.1_9000", "127.77.64.1_7000", HEADLESS}
    built = world.build("client")
    assert set(built[ROUTE]) == {"http_proxy", "8000", "web.default.svc.cluster.local:7000"}
    assert all(built[LISTENER][name]["bind_to_port"] is False for name in captured(world))
    assert domains(world, "8000")["web.default.svc.cluster.local:8000"][:3] == [
        "web.default.svc.cluster.local",
        "web.default.svc.cluster.local.",
        "web",
    ]
    assert "other.else" in domains(world, "8000")["other.else.svc.cluster.local:8000"]
    assert built[ROUTE]["8000"]["ignore_port_in_host_matching"] is True


def test_names_tell_tls_services_without_addresses_apart(world: World) -> None:
    entry(world, "a.example.com", 443, "TLS")
    entry(world, "*.example.net", 443, "HTTPS")
    found = targets(world.build("client")[LISTENER]["0.0.0.0_443"])
    assert found == [
        ({"server_names": ["*.example.net"]}, "outbound|443||*.example.net"),
        ({"server_names": ["a.example.com"]}, "outbound|443||a.example.com"),
        ({}, "PassthroughCluster-captured"),
    ]


def test_ranges_of_addresses_are_conditions(world: World) -> None:
    entry(world, "db.example.com", 3306, "TCP", addresses=["192.0.2.0/24"])
    condition, cluster = targets(world.build("client")[LISTENER]["0.0.0.0_3306"])[0]
    assert condition == {"prefix_ranges": [{"address_prefix": "192.0.2.0", "prefix_len": 24}]}
    assert cluster == "outbound|3306||db.example.com"


def test_allocated_addresses_count_where_names_are_answered(world: World) -> None:
    entry(world, "db.example.com", 3306, "TCP")
    status = {"addresses": [{"host": "db.example.com", "value": value} for value in ("240.240.0.1", "2001:2::1")]}
    world.objects["serviceentries.networking.istio.io"][0]["status"] = status
    assert "0.0.0.0_3306" in captured(world)
    world.proxy_metadata["DNS_CAPTURE"] = "true"
    assert "240.240.0.1_3306" in captured(world)
    assert "0.0.0.0_3306" not in captured(world)


def test_remapped_ports_of_the_lab_have_a_way_through(world: World) -> None:
    world.pod("low", {}, ports=(("", 80),))
    built = world.build("client", ports=lambda port: 20080 if port == 80 else port)
    clusters = built[CLUSTER]
    assert clusters["PassthroughCluster-captured-lab-80"]["original_dst_lb_config"] == {"upstream_port_override": 20080}
    chains = {chain["name"]: chain for chain in built[LISTENER]["virtualOutbound"]["filter_chains"]}
    assert chains["virtualOutbound-catchall-tcp-lab-80"]["filter_chain_match"]["destination_port"] == 80


def test_registry_only_leaves_the_black_hole(world: World) -> None:
    world.mesh_config = {"outboundTrafficPolicy": {"mode": "REGISTRY_ONLY"}}
    assert {cluster for _, cluster in targets(world.build("client")[LISTENER]["virtualOutbound"])} == {
        "BlackHoleCluster"
    }
    assert [host for host in domains(world, "8000") if host.endswith("_all") or host == "allow_any"] == ["block_all"]


@pytest.mark.parametrize(
    ("hosts", "seen"),
    [
        (["./*"], {"0.0.0.0_8000", "127.77.64.1_9000", "127.77.64.1_7000", HEADLESS}),
        (["else/*"], {"0.0.0.0_8000"}),
        (["~/*"], set()),
        (["*/other.else.svc.cluster.local"], {"0.0.0.0_8000"}),
        (["else/other.else.svc.cluster.local", "./db.default.svc.cluster.local"], {"0.0.0.0_8000", HEADLESS}),
    ],
)
def test_hosts_of_a_sidecar(world: World, hosts: list[str], seen: set[str]) -> None:
    sidecar(world, egress=[{"hosts": hosts}])
    assert captured(world) == seen


def test_a_dot_in_the_meshs_sidecar_is_the_clients_namespace(world: World) -> None:
    sidecar(world, namespace="istio-system", egress=[{"hosts": ["./*"]}])
    assert "web.default.svc.cluster.local:8000" in domains(world, "8000")
    assert "other.else.svc.cluster.local:8000" not in domains(world, "8000")


def test_the_narrowest_sidecar_counts(world: World) -> None:
    sidecar(world, "mesh", namespace="istio-system", egress=[{"hosts": ["~/*"]}])
    sidecar(world, "namespace", egress=[{"hosts": ["else/*"]}])
    assert captured(world) == {"0.0.0.0_8000"}
    sidecar(world, "workload", workloadSelector={"labels": {"app": "client"}}, egress=[{"hosts": ["./*"]}])
    assert "127.77.64.1_9000" in captured(world)
    assert captured(world, "web") == {"0.0.0.0_8000"}


def test_a_port_of_a_sidecar_limits_what_is_seen(world: World) -> None:
    sidecar(world, egress=[{"port": {"number": 9000, "protocol": "TCP", "name": "t"}, "hosts": ["./*"]}])
    assert captured(world) == {"127.77.64.1_9000", HEADLESS}
    assert not any(name.startswith("outbound|8000") for name in world.build("client")[CLUSTER])


def test_a_sidecar_may_bind_instead_of_capturing(world: World) -> None:
    sidecar(
        world,
        egress=[
            {"port": {"number": 9000, "protocol": "TCP"}, "bind": "127.0.0.1", "captureMode": "NONE", "hosts": ["./*"]},
            {"port": {"number": 8000, "protocol": "HTTP"}, "captureMode": "NONE", "hosts": ["./*"]},
            {"port": {"number": 3128, "protocol": "HTTP_PROXY"}, "hosts": ["./*"]},
        ],
    )
    listeners = world.build("client")[LISTENER]
    for port in (9000, 8000, 3128):
        found = listeners[f"127.0.0.1_{port}"]
        assert "bind_to_port" not in found
        address = {"address": world.proxy("client").hidden_ip, "port_value": port}
        assert found["address"]["socket_address"] == address, "where the pod's programs are"
    manager = listeners["127.0.0.1_3128"]["filter_chains"][0]["filters"][0]["typed_config"]
    assert manager["rds"]["route_config_name"] == "http_proxy"


def test_destinations_of_imported_routes_are_imported(world: World) -> None:
    world.apply(
        "{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: v}, spec: {hosts: "
        "[web.default.svc.cluster.local], http: [{route: [{destination: {host: other.else.svc.cluster.local}}]}]}}"
    )
    sidecar(world, egress=[{"hosts": ["./web.default.svc.cluster.local"]}])
    assert "outbound|8000||other.else.svc.cluster.local" in world.build("client")[CLUSTER]


def test_connections_to_the_program_follow_the_services_policy_unless_a_sidecar_says_more(world: World) -> None:
    def limit(port: int) -> int:
        cluster = world.build("web")[CLUSTER][f"inbound|{port}||"]
        return int(cluster["circuit_breakers"]["thresholds"][0]["max_connections"])

    assert limit(8000) == 4294967295
    world.apply(
        "{apiVersion: networking.istio.io/v1, kind: DestinationRule, metadata: {name: d}, spec: {host: web, trafficPolicy: "
        "{connectionPool: {tcp: {maxConnections: 7}}}}}"
    )
    assert limit(8000) == 7
    sidecar(world, inboundConnectionPool={"tcp": {"maxConnections": 5}})
    assert limit(8000) == 5


def test_ingress_of_a_sidecar(world: World) -> None:
    sidecar(
        world,
        ingress=[
            {"port": {"number": 8443, "protocol": "HTTP", "name": "a"}, "defaultEndpoint": "127.0.0.1:8000"},
            {"port": {"number": 8444, "protocol": "TCP", "name": "b"}, "defaultEndpoint": "unix:///run/app.sock"},
            {
                "port": {"number": 8445, "protocol": "TCP", "name": "c"},
                "defaultEndpoint": "0.0.0.0:9000",
                "connectionPool": {"tcp": {"maxConnections": 3}},
            },
        ],
    )
    clusters = world.build("web")[CLUSTER]
    inbound = {name: clusters[name] for name in clusters if name.startswith("inbound|")}
    addresses = {
        name: cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]["address"]
        for name, cluster in inbound.items()
    }
    hidden = world.proxy("web").hidden_ip
    assert addresses == {
        "inbound|8443||": {"socket_address": {"address": hidden, "port_value": 8000}},
        "inbound|8444||": {"pipe": {"path": "/run/app.sock"}},
        "inbound|8445||": {"socket_address": {"address": hidden, "port_value": 9000}},
    }
    assert inbound["inbound|8445||"]["circuit_breakers"]["thresholds"][0]["max_connections"] == 3
