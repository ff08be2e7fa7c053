"""Merging of Envoy's messages, and which patches a proxy gets."""

from __future__ import annotations

from typing import Any

import pytest

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh import proto
from meshlab.minicluster.mesh.envoy.patchvalues import MESSAGES, canonical, merged, merged_extension
from meshlab.minicluster.mesh.envoy.vocabulary import CLUSTER, EXTENSION, LISTENER, ROUTE
from tests.fakes.istio_world import World

ROUTER = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"


def test_values_get_one_form() -> None:
    given = {"connectTimeout": "1.5s", "lbPolicy": "RANDOM", "noSuchField": 1, "http2_protocol_options": {}}
    assert canonical("CLUSTER", given) == {
        "connect_timeout": "1.500s",
        "lb_policy": "RANDOM",
        "http2_protocol_options": {},
    }
    with pytest.raises(proto.InvalidResource):
        canonical("HTTP_FILTER", {"typed_config": {"@type": "type.googleapis.com/no.such.Type"}})


def test_merging_is_protobufs() -> None:
    base: Obj = {
        "name": "r",
        "route": {"cluster": "a", "timeout": "10s", "retry_policy": {"num_retries": 2, "retry_on": "5xx"}},
        "request_headers_to_remove": ["a"],
        "typed_per_filter_config": {"x": {"@type": ROUTER}},
    }
    patch = {
        "route": {
            "weighted_clusters": {"clusters": [{"name": "b"}]},
            "timeout": "1s",
            "retry_policy": {"num_retries": 5},
        },
        "request_headers_to_remove": ["b"],
        "typed_per_filter_config": {"y": {"@type": ROUTER}},
    }
    before = repr(base)
    assert merged(MESSAGES["HTTP_ROUTE"], base, patch) == {
        "name": "r",
        "route": {
            "weighted_clusters": {"clusters": [{"name": "b"}]},
            "timeout": "1s",
            "retry_policy": {"num_retries": 5, "retry_on": "5xx"},
        },
        "request_headers_to_remove": ["a", "b"],
        "typed_per_filter_config": {"x": {"@type": ROUTER}, "y": {"@type": ROUTER}},
    }
    assert repr(base) == before, "nothing is changed in place"


