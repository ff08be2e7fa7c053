"""Protocols other than declared HTTP, the gateway, and authorization, between real proxies."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable
from functools import partial

import aiohttp
import pytest

from meshlab.minicluster.mesh import envoy
from tests.functional.minicluster.mesh.envoy.conftest import StaticMesh, fetch

STRICT = """
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: istio-system}
spec: {mtls: {mode: STRICT}}
"""


@contextlib.asynccontextmanager
async def shouting_server(host: str, port: int) -> AsyncIterator[None]:
    """A server that answers each line in capitals: no HTTP at all."""

    conversations: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        conversations.add(task)
        try:
            while line := await reader.readline():
                writer.write(line.upper())
                await writer.drain()
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async with await asyncio.start_server(serve, host, port):
        yield
        # A conversation that outlives its test would leave an open socket behind.
        for task in conversations:
            task.cancel()
        await asyncio.gather(*conversations, return_exceptions=True)


async def tunnel(mesh: StaticMesh, client: str, target: str) -> tuple[int, asyncio.StreamReader, asyncio.StreamWriter]:
    """CONNECT through a client's sidecar; the status and the opened stream."""
    reader, writer = await asyncio.open_connection(mesh.world.proxy(client).ip, 15001)
    writer.write(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode())
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
    return int(head.split(b" ")[1]), reader, writer


async def shout(mesh: StaticMesh, client: str, target: str) -> bytes:
    """What a shouting server answers through a tunnel."""
    status, reader, writer = await tunnel(mesh, client, target)
    assert status == 200
    writer.write(b"hello\n")
    try:
        return await asyncio.wait_for(reader.readline(), 10)
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


@pytest.mark.parametrize("port_name", ["tcp-echo", "unnamed"])
async def test_raw_bytes_travel_in_a_tunnel_with_mutual_tls(static_mesh: StaticMesh, port_name: str) -> None:
    world = static_mesh.world
    world.pod("client", {"app": "client"}, account="client")
    world.pod("echo", {"app": "echo"}, account="echo")
    world.service("echo", {"app": "echo"}, [{"name": port_name, "port": 9000}])
    world.apply(STRICT)
    async with shouting_server(world.proxy("echo").hidden_ip, 9000):
        await static_mesh.start("client", "echo")

        assert await shout(static_mesh, "client", "echo:9000") == b"HELLO\n"
        with pytest.raises((ConnectionError, AssertionError)):
            reader, writer = await asyncio.open_connection(world.proxy("echo").ip, 9000)
            writer.write(b"hello\n")
            assert await reader.readline() == b"HELLO\n"


async def test_sniffed_port_takes_http_and_other_bytes(static_mesh: StaticMesh) -> None:
    world = static_mesh.world
    world.pod("client", {"app": "client"}, account="client")
    world.pod("web", {"app": "web"}, account="web")
    world.service("web", {"app": "web"}, [{"name": "any", "port": 80, "targetPort": 8080}])
    await static_mesh.serve("web", 8080)
    await static_mesh.start("client", "web")

    assert (await static_mesh.get("client", "http://web/")).body == "web"
    assert "URI=spiffe://cluster.local/ns/default/sa/client" in static_mesh.requests[-1][1]["x-forwarded-client-cert"]
    plain = await fetch(f"http://{world.proxy('web').ip}:8080/")
    assert plain.headers["server"] == "istio-envoy"


async def test_http_in_a_tunnel_is_routed_like_any_other(static_mesh: StaticMesh) -> None:
    world = static_mesh.world
    world.pod("client", {"app": "client"}, account="client")
    world.pod("web", {"app": "web"}, account="web")
    world.service("web", {"app": "web"}, [{"name": "http", "port": 8000, "targetPort": 8080}])
    world.apply(
        "{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: web}, spec: {hosts: [web],"
        " http: [{match: [{uri: {prefix: /x}}], directResponse: {status: 299}}, {route: [{destination: {host: web}}]}]}}"
    )
    await static_mesh.serve("web", 8080)
    await static_mesh.start("client", "web")

    for path, wanted in (("/x", b"299"), ("/y", b"200")):
        status, reader, writer = await tunnel(static_mesh, "client", "web:8000")
        assert status == 200
        writer.write(f"GET {path} HTTP/1.1\r\nHost: web:8000\r\nConnection: close\r\n\r\n".encode())
        assert wanted in await asyncio.wait_for(reader.readline(), 10)
        writer.close()


