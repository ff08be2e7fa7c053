"""What a real gateway proxy does with routes of the Gateway API."""

from __future__ import annotations

import pytest

from tests.functional.minicluster.mesh.envoy.conftest import Reply, StaticMesh, fetch

GATEWAY = """
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: gw}
spec:
  gatewayClassName: istio
  listeners: [{name: http, port: 8088, protocol: HTTP}]
"""
LABELS = {"gateway.networking.k8s.io/gateway-name": "gw"}


def route(*rules: str) -> str:
    return (
        "{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: r},"
        f" spec: {{parentRefs: [{{name: gw}}], rules: [{', '.join(rules)}]}}}}"
    )


def rule(path: str, *, kind: str = "PathPrefix", filters: str = "", backend: str = "web", more: str = "") -> str:
    backends = f"backendRefs: [{{name: {backend}, port: 80}}]" if backend else ""
    parts = [f"matches: [{{path: {{type: {kind}, value: {path}}}}}]", f"filters: [{filters}]", backends, more]
    return "{" + ", ".join(part for part in parts if part) + "}"


@pytest.fixture
async def edge(static_mesh: StaticMesh) -> StaticMesh:
    """A gateway's proxy and two services behind it; tests add routes, then start the proxy."""
    world = static_mesh.world
    world.pod("edge", LABELS, injected=False)
    world.service("gw-istio", LABELS, [{"name": "http", "port": 8088}])
    for name in ("web", "shadow"):
        world.pod(name, {"app": name}, injected=False, ports=(("http", 8080),))
        world.service(name, {"app": name}, [{"name": "http", "port": 80, "targetPort": 8080}])
        await static_mesh.serve(name, 8080, direct=True)
    world.apply(GATEWAY)
    return static_mesh


async def get(mesh: StaticMesh, path: str, **headers: str) -> Reply:
    return await fetch(f"http://{mesh.world.proxy('edge').ip}:8088{path}", headers=headers)


def seen(mesh: StaticMesh, server: str = "web") -> str:
    return str([request["path"] for name, request in mesh.requests if name == server][-1])


async def test_paths_end_at_segments_and_are_rewritten(edge: StaticMesh) -> None:
    def rewrite(kind: str, field: str, value: str) -> str:
        return f"{{type: URLRewrite, urlRewrite: {{path: {{type: {kind}, {field}: {value}}}}}}}"

    edge.world.apply(
        route(
            rule("/plain"),
            rule("/exact", kind="Exact"),
            rule("/cut", filters=rewrite("ReplacePrefixMatch", "replacePrefixMatch", "/")),
            rule("/old", filters=rewrite("ReplacePrefixMatch", "replacePrefixMatch", "/new/")),
            rule("/full", filters=rewrite("ReplaceFullPath", "replaceFullPath", "/one")),
        )
    )
    await edge.start("edge", kind="router")
    for path, status in (("/plain", 200), ("/plain/a", 200), ("/plainer", 404), ("/exact", 200), ("/exact/a", 404)):
        assert (await get(edge, path)).status == status, path
    for path, arrived in (
        ("/cut", "/"),
        ("/cut/", "/"),
        ("/cut/a/b?c=d", "/a/b?c=d"),
        ("/old/a", "/new/a"),
        ("/old", "/new"),
        ("/full/a?b=c", "/one?b=c"),
    ):
        assert (await get(edge, path)).status == 200
        assert seen(edge) == arrived, path


async def test_redirects_answer_with_a_location(edge: StaticMesh) -> None:
    def redirect(spec: str) -> str:
        return f"{{type: RequestRedirect, requestRedirect: {{{spec}}}}}"

    edge.world.apply(
        route(
            rule("/a", backend="", filters=redirect("hostname: b.com, statusCode: 301")),
            rule("/b", backend="", filters=redirect("path: {type: ReplacePrefixMatch, replacePrefixMatch: /}")),
            rule("/c", backend="", filters=redirect("scheme: https, hostname: c.com")),
        )
    )
    await edge.start("edge", kind="router")
    moved = await get(edge, "/a/x")
    assert (moved.status, moved.headers["location"]) == (301, "http://b.com:8088/a/x")
    assert (await get(edge, "/b/x", Host="a.com")).headers["location"] == "http://a.com:8088/x"
    assert (await get(edge, "/c", Host="a.com")).headers["location"] == "https://c.com/c"


async def test_invalid_backends_answer_500_in_their_share(edge: StaticMesh) -> None:
    half = "backendRefs: [{name: web, port: 80, weight: 1}, {name: gone, port: 80, weight: 1}]"
    edge.world.apply(
        route(rule("/gone", backend="gone"), rule("/half", backend="", more=half), rule("/none", backend=""))
    )
    await edge.start("edge", kind="router")
    assert (await get(edge, "/gone")).status == 500
    assert (await get(edge, "/none")).status == 500
    assert {(await get(edge, "/half")).status for _ in range(60)} == {200, 500}


async def test_headers_and_mirrors(edge: StaticMesh) -> None:
    headers = (
        "{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: X-Set, value: one}], remove: [x-gone]}},"
        "{type: ResponseHeaderModifier, responseHeaderModifier: {add: [{name: X-Back, value: two}]}},"
        "{type: RequestMirror, requestMirror: {backendRef: {name: shadow, port: 80}}}"
    )
    edge.world.apply(route(rule("/", filters=headers)))
    await edge.start("edge", kind="router")
    reply = await get(edge, "/x", **{"X-Gone": "1"})
    assert reply.headers["x-back"] == "two"
    (request,) = [request for name, request in edge.requests if name == "web"]
    assert request["x-set"] == "one" and "x-gone" not in request
    while not any(name == "shadow" for name, _ in edge.requests):
        assert (await get(edge, "/again")).status == 200
