"""EnvoyFilters as Envoy's and Istio's documentation write them, on real proxies."""

from __future__ import annotations

from typing import Any

import yaml

from tests.functional.minicluster.mesh.envoy.conftest import StaticMesh, fetch

HTTP = [{"name": "http", "port": 80, "targetPort": 8080}, {"name": "http-two", "port": 81, "targetPort": 8080}]
MANAGER = "envoy.filters.network.http_connection_manager"
LOCAL_RATE_LIMIT = """
"@type": type.googleapis.com/udpa.type.v1.TypedStruct
type_url: type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit
value:
  stat_prefix: http_local_rate_limiter
  token_bucket: {max_tokens: 4, tokens_per_fill: 4, fill_interval: 60s}
  filter_enabled: {runtime_key: local_rate_limit_enabled, default_value: {numerator: 100, denominator: HUNDRED}}
  filter_enforced: {runtime_key: local_rate_limit_enforced, default_value: {numerator: 100, denominator: HUNDRED}}
  response_headers_to_add: [{append: false, header: {key: x-local-rate-limit, value: 'true'}}]
"""
LUA = """
name: envoy.filters.http.lua
typed_config:
  "@type": type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua
  inlineCode: |
    function envoy_on_response(handle) handle:headers():add("x-lua", "yes") end
"""


def patch(apply_to: str, operation: str, value: Any = None, **match: Any) -> dict[str, Any]:
    found: dict[str, Any] = {"applyTo": apply_to, "patch": {"operation": operation}}
    if match:
        found["match"] = match
    if value is not None:
        found["patch"]["value"] = yaml.safe_load(value) if isinstance(value, str) else value
    return found


def before_router(context: str, **listener: Any) -> dict[str, Any]:
    """The match of a filter in front of the router."""
    network = {"name": MANAGER, "subFilter": {"name": "envoy.filters.http.router"}}
    return {"context": context, "listener": {**listener, "filterChain": {"filter": network}}}


def add(mesh: StaticMesh, *patches: dict[str, Any], labels: dict[str, str] | None = None, **metadata: str) -> None:
    number = len(mesh.world.objects["envoyfilters.networking.istio.io"])
    spec: dict[str, Any] = {"configPatches": list(patches)}
    if labels:
        spec["workloadSelector"] = {"labels": labels}
    mesh.world.add(
        {
            "apiVersion": "networking.istio.io/v1alpha3",
            "kind": "EnvoyFilter",
            "metadata": {"name": f"filter{number}", **metadata},
            "spec": spec,
        }
    )


async def client_and_server(mesh: StaticMesh) -> None:
    mesh.world.pod("client", {"app": "client"}, account="client")
    mesh.world.pod("web", {"app": "web"}, account="web")
    mesh.world.service("web", {"app": "web"}, HTTP)
    await mesh.serve("web", 8080)
    await mesh.start("client", "web")


async def statuses(mesh: StaticMesh, count: int, url: str = "http://web/") -> list[int]:
    return [(await mesh.get("client", url)).status for _ in range(count)]


async def test_the_local_rate_limit_of_the_task(static_mesh: StaticMesh) -> None:
    typed = {"name": "envoy.filters.http.local_ratelimit", "typed_config": yaml.safe_load(LOCAL_RATE_LIMIT)}
    add(
        static_mesh,
        patch(
            "HTTP_FILTER",
            "INSERT_BEFORE",
            typed,
            context="SIDECAR_INBOUND",
            listener={"filterChain": {"filter": {"name": MANAGER}}},
        ),
        labels={"app": "web"},
        namespace="istio-system",
    )
    await client_and_server(static_mesh)

    assert await statuses(static_mesh, 6) == [200] * 4 + [429] * 2
    limited = await static_mesh.get("client", "http://web/")
    assert (limited.headers["x-local-rate-limit"], limited.body) == ("true", "local_rate_limited")


async def test_the_local_rate_limit_for_one_virtual_host(static_mesh: StaticMesh) -> None:
    empty = yaml.safe_load(LOCAL_RATE_LIMIT)
    empty["value"] = {"stat_prefix": "http_local_rate_limiter"}
    name = "envoy.filters.http.local_ratelimit"
    host = {"vhost": {"name": "inbound|http|80", "route": {"action": "ANY"}}}
    add(
        static_mesh,
        patch(
            "HTTP_FILTER", "INSERT_BEFORE", {"name": name, "typed_config": empty}, **before_router("SIDECAR_INBOUND")
        ),
        patch(
            "HTTP_ROUTE",
            "MERGE",
            {"typed_per_filter_config": {name: yaml.safe_load(LOCAL_RATE_LIMIT)}},
            context="SIDECAR_INBOUND",
            routeConfiguration=host,
        ),
        labels={"app": "web"},
    )
    await client_and_server(static_mesh)

    assert await statuses(static_mesh, 5) == [200] * 4 + [429]


async def test_a_filter_for_one_inbound_port_and_for_one_outbound_port(static_mesh: StaticMesh) -> None:
    mutated = LUA.replace("x-lua", "x-out")
    add(
        static_mesh,
        patch("HTTP_FILTER", "INSERT_BEFORE", LUA, **before_router("SIDECAR_INBOUND", portNumber=8080)),
        patch("HTTP_FILTER", "INSERT_BEFORE", LUA.replace("x-lua", "x-no"), **before_router("ANY", portNumber=9999)),
        patch("HTTP_FILTER", "INSERT_BEFORE", mutated, **before_router("SIDECAR_OUTBOUND", portNumber=81)),
    )
    await client_and_server(static_mesh)

    first, second = await static_mesh.get("client", "http://web/"), await static_mesh.get("client", "http://web:81/")
    assert first.headers["x-lua"] == second.headers["x-lua"] == "yes"
    assert "x-no" not in first.headers
    assert ("x-out" in first.headers, "x-out" in second.headers) == (False, True)