async def test_ports_that_are_really_bound_elsewhere(static_mesh: StaticMesh, monkeypatch: pytest.MonkeyPatch) -> None:
    world = static_mesh.world
    real: Callable[[int], int] = lambda port: port + 20000 if port < 1024 else port  # noqa: E731
    monkeypatch.setattr(
        world, "build", lambda pod, kind="sidecar": envoy.build(world.mesh(), world.proxy(pod, kind), real)
    )
    world.pod("client", {"app": "client"}, account="client")
    world.pod("nginx", {"app": "nginx"}, account="nginx", ports=(("web", 80),))
    world.service("nginx", {"app": "nginx"}, [{"name": "http", "port": 80}])
    await static_mesh.serve("nginx", 20080)
    await static_mesh.start("client", "nginx")

    assert (await static_mesh.get("client", "http://nginx/")).body == "nginx"
    assert (await static_mesh.get("client", f"http://{world.proxy('nginx').ip}/")).body == "nginx"


GATEWAY = """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: edge}
spec:
  selector: {istio: ingressgateway}
  servers:
  - {port: {number: 80, name: http, protocol: HTTP}, hosts: [shop.example.com]}
  - {port: {number: 80, name: redirect, protocol: HTTP}, hosts: [secure.example.com], tls: {httpsRedirect: true}}
  - {port: {number: 443, name: https, protocol: HTTPS}, hosts: [secure.example.com], tls: {mode: SIMPLE, credentialName: secure-cert}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: shop}
spec:
  hosts: [shop.example.com, secure.example.com]
  gateways: [edge]
  http:
  - match: [{uri: {prefix: /shop}}]
    route: [{destination: {host: web}}]
"""


async def test_ingress_gateway_routes_by_host_and_path_and_ends_tls(static_mesh: StaticMesh) -> None:
    world = static_mesh.world
    world.pod("web", {"app": "web"}, account="web")
    world.service("web", {"app": "web"}, [{"name": "http", "port": 80, "targetPort": 8080}])
    world.pod("ingress", {"istio": "ingressgateway"}, account="ingress", injected=False)
    ports = [{"name": "http2", "port": 80, "targetPort": 8080}, {"name": "https", "port": 443, "targetPort": 8443}]
    world.service("istio-ingressgateway", {"istio": "ingressgateway"}, ports)
    world.apply(STRICT)
    world.apply(GATEWAY)
    await static_mesh.serve("web", 8080)
    await static_mesh.start("web")
    servers = {"kubernetes://secure-cert": "secure.example.com"}
    await static_mesh.start("ingress", kind="router", servers=servers)
    ip = world.proxy("ingress").ip
    get = partial(fetch, f"http://{ip}:8080/shop/1")

    assert (await get(headers={"Host": "shop.example.com"})).body == "web"
    assert "URI=spiffe://cluster.local/ns/default/sa/ingress" in static_mesh.requests[-1][1]["x-forwarded-client-cert"]
    assert (await get(headers={"Host": "other.example.com"})).status == 404
    assert (await fetch(f"http://{ip}:8080/other", headers={"Host": "shop.example.com"})).status == 404
    redirected = await get(headers={"Host": "secure.example.com"})
    assert (redirected.status, redirected.headers["location"]) == (301, "https://secure.example.com/shop/1")

    trusting = ssl.create_default_context(cadata=static_mesh.authority.root)
    secure = await fetch(
        f"https://{ip}:8443/shop/1",
        headers={"Host": "secure.example.com"},
        ssl=trusting,
        server_hostname="secure.example.com",
    )
    assert secure.body == "web"
    with pytest.raises(aiohttp.ClientConnectionError):
        await fetch(f"https://{ip}:8443/", ssl=trusting, server_hostname="unknown.example.com")


async def test_gateway_without_routes_answers_404(static_mesh: StaticMesh) -> None:
    world = static_mesh.world
    world.pod("ingress", {"istio": "ingressgateway"}, injected=False)
    world.service(
        "istio-ingressgateway", {"istio": "ingressgateway"}, [{"name": "http2", "port": 80, "targetPort": 8080}]
    )
    world.apply(GATEWAY.split("---", maxsplit=1)[0].rsplit("\n", 2)[0])
    await static_mesh.start("ingress", kind="router")

    assert (await fetch(f"http://{world.proxy('ingress').ip}:8080/")).status == 404


AUTHORIZATION = """
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: readers}
spec:
  selector: {matchLabels: {app: web}}
  rules:
  - from: [{source: {principals: [cluster.local/ns/default/sa/client]}}]
    to: [{operation: {methods: [GET], paths: ["/open*", "*/end"]}}]
  - when: [{key: "request.headers[x-token]", values: [admin]}]
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: no-secrets}
spec:
  action: DENY
  rules: [{to: [{operation: {paths: [/open/secret]}}]}]
"""


