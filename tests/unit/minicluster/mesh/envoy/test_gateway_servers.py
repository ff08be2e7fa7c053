"""Servers of gateways: who gets a port, addresses, TLS settings, AUTO_PASSTHROUGH."""

from __future__ import annotations

from dataclasses import replace

import pytest

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.envoy import build
from meshlab.minicluster.mesh.envoy.vocabulary import CLUSTER, LISTENER, ROUTE
from meshlab.minicluster.mesh.istio.proxyconfig import edge
from meshlab.minicluster.mesh.model import Edge
from tests.fakes.istio_world import World, same_port

TLS = "tls: {mode: SIMPLE, credentialName: cert}"


def gateway(name: str, *servers: str, namespace: str = "default") -> str:
    return (
        f"{{apiVersion: networking.istio.io/v1, kind: Gateway, metadata: {{name: {name}, namespace: {namespace}}},"
        f" spec: {{selector: {{istio: ingressgateway}}, servers: [{', '.join(servers)}]}}}}"
    )


def server(port: int, protocol: str, *hosts: str, more: str = "") -> str:
    name = f"{protocol.lower()}-{port}-{len(hosts)}"
    listed = ", ".join(f"'{host}'" for host in hosts)
    return f"{{port: {{number: {port}, name: {name}, protocol: {protocol}}}, hosts: [{listed}]{more and ', ' + more}}}"


@pytest.fixture
def world() -> World:
    """An ingress gateway's proxy ``in``, and a service ``web`` with a subset."""
    world = World()
    world.pod("in", {"istio": "ingressgateway"}, injected=False)
    world.pod("web", {"app": "web", "version": "v1"}, ports=(("http", 8080),))
    world.service("web", {"app": "web"}, [{"name": "http", "port": 80, "targetPort": 8080}])
    world.apply(
        "{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: tcp}, spec: {hosts: ['*'],"
        " gateways: [a, b], tcp: [{route: [{destination: {host: web, port: {number: 80}}}]}]}}"
    )
    return world


def listeners(world: World) -> dict[str, Obj]:
    return world.build("in", "router")[LISTENER]


@pytest.mark.parametrize(
    ("first", "second", "filters"),
    [
        (server(80, "HTTP", "a.com"), server(80, "HTTP2", "b.com"), ["http_connection_manager"]),
        (server(80, "HTTP", "a.com"), server(80, "TCP", "*"), ["http_connection_manager"]),
        (server(80, "TCP", "*"), server(80, "HTTP", "a.com"), ["set_filter_state", "tcp_proxy"]),
        (server(80, "MONGO", "*"), server(80, "TCP", "*"), ["set_filter_state", "tcp_proxy"]),
        (server(80, "HTTP", "a.com"), server(80, "HTTPS", "b.com", more=TLS), ["http_connection_manager"]),
    ],
)
def test_the_older_server_decides_what_a_port_is(world: World, first: str, second: str, filters: list[str]) -> None:
    world.apply(gateway("a", first))
    world.apply(gateway("b", second))
    (chain,) = listeners(world)["0.0.0.0_80"]["filter_chains"]
    assert [f["name"].rpartition(".")[2] for f in chain["filters"]] == filters


def test_a_server_with_a_host_that_is_taken_is_left_out_whole(world: World) -> None:
    world.apply(gateway("a", server(443, "HTTPS", "a.com", more=TLS)))
    world.apply(gateway("b", server(443, "HTTPS", "a.com", "b.com", more=TLS), server(443, "HTTPS", "c.com", more=TLS)))
    names = [chain["filter_chain_match"]["server_names"] for chain in listeners(world)["0.0.0.0_443"]["filter_chains"]]
    assert names == [["a.com"], ["c.com"]]


def test_gateways_of_all_namespaces_select_a_proxy(world: World) -> None:
    world.apply(gateway("far", server(80, "HTTP", "a.com"), namespace="elsewhere"))
    world.apply(
        "{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: v}, spec: {hosts: [a.com],"
        " gateways: [elsewhere/far], http: [{directResponse: {status: 200}}]}}"
    )
    (host,) = world.build("in", "router")[ROUTE]["http.80"]["virtual_hosts"]
    assert host["domains"] == ["a.com"]


@pytest.mark.parametrize(
    ("bind", "name", "address"),
    [
        ("", "0.0.0.0_80", "pod"),
        ("0.0.0.0", "0.0.0.0_80", "pod"),
        ("127.0.0.1", "127.0.0.1_80", "hidden"),
        ("10.1.2.3", "", ""),
    ],
)
def test_bind(world: World, bind: str, name: str, address: str) -> None:
    world.apply(gateway("a", server(80, "HTTP", "a.com", more=f"bind: '{bind}'" if bind else "")))
    found = listeners(world)
    assert set(found) == ({name} if name else set())
    proxy = world.proxy("in", "router")
    for listener in found.values():
        bound = listener["address"]["socket_address"]["address"]
        assert bound == {"pod": proxy.ip, "hidden": proxy.hidden_ip}[address]


