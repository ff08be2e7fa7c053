"""Listeners: filter chains by protocol and mTLS mode, ports, gateways, bootstrap."""

from __future__ import annotations

import json
from typing import Any

import pytest

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.envoy.bootstrap import Bootstrap, bootstrap
from meshlab.minicluster.mesh.envoy.vocabulary import CLUSTER, LISTENER, ROUTE
from tests.fakes.istio_world import World

MESH_HTTP = ("istio-http/1.0", "istio-http/1.1", "istio-h2")


def world_with(port_name: str, mode: str = "PERMISSIVE") -> World:
    world = World()
    world.pod("web", {"app": "web"}, ports=(("named", 8080),))
    world.service("web", {"app": "web"}, [{"name": port_name, "port": 80, "targetPort": "named"}])
    world.apply(f"{{kind: PeerAuthentication, metadata: {{name: x}}, spec: {{mtls: {{mode: {mode}}}}}}}")
    return world


def chains(listener: Obj) -> list[tuple[str, tuple[str, ...], bool, str]]:
    """(transport, protocols, mutual TLS, filter) of each chain."""
    found = []
    for chain in listener["filter_chains"]:
        match = chain.get("filter_chain_match", {})
        kind = chain["filters"][-1]["name"].rsplit(".", 1)[1]
        found.append(
            (
                match.get("transport_protocol", ""),
                tuple(match.get("application_protocols", ())),
                "transport_socket" in chain,
                {"http_connection_manager": "http", "tcp_proxy": "tcp"}[kind],
            )
        )
    return found


HTTP_ALL = ("istio-peer-exchange", "istio", *MESH_HTTP)
PLAIN = ("http/1.0", "http/1.1", "h2c")


@pytest.mark.parametrize(
    ("port_name", "mode", "wanted"),
    [
        ("http", "PERMISSIVE", [("tls", HTTP_ALL, True, "http"), ("raw_buffer", (), False, "http")]),
        ("http", "STRICT", [("tls", (), True, "http")]),
        ("http", "DISABLE", [("", (), False, "http")]),
        (
            "tcp",
            "PERMISSIVE",
            [
                ("tls", ("istio-peer-exchange", "istio"), True, "tcp"),
                ("raw_buffer", (), False, "tcp"),
                ("tls", (), False, "tcp"),
            ],
        ),
        ("tcp", "STRICT", [("tls", (), True, "tcp")]),
        ("tcp", "DISABLE", [("", (), False, "tcp")]),
        (
            "any",
            "PERMISSIVE",
            [
                ("tls", MESH_HTTP, True, "http"),
                ("raw_buffer", PLAIN, False, "http"),
                ("tls", ("istio-peer-exchange", "istio"), True, "tcp"),
                ("raw_buffer", (), False, "tcp"),
                ("tls", (), False, "tcp"),
            ],
        ),
        ("any", "STRICT", [("tls", MESH_HTTP, True, "http"), ("tls", (), True, "tcp")]),
        ("any", "DISABLE", [("raw_buffer", PLAIN, False, "http"), ("", (), False, "tcp")]),
    ],
)
def test_filter_chains_by_protocol_and_mode(port_name: str, mode: str, wanted: list[Any]) -> None:
    listener = world_with(port_name, mode).build("web")[LISTENER]["inbound_0.0.0.0_8080"]
    assert chains(listener) == wanted
    assert listener["enable_reuse_port"] is False
    assert listener["traffic_direction"] == "INBOUND"


def test_inbound_is_bound_at_the_pod_and_leads_to_the_hidden_address() -> None:
    found = world_with("http").build("web", ports=lambda port: port + 1)
    address = found[LISTENER]["inbound_0.0.0.0_8080"]["address"]["socket_address"]
    assert address == {"address": "127.77.1.2", "port_value": 8081}
    cluster = found[CLUSTER]["inbound|8080||"]
    endpoint = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]["address"]["socket_address"]
    assert endpoint == {"address": "127.77.129.2", "port_value": 8081}
    assert cluster["upstream_bind_config"]["source_address"]["address"] == "127.0.0.6"
    routes = found[ROUTE]["inbound|8080||"]
    assert routes["virtual_hosts"][0]["name"] == "inbound|http|80"
    assert routes["virtual_hosts"][0]["routes"][0]["route"]["cluster"] == "inbound|8080||"


def test_declared_ports_without_a_service_are_served_and_sniffed() -> None:
    world = World()
    world.pod("web", {}, ports=(("", 7000), ("", 15090)))
    listeners = world.build("web")[LISTENER]
    assert set(listeners) == {
        "http_proxy",
        "http_proxy_tunnel",
        "http_proxy_blackhole",
        "virtualOutbound",
        "virtualInbound",
        "inbound_0.0.0.0_7000",
    }
    assert len(chains(listeners["inbound_0.0.0.0_7000"])) == 5


