"""Routes of the Gateway API: order, merging, references, and routes of the mesh's own services."""

from __future__ import annotations

from typing import Any

import pytest

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.envoy.vocabulary import LISTENER, ROUTE
from tests.fakes.istio_world import World

GATEWAY = """
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: gw, generation: 1}
spec:
  gatewayClassName: istio
  listeners:
  - {name: http, port: 80, protocol: HTTP, allowedRoutes: {namespaces: {from: All}}}
  - {name: alt, port: 8080, protocol: HTTP}
  - {name: tcp, port: 9000, protocol: TCP}
  - {name: tls, port: 443, protocol: TLS, tls: {mode: Passthrough}}
"""
EDGE = {"gateway.networking.k8s.io/gateway-name": "gw"}


@pytest.fixture
def world() -> World:
    """A gateway's proxy ``edge``, a client, and services ``web`` and ``api`` in default, ``far`` in other."""
    world = World()
    world.pod("edge", EDGE, injected=False)
    ports: list[Obj] = [{"name": f"p{port}", "port": port} for port in (80, 8080, 9000, 443)]
    world.service("gw-istio", EDGE, ports)
    for name, namespace in (("web", "default"), ("api", "default"), ("far", "other")):
        world.pod(name, {"app": name}, namespace=namespace, ports=(("http", 8080),))
        services: list[Obj] = [{"name": "http", "port": 80, "targetPort": 8080}]
        world.service(name, {"app": name}, services, namespace=namespace)
    world.pod("client", {"app": "client"})
    world.pod("guest", {"app": "guest"}, namespace="other")
    world.apply(GATEWAY)
    return world


def http_route(world: World, name: str, rules: list[Obj], *, namespace: str = "default", **spec: Any) -> None:
    parents = spec.pop("parents", [{"name": "gw", "namespace": "default", "sectionName": "http"}])
    world.add(
        {
            "apiVersion": "gateway.networking.k8s.io/v1",
            "kind": spec.pop("kind", "HTTPRoute"),
            "metadata": {"name": name, "namespace": namespace, "generation": 1},
            "spec": {"parentRefs": parents, "rules": rules, **spec},
        }
    )


def to(name: str, *, weight: int = 1, **more: Any) -> Obj:
    return {"name": name, "port": 80, "weight": weight, **more}


def virtual_hosts(world: World, pod: str = "edge", name: str = "http.80") -> dict[str, Obj]:
    kind = "router" if pod == "edge" else "sidecar"
    return {host["name"]: host for host in world.build(pod, kind)[ROUTE][name]["virtual_hosts"]}


def resolved(world: World, name: str) -> tuple[bool, str, str]:
    status = next(s for s in world.translate().statuses if s.name == name)
    (parent,) = status.parents or ()
    found = next(c for c in parent.conditions if c.type == "ResolvedRefs")
    return found.status, found.reason, found.message


def test_the_most_specific_match_goes_first_across_routes(world: World) -> None:
    def match(path: str, kind: str = "PathPrefix", **more: Any) -> Obj:
        return {"path": {"type": kind, "value": path}, **more}

    header: Obj = {"headers": [{"name": "V", "value": "1"}]}
    first = [match("/"), match("/a/b/"), match("/a", "Exact")]
    second = [match("/a.*", "RegularExpression"), match("/a"), match("/a", method="GET"), match("/a", **header)]
    http_route(world, "first", [{"matches": first, "backendRefs": [to("web")]}])
    http_route(world, "second", [{"matches": second, "backendRefs": [to("api")]}])
    routes = virtual_hosts(world)["*:80"]["routes"]
    found = [
        (next(route["match"][k] for k in ("path", "path_separated_prefix", "prefix") if k in route["match"]),
         [h["name"] for h in route["match"].get("headers", [])])
        for route in routes
    ]  # fmt: skip
    # Regular expressions rank below prefixes, so "/" hides them, as in Istio.
    assert found == [("/a", []), ("/a/b", []), ("/a", [":method"]), ("/a", ["v"]), ("/a", []), ("/", [])]


def test_the_older_route_wins_between_equals(world: World) -> None:
    http_route(world, "zz", [{"backendRefs": [to("web")]}])
    http_route(world, "aa", [{"backendRefs": [to("api")]}])
    (route,) = virtual_hosts(world)["*:80"]["routes"]
    assert route["route"]["cluster"] == "outbound|80||web.default.svc.cluster.local"
    assert route["name"] == "default.zz.0"