def test_tls_settings(world: World) -> None:
    tls = (
        "tls: {mode: MUTUAL, credentialNames: [rsa, ecdsa], caCertCredentialName: ca, minProtocolVersion: TLSV1_3,"
        " cipherSuites: [ECDHE-RSA-AES128-GCM-SHA256, nonsense], subjectAltNames: [c.com],"
        " verifyCertificateSpki: [abc], verifyCertificateHash: [def]}"
    )
    world.apply(gateway("a", server(443, "HTTPS", "a.com", more=tls)))
    (chain,) = listeners(world)["0.0.0.0_443"]["filter_chains"]
    config = chain["transport_socket"]["typed_config"]
    common = config["common_tls_context"]
    assert config["require_client_certificate"] is True
    assert [s["name"] for s in common["tls_certificate_sds_secret_configs"]] == [
        "kubernetes://rsa",
        "kubernetes://ecdsa",
    ]
    assert common["tls_params"]["tls_minimum_protocol_version"] == "TLSv1_3"
    assert common["tls_params"]["cipher_suites"] == ["ECDHE-RSA-AES128-GCM-SHA256"]
    validation = common["combined_validation_context"]
    assert validation["validation_context_sds_secret_config"]["name"] == "kubernetes://ca"
    assert validation["default_validation_context"] == {
        "match_typed_subject_alt_names": [{"san_type": "DNS", "matcher": {"exact": "c.com"}}],
        "verify_certificate_spki": ["abc"],
        "verify_certificate_hash": ["def"],
    }


def test_a_gateway_may_not_name_a_secret_of_another_namespace(world: World) -> None:
    world.apply(
        gateway(
            "a", server(443, "HTTPS", "a.com", more="tls: {mode: SIMPLE, credentialName: 'kubernetes-gateway://b/c'}")
        )
    )
    assert listeners(world) == {}


def test_auto_passthrough_goes_by_the_name_that_sidecars_send(world: World) -> None:
    world.apply(
        "{apiVersion: networking.istio.io/v1, kind: DestinationRule, metadata: {name: d}, spec: {host: web,"
        " subsets: [{name: v1, labels: {version: v1}}]}}"
    )
    world.apply(gateway("a", server(15443, "TLS", "*.local", more="tls: {mode: AUTO_PASSTHROUGH}")))
    found = world.build("in", "router")
    chains = found[LISTENER]["0.0.0.0_15443"]["filter_chains"]
    names = [chain["filter_chain_match"]["server_names"] for chain in chains]
    host = "web.default.svc.cluster.local"
    assert names == [[f"outbound_.80_._.{host}"], [f"outbound_.80_.v1_.{host}"]]
    assert "istio" in chains[0]["filter_chain_match"]["application_protocols"]
    cluster = found[CLUSTER][f"outbound_.80_.v1_.{host}"]
    assert cluster["eds_cluster_config"]["service_name"] == f"outbound|80|v1|{host}"
    assert "transport_socket" not in cluster and "transport_socket_matches" not in cluster


def test_what_stands_before_a_gateway_is_believed_as_far_as_it_says(world: World) -> None:
    world.apply(gateway("a", server(80, "HTTP", "a.com")))
    config = {
        "gatewayTopology": {"numTrustedProxies": 2.0, "proxyProtocol": {}, "forwardClientCertDetails": "SANITIZE"}
    }
    proxy = replace(world.proxy("in", "router"), edge=edge(config))
    listener = build(world.mesh(), proxy, same_port)[LISTENER]["0.0.0.0_80"]
    assert [found["name"] for found in listener["listener_filters"]] == ["envoy.filters.listener.proxy_protocol"]
    manager = listener["filter_chains"][0]["filters"][-1]["typed_config"]
    assert (manager["xff_num_trusted_hops"], manager["forward_client_cert_details"]) == (2, "SANITIZE")


def test_nothing_is_believed_by_default(world: World) -> None:
    world.apply(gateway("a", server(80, "HTTP", "a.com")))
    listener = listeners(world)["0.0.0.0_80"]
    assert "listener_filters" not in listener
    assert listener["filter_chains"][0]["filters"][-1]["typed_config"]["xff_num_trusted_hops"] == 0
    assert edge({"gatewayTopology": {"forwardClientCertDetails": "UNDEFINED"}}) == Edge()