async def test_authorization_by_identity_method_path_and_header(static_mesh: StaticMesh) -> None:
    world = static_mesh.world
    for name in ("client", "other"):
        world.pod(name, {"app": name}, account=name)
    world.pod("web", {"app": "web"}, account="web")
    world.service("web", {"app": "web"}, [{"name": "http", "port": 80, "targetPort": 8080}])
    world.apply(AUTHORIZATION)
    await static_mesh.serve("web", 8080)
    await static_mesh.start("client", "other", "web")

    assert (await static_mesh.get("client", "http://web/open/1")).status == 200
    assert (await static_mesh.get("client", "http://web/the/end")).status == 200
    denied = await static_mesh.get("client", "http://web/open/secret")
    assert (denied.status, denied.body) == (403, "RBAC: access denied")
    assert (await static_mesh.get("client", "http://web/closed")).status == 403
    assert (await static_mesh.get("client", "http://web/open/1", method="POST")).status == 403
    assert (await static_mesh.get("other", "http://web/open/1")).status == 403
    assert (await static_mesh.get("other", "http://web/any", headers={"x-token": "admin"})).status == 200
    assert (await fetch(f"http://{world.proxy('web').ip}:8080/open/1")).status == 403, "plain text has no principal"


async def test_authorization_of_raw_connections(static_mesh: StaticMesh) -> None:
    world = static_mesh.world
    for name in ("client", "other"):
        world.pod(name, {"app": name}, account=name)
    world.pod("echo", {"app": "echo"}, account="echo")
    world.service("echo", {"app": "echo"}, [{"name": "tcp", "port": 9000}])
    world.apply(
        "{apiVersion: security.istio.io/v1, kind: AuthorizationPolicy, metadata: {name: one}, spec: {rules:"
        " [{from: [{source: {principals: [cluster.local/ns/default/sa/client]}}], to: [{operation: {ports: ['9000']}}]}]}}"
    )
    async with shouting_server(world.proxy("echo").hidden_ip, 9000):
        await static_mesh.start("client", "other", "echo")

        assert await shout(static_mesh, "client", "echo:9000") == b"HELLO\n"
        assert await shout(static_mesh, "other", "echo:9000") == b""


async def test_circuit_breaker_and_ejection(static_mesh: StaticMesh) -> None:
    world = static_mesh.world
    world.pod("client", {"app": "client"}, account="client")
    world.pod("web", {"app": "web"}, account="web")
    world.service("web", {"app": "web"}, [{"name": "http", "port": 80, "targetPort": 8080}])
    world.apply(
        "{apiVersion: networking.istio.io/v1, kind: DestinationRule, metadata: {name: web}, spec: {host: web, trafficPolicy:"
        " {connectionPool: {tcp: {maxConnections: 1}, http: {http1MaxPendingRequests: 1, maxRequestsPerConnection: 1}},"
        " outlierDetection: {consecutive5xxErrors: 2, interval: 100ms, baseEjectionTime: 3m, maxEjectionPercent: 100}}}}"
    )
    await static_mesh.serve("web", 8080)
    await static_mesh.start("client", "web")

    static_mesh.delays_s["web"] = 0.3
    replies = await asyncio.gather(*(static_mesh.get("client", "http://web/") for _ in range(6)))
    overflowed = [reply for reply in replies if reply.status == 503]
    assert overflowed
    assert all(reply.headers["x-envoy-overloaded"] == "true" for reply in overflowed)
    del static_mesh.delays_s["web"]

    static_mesh.statuses["web"] = [500] * 2
    assert [(await static_mesh.get("client", "http://web/")).status for _ in range(2)] == [500, 500]
    async with asyncio.timeout(5):
        # The worker tells the main thread, which ejects: a request may slip through in between.
        while (await static_mesh.get("client", "http://web/")).body != "no healthy upstream":
            await asyncio.sleep(0.01)


async def test_where_only_known_hosts_may_be_called_a_tunnel_opens_and_closes(static_mesh: StaticMesh) -> None:
    """As behind a captured connection, which is accepted whoever is called: curl says 35, not 56."""
    world = static_mesh.world
    world.pod("client", {})
    world.mesh_config = {"outboundTrafficPolicy": {"mode": "REGISTRY_ONLY"}}
    await static_mesh.start("client")
    reader, writer = await asyncio.open_connection(world.proxy("client").ip, 15001)
    writer.write(b"CONNECT www.example.org:443 HTTP/1.1\r\nHost: www.example.org:443\r\n\r\n")
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
    writer.write(b"\x16\x03\x01\x00\x05hello")
    assert await reader.read() == b""
    writer.close()