async def test_routes_virtual_hosts_and_clusters(static_mesh: StaticMesh) -> None:
    web80, web81 = "web.default.svc.cluster.local:80", "web.default.svc.cluster.local:81"

    def route(name: str, **options: Any) -> dict[str, Any]:
        return {"context": "SIDECAR_OUTBOUND", "routeConfiguration": {"vhost": {"name": name, **options}}}

    teapot = {"match": {"path": "/teapot"}, "direct_response": {"status": 418}}
    header = {"header": {"key": "x-added", "value": "1"}}
    add(
        static_mesh,
        patch("HTTP_ROUTE", "INSERT_FIRST", teapot, **route(web80)),
        patch(
            "HTTP_ROUTE", "MERGE", {"route": {"prefixRewrite": "/moved/"}}, **route(web81, route={"name": "default"})
        ),
        patch("VIRTUAL_HOST", "MERGE", {"response_headers_to_add": [header]}, **route(web80)),
        patch(
            "CLUSTER",
            "MERGE",
            {"circuit_breakers": {"thresholds": [{"max_requests": 7}]}, "connectTimeout": "1.5s"},
            context="SIDECAR_OUTBOUND",
            cluster={"service": "web.default.svc.cluster.local", "portNumber": 80},
        ),
        labels={"app": "client"},
    )
    await client_and_server(static_mesh)

    assert (await static_mesh.get("client", "http://web/teapot")).status == 418
    assert (await static_mesh.get("client", "http://web:81/teapot")).status == 200
    assert static_mesh.requests[-1][1]["path"] == "/moved/teapot"
    assert (await static_mesh.get("client", "http://web/")).headers["x-added"] == "1"
    dump = static_mesh.admin("client", "/config_dump?resource=static_clusters")
    assert dump.count('"connect_timeout": "1.500s"') == 1


async def test_merges_removals_and_order(static_mesh: StaticMesh) -> None:
    def response(value: str) -> str:
        return LUA.replace("yes", value).replace("name: envoy.filters.http.lua", f"name: lua-{value}")

    add(
        static_mesh,
        patch("HTTP_FILTER", "INSERT_BEFORE", response("second"), **before_router("SIDECAR_INBOUND")),
        namespace="default",
    )
    add(
        static_mesh,
        patch("HTTP_FILTER", "INSERT_BEFORE", response("first"), **before_router("SIDECAR_INBOUND")),
        patch(
            "HTTP_FILTER",
            "REMOVE",
            **before_router("SIDECAR_INBOUND")
            | {
                "listener": {
                    "filterChain": {"filter": {"name": MANAGER, "subFilter": {"name": "envoy.filters.http.cors"}}}
                }
            },
        ),
        patch(
            "NETWORK_FILTER",
            "MERGE",
            {
                "name": MANAGER,
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
                    "server_name": "mine",
                },
            },
            context="SIDECAR_INBOUND",
            listener={"filterChain": {"filter": {"name": MANAGER}}},
        ),
        namespace="istio-system",
    )
    await client_and_server(static_mesh)

    reply = await fetch(f"http://{static_mesh.world.proxy('web').ip}:8080/")
    assert reply.headers["server"] == "mine"
    listener = static_mesh.world.build("web")["type.googleapis.com/envoy.config.listener.v3.Listener"]
    manager = listener["inbound_0.0.0.0_8080"]["filter_chains"][0]["filters"][0]["typed_config"]
    names = [item["name"] for item in manager["http_filters"]]
    assert names[-3:] == ["lua-first", "lua-second", "envoy.filters.http.router"], "the mesh's patches come first"
    assert "envoy.filters.http.cors" not in names


async def test_an_added_cluster_finds_services_by_name(static_mesh: StaticMesh) -> None:
    world = static_mesh.world
    world.pod("other", {"app": "other"}, injected=False)
    address = world.proxy("other").ip
    # Its own address stands for the ClusterIP, which nobody forwards here.
    world.service("other", {"app": "other"}, [{"name": "http", "port": 8000}])["spec"]["clusterIP"] = address
    cluster = {
        "name": "elsewhere",
        "type": "STRICT_DNS",
        "connect_timeout": "1s",
        "load_assignment": {
            "cluster_name": "elsewhere",
            "endpoints": [
                {
                    "lb_endpoints": [
                        {
                            "endpoint": {
                                "address": {
                                    "socket_address": {
                                        "address": "other.default.svc.cluster.local",
                                        "port_value": 8000,
                                    }
                                }
                            }
                        }
                    ]
                }
            ],
        },
    }
    add(
        static_mesh,
        patch("CLUSTER", "ADD", cluster),
        patch(
            "HTTP_ROUTE",
            "INSERT_FIRST",
            {"match": {"prefix": "/other"}, "route": {"cluster": "elsewhere"}},
            context="SIDECAR_OUTBOUND",
            routeConfiguration={"name": "80"},
        ),
        labels={"app": "client"},
    )
    await static_mesh.serve("other", 8000, direct=True)
    await client_and_server(static_mesh)

    assert (await static_mesh.get("client", "http://web/other")).body == "other"
    assert (await static_mesh.get("client", "http://web:81/other")).body == "web"