def test_hosts_are_kept_apart(world: World) -> None:
    http_route(world, "any", [{"backendRefs": [to("web")]}])
    http_route(world, "one", [{"backendRefs": [to("api")]}], hostnames=["a.com", "*.b.com"])
    found = virtual_hosts(world)
    assert {
        name: host["routes"][0]["route"]["cluster"].split("|")[3].split(".")[0] for name, host in found.items()
    } == {
        "*:80": "web",
        "a.com:80": "api",
        "*.b.com:80": "api",
    }


@pytest.mark.parametrize(
    ("references", "reason", "message"),
    [
        ([to("nope")], "BackendNotFound", "backend(nope.default.svc.cluster.local) not found"),
        ([to("web", kind="Pod")], "InvalidKind", 'referencing unsupported backendRef: group "" kind "Pod"'),
        (
            [to("far", namespace="other")],
            "RefNotPermitted",
            'backendRef far/other not accessible to a HTTPRoute in namespace "default" (missing a ReferenceGrant?)',
        ),
        ([{"name": "web"}], "InvalidDestination", "port is required in backendRef"),
        (
            [to("web.default")],
            "InvalidDestination",
            "service name invalid; the name of the Service must be used, not the hostname.",
        ),
    ],
)
def test_backends_that_cannot_be_used(world: World, references: list[Obj], reason: str, message: str) -> None:
    http_route(world, "r", [{"backendRefs": references}])
    assert resolved(world, "r") == (False, reason, message)
    hosts = virtual_hosts(world)
    if reason == "InvalidDestination":
        assert set(hosts) == {"blackhole:80"}
    else:
        action = hosts["*:80"]["routes"][0]["route"]
        assert action["cluster_not_found_response_code"] == "INTERNAL_SERVER_ERROR"
        known = set(world.build("edge", "router")["type.googleapis.com/envoy.config.cluster.v3.Cluster"])
        assert action["cluster"] not in known


def test_a_grant_lets_a_route_reach_another_namespace(world: World) -> None:
    http_route(world, "r", [{"backendRefs": [to("far", namespace="other")]}])
    world.apply(
        "{apiVersion: gateway.networking.k8s.io/v1, kind: ReferenceGrant, metadata: {name: g, namespace: other}, spec: {"
        "from: [{group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: default}],"
        "to: [{group: '', kind: Service}]}}"
    )
    assert resolved(world, "r") == (True, "ResolvedRefs", "All references resolved")
    assert virtual_hosts(world)["*:80"]["routes"][0]["route"]["cluster"].endswith("far.other.svc.cluster.local")


def test_a_rule_without_weight_answers_500(world: World) -> None:
    http_route(world, "r", [{"backendRefs": [to("web", weight=0)]}, {"matches": [{"path": {"value": "/x"}}]}])
    for route in virtual_hosts(world)["*:80"]["routes"]:
        assert route["direct_response"]["status"] == 500


@pytest.mark.parametrize(
    ("section", "redirect", "wanted"),
    [
        ("http", {"hostname": "b.com"}, {"host_redirect": "b.com", "response_code": "FOUND"}),
        ("alt", {"hostname": "b.com"}, {"host_redirect": "b.com", "port_redirect": 8080, "response_code": "FOUND"}),
        ("alt", {"scheme": "https"}, {"scheme_redirect": "https", "response_code": "FOUND"}),
        ("http", {"scheme": "https", "port": 443, "statusCode": 301}, {"scheme_redirect": "https"}),
        ("http", {"port": 8443}, {"port_redirect": 8443, "response_code": "FOUND"}),
        ("http", {"path": {"type": "ReplaceFullPath", "replaceFullPath": "/n"}}, {"path_redirect": "/n"}),
        ("http", {"path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/n/"}}, {"prefix_rewrite": "/n"}),
    ],
)
def test_redirects(world: World, section: str, redirect: Obj, wanted: Obj) -> None:
    rule = {
        "matches": [{"path": {"type": "PathPrefix", "value": "/old"}}],
        "filters": [{"type": "RequestRedirect", "requestRedirect": redirect}],
    }
    http_route(world, "r", [rule], parents=[{"name": "gw", "sectionName": section}])
    found = virtual_hosts(world, name={"http": "http.80", "alt": "http.8080"}[section])
    action = next(iter(found.values()))["routes"][0]["redirect"]
    assert {key: action.get(key) for key in wanted} == wanted
    assert ("port_redirect" in action) == ("port_redirect" in wanted)


