"""Routes and virtual hosts of the outbound side."""

from __future__ import annotations

from typing import Any

import pytest

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.envoy.vocabulary import ROUTE
from tests.fakes.istio_world import World, same_port

HOST = "web.default.svc.cluster.local"
HTTP = [{"name": "http", "port": 80, "targetPort": 8080}]


@pytest.fixture
def world() -> World:
    found = World()
    found.pod("client", {"app": "client"})
    found.pod("stranger", {"app": "stranger"}, namespace="other")
    found.pod("web", {"app": "web"})
    found.service("web", {"app": "web"}, HTTP)
    return found


def hosts(world: World, pod: str = "client", **options: Any) -> dict[str, Obj]:
    found = world.build(pod, **options)[ROUTE]["http_proxy"]["virtual_hosts"]
    return {host["name"]: host for host in found}


def virtual_service(world: World, name: str = "web", namespace: str = "default", **spec: Any) -> None:
    world.add(
        {
            "apiVersion": "networking.istio.io/v1alpha3",
            "kind": "VirtualService",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"hosts": ["web"], **spec},
        }
    )


def http_routes(world: World, pod: str = "client", host: str = f"{HOST}:80") -> list[Obj]:
    return [route for route in hosts(world, pod)[host]["routes"] if "connect_matcher" not in route["match"]]


def to(host: str, weight: int = 0, **destination: Any) -> Obj:
    return {"destination": {"host": host, **destination}, **({"weight": weight} if weight else {})}


def test_domains_by_the_clients_namespace(world: World) -> None:
    own, foreign = hosts(world)[f"{HOST}:80"]["domains"], hosts(world, "stranger")[f"{HOST}:80"]["domains"]
    common = [HOST, f"{HOST}.", "web.default.svc", "web.default", "127.77.64.1"]
    assert {d for d in own if not d.endswith(":80")} == {*common, "web"}
    assert {d for d in foreign if not d.endswith(":80")} == set(common)
    assert all(f"{domain}:80" in own for domain in (*common, "web"))


def test_other_ports_need_the_port_in_the_domain(world: World) -> None:
    world.service("api", {"app": "web"}, [{"name": "http", "port": 8000}, {"name": "http-b", "port": 80}])
    found = hosts(world)
    assert "api" in found["api.default.svc.cluster.local:80"]["domains"]
    assert all(domain.endswith(":8000") for domain in found["api.default.svc.cluster.local:8000"]["domains"])


def test_headless_services_have_names_of_their_pods(world: World) -> None:
    world.service("db", {"app": "web"}, HTTP, headless=True)
    domains = hosts(world)["db.default.svc.cluster.local:80"]["domains"]
    assert "*.db.default.svc.cluster.local" in domains
    assert not any(domain.startswith("127.") or domain.startswith("None") for domain in domains)


def test_no_domain_occurs_twice(world: World) -> None:
    """Envoy refuses the whole route configuration for one duplicate."""
    for name in ("b", "c"):
        world.apply(
            f"{{kind: ServiceEntry, metadata: {{name: {name}}}, spec: {{hosts: [dup.example.com, {HOST}], addresses: [127.77.64.1],"
            " resolution: NONE, ports: [{number: 80, name: http, protocol: HTTP}]}}"
        )
    virtual_service(
        world,
        hosts=["dup.example.com", "127.77.64.1", "new.example.com", "*.example.com"],
        http=[{"route": [to("web")]}],
    )
    domains = [domain for host in hosts(world).values() for domain in host["domains"]]
    assert len(domains) == len(set(domains))


def test_service_without_virtual_service_gets_the_default_route(world: World) -> None:
    (route,) = http_routes(world)
    assert route["name"] == "default"
    assert route["route"]["cluster"] == f"outbound|80||{HOST}"
    assert route["route"]["timeout"] == "0s"
    policy = route["route"]["retry_policy"]
    assert policy["num_retries"] == 2
    assert policy["retry_on"] == "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes"
    assert policy["host_selection_retry_max_attempts"] == "5"