def test_the_oldest_service_decides_the_protocol_of_a_shared_port() -> None:
    world = world_with("tcp", "DISABLE")
    world.service("newer", {"app": "web"}, [{"name": "http", "port": 8080}])
    assert chains(world.build("web")[LISTENER]["inbound_0.0.0.0_8080"]) == [("", (), False, "tcp")]


def test_port_level_mode_changes_one_port() -> None:
    world = World()
    world.pod("web", {"app": "web"})
    world.service(
        "web", {"app": "web"}, [{"name": "http", "port": 80, "targetPort": 8080}, {"name": "http-m", "port": 90}]
    )
    world.apply(
        "{kind: PeerAuthentication, metadata: {name: x}, spec: {selector: {matchLabels: {app: web}}, mtls: {mode: STRICT},"
        " portLevelMtls: {90: {mode: DISABLE}}}}"
    )
    listeners = world.build("web")[LISTENER]
    assert chains(listeners["inbound_0.0.0.0_8080"]) == [("tls", (), True, "http")]
    assert chains(listeners["inbound_0.0.0.0_90"]) == [("", (), False, "http")]


def test_weights_change_routes_only() -> None:
    """A changed listener would close connections."""

    def build(weight: int) -> dict[str, dict[str, Obj]]:
        world = world_with("http")
        world.pod("client", {})
        world.apply(
            "{kind: VirtualService, metadata: {name: w}, spec: {hosts: [web], http: [{route: [{destination: {host: web, subset: a},"
            f" weight: {weight}}}, {{destination: {{host: web, subset: b}}, weight: 50}}]}}]}}}}"
        )
        return world.build("client")

    first, second = build(10), build(20)
    assert {url for url in first if first[url] != second[url]} == {ROUTE}


def test_allow_without_rules_allows_nothing() -> None:
    world = world_with("http")
    world.apply("{kind: AuthorizationPolicy, metadata: {name: none}, spec: {}}")
    assert rules(world)["action"] == "ALLOW"
    never = {"permissions": [{"not_rule": {"any": True}}], "principals": [{"not_id": {"any": True}}]}
    assert rules(world)["policies"] == {"ns[default]-policy[none]-rule[0]": never}


def rules(world: World) -> Obj:
    manager = world.build("web")[LISTENER]["inbound_0.0.0.0_8080"]["filter_chains"][0]["filters"][0]["typed_config"]
    found = [f["typed_config"]["rules"] for f in manager["http_filters"] if f["name"] == "envoy.filters.http.rbac"]
    return found[0] if found else {}


@pytest.mark.parametrize(
    ("namespace", "selector", "applies"),
    [
        ("default", {}, True),
        ("default", {"app": "web"}, True),
        ("default", {"app": "other"}, False),
        ("other", {}, False),
        ("istio-system", {}, True),
        ("istio-system", {"app": "web"}, True),
    ],
)
def test_which_policies_apply(namespace: str, selector: Obj, applies: bool) -> None:
    world = world_with("http")
    world.add(
        {
            "kind": "AuthorizationPolicy",
            "metadata": {"name": "p", "namespace": namespace},
            "spec": {"selector": {"matchLabels": selector}, "rules": [{}]},
        }
    )
    assert list(rules(world).get("policies", {})) == ([f"ns[{namespace}]-policy[p]-rule[0]"] if applies else [])


def test_rules_about_requests_on_a_port_without_http_allow_less() -> None:
    spec = "spec: {action: %s, rules: [{to: [{operation: {methods: [GET], ports: ['8080']}}]}]}"
    for action in ("ALLOW", "DENY"):
        world = world_with("tcp", "DISABLE")
        world.apply("{kind: AuthorizationPolicy, metadata: {name: p}, " + spec % action + "}")
        rbac = world.build("web")[LISTENER]["inbound_0.0.0.0_8080"]["filter_chains"][0]["filters"][0]["typed_config"]
        assert rbac["rules"]["action"] == action
        if action == "ALLOW":
            assert rbac["rules"]["policies"] == {}
        else:
            assert '"destination_port": 8080' in json.dumps(rbac)
            assert "GET" not in json.dumps(rbac)


GATEWAY = """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: edge}
spec:
  selector: {istio: ingressgateway}
  servers:
  - {port: {number: 80, name: http, protocol: HTTP}, hosts: ["a.example.com", "*.wild.example.com", "other/c.example.com"]}
  - {port: {number: 443, name: https, protocol: HTTPS}, hosts: [a.example.com], tls: {mode: SIMPLE, credentialName: cert}}
"""