def test_extensions_merge_only_with_their_own_type() -> None:
    base = {"name": "router", "typed_config": {"@type": ROUTER, "start_child_span": True}}
    same = {"typed_config": {"@type": ROUTER, "suppress_envoy_headers": True}}
    other = {"name": "new", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.cors.v3.Cors"}}
    assert merged_extension(base, same)["typed_config"] == {
        "@type": ROUTER,
        "start_child_span": True,
        "suppress_envoy_headers": True,
    }
    assert merged_extension(base, other) == {**base, "name": "new"}


def world() -> World:
    found = World()
    found.pod("web", {"app": "web"})
    found.pod("edge", {"istio": "ingressgateway"})
    found.service("web", {"app": "web"}, [{"name": "http", "port": 80, "targetPort": 8080}])
    found.service("edge", {"istio": "ingressgateway"}, [{"name": "http", "port": 80, "targetPort": 8080}])
    found.apply(
        """
kind: Gateway
metadata: {name: edge}
spec: {selector: {istio: ingressgateway}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}]}
---
kind: VirtualService
metadata: {name: web}
spec: {hosts: ["*"], gateways: [edge], http: [{name: main, route: [{destination: {host: web}}]}]}
"""
    )
    return found


def add(found: World, *patches: Any, namespace: str = "default", **spec: Any) -> None:
    number = len(found.objects["envoyfilters.networking.istio.io"])
    found.add(
        {
            "kind": "EnvoyFilter",
            "metadata": {"name": f"f{number}", "namespace": namespace},
            "spec": {"configPatches": list(patches), **spec},
        }
    )


def cluster_patch(timeout: str, **match: Any) -> Obj:
    patch: Obj = {"operation": "MERGE", "value": {"connect_timeout": timeout}}
    return {
        "applyTo": "CLUSTER",
        "match": {"cluster": {"service": "web.default.svc.cluster.local"}, **match},
        "patch": patch,
    }


def timeout(found: World, pod: str = "web", kind: str = "sidecar") -> str:
    return str(found.build(pod, kind)[CLUSTER]["outbound|80||web.default.svc.cluster.local"]["connect_timeout"])


def test_who_gets_a_patch_and_in_which_order() -> None:
    found = world()
    add(found, cluster_patch("1s"), workloadSelector={"labels": {"app": "other"}})
    assert timeout(found) == "10s"
    add(found, cluster_patch("2s"), namespace="other")
    assert timeout(found) == "10s"
    add(found, cluster_patch("3s"), priority=5)
    assert timeout(found) == "3s"
    add(found, cluster_patch("4s"), namespace="istio-system")
    assert timeout(found) == "3s", "the higher priority comes later"
    add(found, cluster_patch("5s"), priority=5)
    assert timeout(found) == "5s", "the younger one comes later"
    add(found, cluster_patch("6s", proxy={"proxyVersion": r"^1\.30.*"}), priority=6)
    assert timeout(found) == "5s"
    add(found, cluster_patch("7s", proxy={"proxyVersion": r"^1\.31.*"}), priority=6)
    assert timeout(found) == "7s"
    add(found, cluster_patch("8s", context="GATEWAY"), priority=7)
    assert (timeout(found), timeout(found, "edge", "router")) == ("7s", "8s")


def test_inbound_clusters_are_known_by_their_services() -> None:
    found = world()
    add(found, cluster_patch("1s", context="SIDECAR_INBOUND"))
    built = found.build("web")[CLUSTER]
    assert built["inbound|8080||"]["connect_timeout"] == "1s"
    assert timeout(found) == "10s"


@pytest.mark.parametrize(
    ("match", "applies"),
    [
        ({"portNumber": 80}, True),
        ({"portNumber": 8080}, False),
        ({"portNumber": 81}, False),
        ({"name": "http.8080"}, True),
        ({"vhost": {"name": "*:80"}}, True),
        ({"vhost": {"name": "*:81"}}, False),
        ({"vhost": {"route": {"name": "main"}}}, True),
        ({"vhost": {"route": {"name": "other"}}}, False),
        ({"vhost": {"route": {"action": "ROUTE"}}}, True),
        ({"vhost": {"route": {"action": "REDIRECT"}}}, False),
        ({"gateway": "default/edge"}, False),
    ],
)
def test_routes_of_a_gateway(match: Obj, applies: bool) -> None:
    found = world()
    value = {"response_headers_to_remove": ["x"]}
    patch = {"operation": "MERGE", "value": value}
    add(found, {"applyTo": "HTTP_ROUTE", "match": {"context": "GATEWAY", "routeConfiguration": match}, "patch": patch})
    (route,) = found.build("edge", "router")[ROUTE]["http.8080"]["virtual_hosts"][0]["routes"]
    assert ("response_headers_to_remove" in route) == applies


@pytest.mark.parametrize(
    ("listener", "applies"),
    [
        ({}, True),
        ({"name": "virtualInbound"}, True),
        ({"name": "virtualOutbound"}, False),
        ({"portNumber": 8080}, True),
        ({"portNumber": 80}, False),
        ({"filterChain": {"destinationPort": 8080}}, True),
        ({"filterChain": {"destinationPort": 1}}, False),
        ({"filterChain": {"transportProtocol": "tls"}}, True),
        ({"filterChain": {"applicationProtocols": "istio,istio-h2"}}, True),
        ({"filterChain": {"applicationProtocols": "h2"}}, False),
        ({"filterChain": {"name": "0.0.0.0_8080"}}, True),
        ({"filterChain": {"sni": "x"}}, False),
        ({"filterChain": {"filter": {"name": "envoy.filters.network.tcp_proxy"}}}, False),
    ],
)
def test_filters_of_a_sidecar(listener: Obj, applies: bool) -> None:
    found = world()
    value = {"name": "added", "typed_config": {"@type": ROUTER}}
    match = {"context": "SIDECAR_INBOUND", "listener": listener}
    add(found, {"applyTo": "HTTP_FILTER", "match": match, "patch": {"operation": "INSERT_FIRST", "value": value}})
    chain = found.build("web")[LISTENER]["inbound_0.0.0.0_8080"]["filter_chains"][0]
    names = [item["name"] for item in chain["filters"][0]["typed_config"]["http_filters"]]
    assert ("added" in names) == applies


def test_listeners_chains_and_extensions_are_added_and_removed() -> None:
    found = world()
    config = {"name": "later", "typed_config": {"@type": ROUTER}}
    listener = {"name": "extra", "address": {"socket_address": {"address": "127.0.0.1", "port_value": 9}}}
    inbound = {"context": "SIDECAR_INBOUND"}
    add(
        found,
        {"applyTo": "EXTENSION_CONFIG", "patch": {"operation": "ADD", "value": config}},
        {"applyTo": "LISTENER", "patch": {"operation": "ADD", "value": listener}},
        {"applyTo": "LISTENER", "match": inbound, "patch": {"operation": "REMOVE"}},
        {"applyTo": "CLUSTER", "match": {"cluster": {"name": "BlackHoleCluster"}}, "patch": {"operation": "REMOVE"}},
    )
    built = found.build("web")
    assert built[EXTENSION] == {"later": config}
    captured = {"virtualOutbound", "0.0.0.0_80"}
    assert set(built[LISTENER]) == {"http_proxy", "http_proxy_tunnel", "http_proxy_blackhole", "extra", *captured}
    assert "BlackHoleCluster" not in built[CLUSTER]
    assert set(found.build("edge", "router")[LISTENER]) == {"0.0.0.0_8080", "extra"}


def test_what_is_not_applied_is_told() -> None:
    found = world()
    unknown = {"name": "x", "typed_config": {"@type": "type.googleapis.com/stats.PluginConfig"}}
    add(
        found,
        {"applyTo": "BOOTSTRAP", "patch": {"operation": "MERGE", "value": {}}},
        {"applyTo": "HTTP_FILTER", "patch": {"operation": "ADD", "value": unknown}},
        {"applyTo": "NOTHING", "patch": {"operation": "ADD"}},
        targetRefs=[{"kind": "Service", "name": "web"}],
    )
    codes = [problem.code for problem in found.translate().problems]
    assert codes == ["envoyfilter.bootstrap", "envoyfilter.value", "envoyfilter.applyto", "envoyfilter.target"]
    assert found.mesh().patch_sets == ()