def test_canary_names_clusters_weights_and_resource(world: World) -> None:
    virtual_service(world, hosts=[HOST], http=[{"route": [to("web", 80, subset="v1"), to("web", 20, subset="v2")]}])
    (route,) = http_routes(world)
    assert [(c["name"], c["weight"]) for c in route["route"]["weighted_clusters"]["clusters"]] == [
        (f"outbound|80|v1|{HOST}", 80),
        (f"outbound|80|v2|{HOST}", 20),
    ]
    config = route["metadata"]["filter_metadata"]["istio"]["config"]
    assert config == "/apis/networking.istio.io/v1/namespaces/default/virtual-service/web"
    assert world.build("client")[ROUTE]["http_proxy"]["validate_clusters"] is False


def test_the_oldest_table_of_a_host_wins_and_exact_beats_wildcard(world: World) -> None:
    virtual_service(world, "wild", hosts=["*.default.svc.cluster.local"], http=[{"directResponse": {"status": 201}}])
    virtual_service(world, "old", http=[{"directResponse": {"status": 202}}])
    virtual_service(world, "new", http=[{"directResponse": {"status": 203}}])
    (route,) = http_routes(world)
    assert route["direct_response"]["status"] == 202


def test_table_of_another_namespace_counts_unless_it_is_not_exported(world: World) -> None:
    virtual_service(world, "far", "other", hosts=[HOST], http=[{"directResponse": {"status": 202}}], exportTo=["."])
    assert "direct_response" not in http_routes(world)[0]
    assert "direct_response" in http_routes(world, "stranger")[0]


def test_host_without_service_is_routed_on_port_80_only(world: World) -> None:
    virtual_service(world, hosts=["bookinfo.example.com"], http=[{"route": [to("web")]}])
    host = hosts(world)["bookinfo.example.com:80"]
    assert host["domains"] == ["bookinfo.example.com", "bookinfo.example.com:80"]
    assert host["routes"][0]["route"]["cluster"] == f"outbound|80||{HOST}"


def test_source_and_port_conditions_are_decided_beforehand(world: World) -> None:
    virtual_service(
        world,
        hosts=[HOST],
        http=[
            {"match": [{"sourceLabels": {"app": "other"}}], "directResponse": {"status": 201}},
            {"match": [{"sourceNamespace": "other"}], "directResponse": {"status": 202}},
            {"match": [{"port": 81}], "directResponse": {"status": 203}},
            {"match": [{"gateways": ["edge"]}], "directResponse": {"status": 204}},
            {"match": [{"sourceLabels": {"app": "client"}}], "directResponse": {"status": 205}},
            {"directResponse": {"status": 206}},
        ],
    )
    world.pod("plain", {})

    def statuses(pod: str) -> list[int]:
        return [route["direct_response"]["status"] for route in http_routes(world, pod)]

    assert statuses("client") == [205], "what comes after a catch-all is never reached"
    assert statuses("plain") == [206]
    assert statuses("stranger") == [202]


def test_no_applicable_route_means_404_not_the_service(world: World) -> None:
    virtual_service(world, http=[{"match": [{"port": 81}], "route": [to("web")]}])
    assert http_routes(world) == []


def test_matches_in_envoys_words(world: World) -> None:
    match = {
        "uri": {"prefix": "/a"},
        "ignoreUriCase": True,
        "method": {"exact": "GET"},
        "headers": {"X-Kind": {"regex": "a|b"}, "uri": {"exact": "ignored"}},
        "withoutHeaders": {"x-no": {"exact": "1"}, "x-any": {}},
        "queryParams": {"q": {"prefix": "z"}},
    }
    virtual_service(world, http=[{"match": [match], "route": [to("web")]}])
    (route,) = http_routes(world)
    assert route["match"]["prefix"] == "/a"
    assert route["match"]["case_sensitive"] is False
    assert route["match"]["headers"] == [
        {"name": "x-kind", "string_match": {"safe_regex": {"regex": "a|b"}}},
        {"name": "x-any", "present_match": True, "invert_match": True},
        {
            "name": "x-no",
            "string_match": {"exact": "1"},
            "invert_match": True,
            "treat_missing_header_as_empty": True,
        },
        {"name": ":method", "string_match": {"exact": "GET"}},
    ]
    assert route["match"]["query_parameters"] == [{"name": "q", "string_match": {"prefix": "z"}}]