def test_timeouts_and_retries(world: World) -> None:
    rules: list[Obj] = [
        {"timeouts": {"request": "10s", "backendRequest": "2s"}, "retry": {"codes": [503], "attempts": 3}},
        {"timeouts": {"backendRequest": "500ms"}},
        {"timeouts": {"request": "0s"}, "retry": {"attempts": 0}},
    ]
    for number, rule in enumerate(rules):
        rule |= {"matches": [{"path": {"value": f"/{number}"}}], "backendRefs": [to("web")]}
    http_route(world, "r", rules)
    first, second, third = (route["route"] for route in virtual_hosts(world)["*:80"]["routes"])
    assert (first["timeout"], first["retry_policy"]["per_try_timeout"]) == ("10s", "2s")
    assert first["retry_policy"]["num_retries"] == 3
    assert first["retry_policy"]["retriable_status_codes"] == [503]
    assert second["timeout"] == "0.5s"
    assert third["timeout"] == "0s" and "retry_policy" not in third


def test_grpc_methods_are_paths(world: World) -> None:
    methods: list[Obj] = [
        {"service": "a.B", "method": "C"},
        {"service": "a.B"},
        {"method": "C"},
        {"type": "RegularExpression", "service": "a.*", "method": "C|D"},
    ]
    rules: list[Obj] = [{"matches": [{"method": method}], "backendRefs": [to("web")]} for method in methods]
    http_route(world, "r", rules, kind="GRPCRoute")
    found = [route["match"] for route in virtual_hosts(world)["*:80"]["routes"]]
    assert found == [
        {"path": "/a.B/C"},
        {"prefix": "/a.B/"},
        {"safe_regex": {"regex": "/[^/]+/C"}},
        {"safe_regex": {"regex": "/a.*/C|D"}},
    ]


def test_routes_of_a_service_apply_in_the_mesh(world: World) -> None:
    parents = [{"group": "", "kind": "Service", "name": "web", "port": 80}]
    http_route(world, "producer", [{"backendRefs": [to("web", weight=90), to("api", weight=10)]}], parents=parents)
    for client in ("client", "guest"):
        host = virtual_hosts(world, client, "http_proxy")["web.default.svc.cluster.local:80"]
        shares = host["routes"][1]["route"]["weighted_clusters"]["clusters"]
        assert [share["weight"] for share in shares] == [90, 10]
    assert resolved(world, "producer")[0]


def test_a_consumer_route_is_for_its_own_namespace_and_goes_first(world: World) -> None:
    service = [{"group": "", "kind": "Service", "name": "web", "namespace": "default"}]
    http_route(world, "producer", [{"backendRefs": [to("web")]}], parents=service)
    http_route(world, "consumer", [{"backendRefs": [to("far")]}], parents=service, namespace="other")

    def target(client: str) -> str:
        host = virtual_hosts(world, client, "http_proxy")["web.default.svc.cluster.local:80"]
        return str(host["routes"][1]["route"]["cluster"])

    assert target("client") == "outbound|80||web.default.svc.cluster.local"
    assert target("guest") == "outbound|80||far.other.svc.cluster.local"


def test_ports_that_a_mesh_route_does_not_name_are_left_alone(world: World) -> None:
    parents = [{"group": "", "kind": "Service", "name": "web", "port": 81}]
    http_route(world, "r", [{"backendRefs": [to("api")]}], parents=parents)
    host = virtual_hosts(world, "client", "http_proxy")["web.default.svc.cluster.local:80"]
    assert host["routes"][-1]["route"]["cluster"] == "outbound|80||web.default.svc.cluster.local"


def test_a_mesh_route_for_a_missing_service_says_so(world: World) -> None:
    http_route(world, "r", [{"backendRefs": [to("web")]}], parents=[{"group": "", "kind": "Service", "name": "gone"}])
    status = next(s for s in world.translate().statuses if s.name == "r")
    (parent,) = status.parents or ()
    accepted = next(c for c in parent.conditions if c.type == "Accepted")
    assert (accepted.reason, accepted.message) == ("NoMatchingParent", 'parent service: "gone" not found')


def test_connections(world: World) -> None:
    http_route(
        world, "t", [{"backendRefs": [to("web")]}], kind="TCPRoute", parents=[{"name": "gw", "sectionName": "tcp"}]
    )
    http_route(
        world,
        "s",
        [{"backendRefs": [to("api")]}],
        kind="TLSRoute",
        parents=[{"name": "gw", "sectionName": "tls"}],
        hostnames=["a.com"],
    )
    listeners = world.build("edge", "router")[LISTENER]
    (plain,) = listeners["0.0.0.0_9000"]["filter_chains"]
    assert plain["filters"][-1]["typed_config"]["cluster"] == "outbound|80||web.default.svc.cluster.local"
    (passed,) = listeners["0.0.0.0_443"]["filter_chains"]
    assert passed["filter_chain_match"] == {"server_names": ["a.com"]}
    assert passed["filters"][-1]["typed_config"]["cluster"] == "outbound|80||api.default.svc.cluster.local"