def gateway_world(*tables: str) -> World:
    world = World()
    world.pod("in", {"istio": "ingressgateway"})
    ports = [{"name": "http2", "port": 80, "targetPort": 8080}, {"name": "https", "port": 443, "targetPort": 8443}]
    world.service("ingress", {"istio": "ingressgateway"}, ports)
    world.apply(GATEWAY)
    for table in tables:
        world.apply(table)
    return world


def table(name: str, hosts: str, routes: str, gateways: str = "edge") -> str:
    return (
        f"{{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {{name: {name}}},"
        f" spec: {{hosts: [{hosts}], gateways: [{gateways}], http: [{routes}]}}}}"
    )


def test_gateway_names_as_upstream() -> None:
    found = gateway_world().build("in", "router")
    assert set(found[LISTENER]) == {"0.0.0.0_8080", "0.0.0.0_8443"}
    assert set(found[ROUTE]) == {"http.8080", "https.443.https.edge.default"}
    assert [h["name"] for h in found[ROUTE]["http.8080"]["virtual_hosts"]] == ["blackhole:80"]
    (chain,) = found[LISTENER]["0.0.0.0_8443"]["filter_chains"]
    assert chain["filter_chain_match"] == {"server_names": ["a.example.com"]}
    certificate = chain["transport_socket"]["typed_config"]["common_tls_context"]["tls_certificate_sds_secret_configs"]
    assert certificate[0]["name"] == "kubernetes://cert"


def test_gateway_serves_the_hosts_that_both_sides_name() -> None:
    world = gateway_world(
        table("one", "a.example.com, x.wild.example.com, not.example.com", "{directResponse: {status: 201}}"),
        table("two", "'*'", "{directResponse: {status: 202}}"),
        table("mesh-only", "a.example.com", "{directResponse: {status: 203}}", "mesh"),
    )
    hosts = {h["name"]: h for h in world.build("in", "router")[ROUTE]["http.8080"]["virtual_hosts"]}
    assert set(hosts) == {"a.example.com:80", "x.wild.example.com:80", "*.wild.example.com:80"}
    statuses = [route["direct_response"]["status"] for route in hosts["a.example.com:80"]["routes"]]
    assert statuses == [201, 202], "tables for one host are merged, oldest first"


def test_gateway_puts_catch_all_routes_last() -> None:
    world = gateway_world(
        table("first", "a.example.com", "{directResponse: {status: 201}}"),
        table("second", "a.example.com", "{match: [{uri: {prefix: /x}}], directResponse: {status: 202}}"),
    )
    (host,) = world.build("in", "router")[ROUTE]["http.8080"]["virtual_hosts"]
    assert [route["direct_response"]["status"] for route in host["routes"]] == [202, 201]


def test_gateway_that_selects_other_proxies_is_not_served() -> None:
    world = gateway_world()
    world.pod("other", {"istio": "egressgateway"})
    assert world.build("other", "router")[LISTENER] == {}


def test_bootstrap() -> None:
    found = bootstrap(
        Bootstrap(
            node_id="sidecar~127.77.1.2~a.default~default.svc.cluster.local",
            cluster="a.default",
            pod_ip="127.77.1.2",
            admin_socket="/run/admin.sock",
            discovery_address="127.77.64.9",
            discovery_port=15012,
            discovery_san="istiod.istio-system.svc",
            root_certificate="/root.pem",
            token="secret",
        )
    )
    service = found["dynamic_resources"]["ads_config"]["grpc_services"][0]
    assert service["initial_metadata"] == [{"key": "authorization", "value": "Bearer secret"}]
    assert service["envoy_grpc"]["retry_policy"]["retry_back_off"] == {"base_interval": "0.1s", "max_interval": "0.5s"}
    assert found["cluster_manager"]["upstream_bind_config"]["source_address"]["address"] == "127.77.1.2"
    assert found["admin"]["address"] == {"pipe": {"path": "/run/admin.sock"}}


def test_a_sidecars_ingress_replaces_the_ports_of_services() -> None:
    world = World()
    world.pod("web", {"app": "web"}, ports=(("", 7000),))
    world.service("web", {"app": "web"}, [{"name": "http", "port": 80, "targetPort": 8080}])
    world.apply(
        "{kind: Sidecar, metadata: {name: web}, spec: {workloadSelector: {labels: {app: web}}, ingress:"
        " [{port: {number: 9080, protocol: HTTP, name: in}, defaultEndpoint: '127.0.0.1:8080'}]}}"
    )
    built = world.build("web")
    assert [name for name in built[LISTENER] if name.startswith("inbound")] == ["inbound_0.0.0.0_9080"]
    endpoint = built[CLUSTER]["inbound|9080||"]["load_assignment"]["endpoints"][0]["lb_endpoints"][0]
    assert endpoint["endpoint"]["address"]["socket_address"]["port_value"] == 8080