@pytest.mark.parametrize(
    ("retries", "policy"),
    [
        ({"attempts": 0}, None),
        ({"attempts": 3, "perTryTimeout": "2s"}, {"num_retries": 3, "per_try_timeout": "2s"}),
        (
            {"attempts": 1, "retryOn": "503,reset"},
            {"retry_on": "reset,retriable-status-codes", "retriable_status_codes": [503]},
        ),
    ],
)
def test_retry_policies(world: World, retries: Obj, policy: Obj | None) -> None:
    virtual_service(world, http=[{"retries": retries, "route": [to("web")]}])
    found = http_routes(world)[0]["route"].get("retry_policy")
    if policy is None:
        assert found is None
    else:
        assert policy.items() <= found.items()


def test_timeout_fault_and_mirror(world: World) -> None:
    fault = {
        "delay": {"percentage": {"value": 0.1}, "fixedDelay": "7s"},
        "abort": {"percentage": {"value": 50}, "httpStatus": 503},
    }
    mirror = {"mirror": {"host": "web", "subset": "v2"}, "mirrorPercentage": {"value": 25}}
    virtual_service(world, http=[{"timeout": "0.5s", "fault": fault, **mirror, "route": [to("web")]}])
    (route,) = http_routes(world)
    assert route["route"]["timeout"] == "0.5s"
    settings = route["typed_per_filter_config"]["envoy.filters.http.fault"]
    assert settings["delay"] == {"fixed_delay": "7s", "percentage": {"numerator": 1000, "denominator": "MILLION"}}
    assert settings["abort"]["percentage"] == {"numerator": 500000, "denominator": "MILLION"}
    (policy,) = route["route"]["request_mirror_policies"]
    assert policy["cluster"] == f"outbound|80|v2|{HOST}"
    assert policy["runtime_fraction"]["default_value"]["numerator"] == 250000


@pytest.mark.parametrize(
    ("uri", "rewrite", "action"),
    [
        ({"prefix": "/a"}, {"uri": "/b"}, {"prefix_rewrite": "/b"}),
        ({"exact": "/a"}, {"uri": "/b"}, {"prefix_rewrite": "/b"}),
        ({"regex": "/a.*"}, {"uri": "/b"}, {"prefix_rewrite": "/b"}),
        (
            {"prefix": "/"},
            {"uriRegexRewrite": {"match": "^/(.)", "rewrite": "/x/\\1"}},
            {"regex_rewrite": {"pattern": {"regex": "^/(.)"}, "substitution": "/x/\\1"}},
        ),
        ({"prefix": "/a"}, {"authority": "other"}, {"host_rewrite_literal": "other"}),
    ],
)
def test_rewrites(world: World, uri: Obj, rewrite: Obj, action: Obj) -> None:
    virtual_service(world, http=[{"match": [{"uri": uri}], "rewrite": rewrite, "route": [to("web")]}])
    assert action.items() <= http_routes(world)[0]["route"].items()


def test_header_operations_of_route_and_destination(world: World) -> None:
    virtual_service(
        world,
        http=[
            {
                "headers": {
                    "request": {"add": {"a": "1"}, "set": {"host": "h", ":path": "/x"}, "remove": ["b", "host"]}
                },
                "route": [{**to("web"), "headers": {"response": {"set": {"c": "2"}}}}],
            }
        ],
    )
    (route,) = http_routes(world)
    assert route["request_headers_to_add"] == [
        {"header": {"key": "a", "value": "1"}, "append_action": "APPEND_IF_EXISTS_OR_ADD"}
    ]
    assert route["request_headers_to_remove"] == ["b"]
    assert route["response_headers_to_add"][0]["append_action"] == "OVERWRITE_IF_EXISTS_OR_ADD"
    assert route["route"]["host_rewrite_literal"] == "h"


def test_consistent_hash_is_part_of_the_route(world: World) -> None:
    world.apply(
        "{kind: DestinationRule, metadata: {name: w}, spec: {host: web, trafficPolicy: {loadBalancer:"
        " {consistentHash: {httpHeaderName: x-user}}}}}"
    )
    assert http_routes(world)[0]["route"]["hash_policy"] == [{"header": {"header_name": "x-user"}}]


def test_destination_port(world: World) -> None:
    world.service("one", {"app": "web"}, [{"name": "http", "port": 8000}])
    world.service("two", {"app": "web"}, [{"name": "http", "port": 8000}, {"name": "http-b", "port": 8001}])

    def cluster_for(destination: Obj) -> str:
        fresh = World()
        fresh.objects = {key: list(value) for key, value in world.objects.items()}
        fresh.objects.setdefault("virtualservices.networking.istio.io", [])
        virtual_service(fresh, http=[{"route": [{"destination": destination}]}])
        return str(http_routes(fresh)[0]["route"]["cluster"])

    assert cluster_for({"host": "one"}) == "outbound|8000||one.default.svc.cluster.local", "the only port there is"
    assert cluster_for({"host": "two"}) == "outbound|80||two.default.svc.cluster.local", "the port of the request"
    assert cluster_for({"host": "two", "port": {"number": 8001}}) == "outbound|8001||two.default.svc.cluster.local"


def test_tunnels_of_tcp_ports_follow_tcp_routes(world: World) -> None:
    world.service("echo", {"app": "web"}, [{"name": "tcp", "port": 9000}])
    virtual_service(
        world,
        hosts=["echo"],
        tcp=[{"match": [{"port": 9000}], "route": [to("echo", 90, subset="v1"), to("echo", 10, subset="v2")]}],
    )
    connect = hosts(world)["echo.default.svc.cluster.local:9000"]["routes"][0]
    assert connect["match"] == {"connect_matcher": {}}
    assert [c["weight"] for c in connect["route"]["weighted_clusters"]["clusters"]] == [90, 10]
    assert connect["route"]["upgrade_configs"] == [{"upgrade_type": "CONNECT", "connect_config": {}}]


def test_unknown_hosts_pass_unless_the_registry_is_all_there_is(world: World) -> None:
    last = list(hosts(world).values())[-1]
    assert (last["name"], last["domains"]) == ("allow_any", ["*"])
    assert last["routes"][-1]["route"]["cluster"] == "PassthroughCluster"

    world.mesh_config = {"outboundTrafficPolicy": {"mode": "REGISTRY_ONLY"}}
    last = list(hosts(world).values())[-1]
    assert last["name"] == "block_all"
    tunnel, other = last["routes"]
    assert tunnel["route"]["cluster"] == "http_proxy_blackhole", "opened and closed, as behind a captured connection"
    assert other["direct_response"]["status"] == 502


def test_sidecar_resource_limits_what_its_workloads_see(world: World) -> None:
    world.service("api", {"app": "web"}, HTTP)
    world.apply(
        "{kind: Sidecar, metadata: {name: default}, spec: {workloadSelector: {labels: {app: client}},"
        " egress: [{hosts: ['./web.default.svc.cluster.local']}], outboundTrafficPolicy: {mode: REGISTRY_ONLY}}}"
    )
    assert list(hosts(world)) == [f"{HOST}:80", "block_all"]
    assert list(hosts(world, "web"))[-1] == "allow_any"


def test_ports_bound_elsewhere_are_found_when_a_pod_is_called_by_address(world: World) -> None:
    world.service("low", {"app": "web"}, [{"name": "http", "port": 80}])
    last = hosts(world, ports=lambda port: port + 20000 if port < 1024 else port)["allow_any"]
    rewritten = [
        settings["host_rewrite_literal"]
        for route in last["routes"]
        for settings in route.get("typed_per_filter_config", {}).values()
    ]
    assert set(rewritten) == {"127.77.1.4:20080"}
    assert not any("typed_per_filter_config" in route for route in hosts(world)["allow_any"]["routes"])


def test_service_that_is_not_exported_is_not_seen(world: World) -> None:
    world.objects["services"][0]["metadata"]["annotations"] = {"networking.istio.io/exportTo": "."}
    assert f"{HOST}:80" in hosts(world)
    assert f"{HOST}:80" not in hosts(world, "stranger")


def test_equal_worlds_give_equal_configuration(world: World) -> None:
    first = world.build("client", ports=same_port)
    for objects in world.objects.values():
        objects.reverse()
    assert world.build("client", ports=same_port) == first


def test_a_sticky_route_retries_where_it_was_unless_told_otherwise(world: World) -> None:
    world.apply(
        "{kind: DestinationRule, metadata: {name: w}, spec: {host: web, trafficPolicy: {loadBalancer:"
        " {consistentHash: {useSourceIp: true}}}}}"
    )
    assert "retry_host_predicate" not in http_routes(world)[0]["route"]["retry_policy"]
    virtual_service(world, http=[{"route": [to("web")], "retries": {"attempts": 1, "retryIgnorePreviousHosts": True}}])
    assert "retry_host_predicate" in http_routes(world)[0]["route"]["retry_policy"]


def test_the_meshs_own_retries(world: World) -> None:
    world.mesh_config = {"defaultHttpRetryPolicy": {"attempts": 0}}
    assert "retry_policy" not in http_routes(world)[0]["route"]


@pytest.mark.parametrize(
    ("redirect", "port"),
    [
        ({"port": 8443}, 8443),
        ({"port": 80}, None),
        ({"scheme": "https", "port": 443}, None),
        ({"scheme": "https", "port": 80}, 80),
        ({"derivePort": "FROM_REQUEST_PORT", "scheme": "https"}, 80),
        ({"derivePort": "FROM_PROTOCOL_DEFAULT", "scheme": "https"}, None),
    ],
)
def test_redirects_name_a_port_only_where_it_is_not_the_schemes(world: World, redirect: Obj, port: int | None) -> None:
    virtual_service(world, http=[{"redirect": {"uri": "/x", **redirect}}])
    assert http_routes(world)[0]["redirect"].get("port_redirect") == port


def test_a_match_on_gateways_does_not_look_at_the_client(world: World) -> None:
    match = {"gateways": ["mesh"], "sourceLabels": {"app": "nobody"}, "statPrefix": "kept"}
    virtual_service(world, http=[{"match": [match], "directResponse": {"status": 418, "body": {"bytes": "aGk="}}}])
    (route,) = http_routes(world)
    assert route["stat_prefix"] == "kept"
    assert route["direct_response"] == {"status": 418, "body": {"inline_bytes": "aGk="}}


def test_a_host_set_by_one_of_several_destinations(world: World) -> None:
    named = {**to("web", 1), "headers": {"request": {"set": {"Host": "h"}}}}
    virtual_service(world, http=[{"route": [named, to("web", 1, subset="v2")]}])
    first, second = http_routes(world)[0]["route"]["weighted_clusters"]["clusters"]
    assert first["host_rewrite_literal"] == "h"
    assert "host_rewrite_literal" not in second


def test_unknown_hosts_may_go_to_a_proxy_of_the_sidecars_choice(world: World) -> None:
    world.apply(
        "{kind: Sidecar, metadata: {name: default}, spec: {outboundTrafficPolicy:"
        " {mode: ALLOW_ANY, egressProxy: {host: web, port: {number: 80}}}}}"
    )
    last = list(hosts(world).values())[-1]
    assert {route["route"]["cluster"] for route in last["routes"]} == {f"outbound|80||{HOST}"}


def test_exports_have_a_mesh_wide_default(world: World) -> None:
    world.mesh_config = {"defaultServiceExportTo": ["."], "defaultVirtualServiceExportTo": ["."]}
    virtual_service(world, http=[{"directResponse": {"status": 418}}])
    assert "direct_response" in hosts(world)[f"{HOST}:80"]["routes"][-1]
    assert f"{HOST}:80" not in hosts(world, "stranger")
