"""Connections of programs that know of no proxy, through real sidecars: what iptables does on a real node.

Each case connects as the built-in programs do, to an address and a port, and speaks plain bytes.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from meshlab.minicluster.images.dial import PodNetwork
from meshlab.minicluster.mesh.istio.ipallocate import Allocator
from meshlab.minicluster.network.meshnames import host_records
from meshlab.minicluster.network.names import service_record
from meshlab.minicluster.pod import PodContext
from tests.functional.minicluster.mesh.envoy.conftest import StaticMesh

STRICT = "{kind: PeerAuthentication, metadata: {name: d, namespace: istio-system}, spec: {mtls: {mode: STRICT}}}"
REGISTRY_ONLY = {"outboundTrafficPolicy": {"mode": "REGISTRY_ONLY"}}


@contextlib.asynccontextmanager
async def speaking_server(host: str, port: int, name: str, tls: ssl.SSLContext | None = None) -> AsyncIterator[None]:
    """A server that answers a line with its name and the line."""
    conversations: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        conversations.add(task)
        try:
            while line := await reader.readline():
                writer.write(f"{name} ".encode() + line)
                await writer.drain()
        except (ConnectionError, ssl.SSLError):
            pass
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError, ssl.SSLError):
                await writer.wait_closed()

    async with await asyncio.start_server(serve, host, port, ssl=tls):
        yield
        for task in conversations:
            task.cancel()
        await asyncio.gather(*conversations, return_exceptions=True)


def program(mesh: StaticMesh, pod: str = "client", **changes: object) -> PodNetwork:
    """The network as programs of an injected pod see it."""
    proxy = mesh.world.proxy(pod)
    table = {
        "services": {
            f"{s['metadata']['namespace']}/{s['metadata']['name']}": service_record(s, ())
            for s in mesh.world.objects["services"]
        },
        "pods": {},
        "hosts": {
            host: [record]
            for entry in mesh.world.objects["serviceentries.networking.istio.io"]
            for host, record in host_records(entry).items()
        },
    }
    names = mesh.directory / "names.json"
    names.write_text(json.dumps(table))
    context = PodContext(
        namespace=proxy.namespace,
        name=pod,
        container="app",
        uid=pod,
        service_account="default",
        node_name="meshlab",
        pod_ip=proxy.ip,
        bind_ip=proxy.hidden_ip,
        app_ip=proxy.hidden_ip,
        proxy_url=f"http://{proxy.ip}:15001",
        api_server="",
        names_file=str(names),
        ports_file=str(mesh.directory / "ports.json"),
        runtime_dir=str(mesh.directory),
        container_dir=str(mesh.directory),
        captures_dns=True,
    )
    return PodNetwork(replace(context, **changes))  # type: ignore[arg-type]


async def say(network: PodNetwork, host: str, port: int, words: bytes = b"hello\n") -> bytes:
    """What comes back first; empty if the connection was closed or reset."""
    reader, writer = await network.open_connection(host, port)
    try:
        writer.write(words)
        return await asyncio.wait_for(reader.readline(), 10)
    except ConnectionError:
        return b""
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


def entry(name: str, host: str, address: str, port: int, protocol: str = "TCP") -> str:
    """A ServiceEntry without addresses of its own."""
    return (
        f"{{apiVersion: networking.istio.io/v1, kind: ServiceEntry, metadata: {{name: {name}}}, spec: {{hosts: [{host}], "
        f"ports: [{{number: 9000, name: x, protocol: {protocol}, targetPort: {port}}}], resolution: STATIC, "
        f"location: MESH_EXTERNAL, endpoints: [{{address: {address}}}]}}}}"
    )


def allocate(mesh: StaticMesh) -> None:
    """Do what istiod's controller does."""
    allocator = Allocator()
    for obj in mesh.world.objects["serviceentries.networking.istio.io"]:
        addresses = allocator.status(obj)
        if addresses is not None:
            obj["status"] = {"addresses": addresses}


def echo_pods(mesh: StaticMesh, *names: str, port_name: str = "tcp") -> None:
    """A client, and pods behind one service ``echo``."""
    mesh.world.pod("client", {"app": "client"}, account="client")
    for name in names:
        mesh.world.pod(name, {"app": "echo", "version": name}, account="echo")
    mesh.world.service("echo", {"app": "echo"}, [{"name": port_name, "port": 9000}])


@pytest.mark.parametrize("port_name", ["tcp", "unnamed"])
async def test_bytes_reach_a_service_with_mutual_tls(static_mesh: StaticMesh, port_name: str) -> None:
    echo_pods(static_mesh, "echo", port_name=port_name)
    static_mesh.world.apply(STRICT)
    async with speaking_server(static_mesh.world.proxy("echo").hidden_ip, 9000, "echo"):
        await static_mesh.start("client", "echo")
        assert await say(program(static_mesh), "echo", 9000) == b"echo hello\n"
        assert await say(program(static_mesh, proxy_url=""), static_mesh.world.proxy("echo").ip, 9000) == b""


@pytest.mark.parametrize(("action", "answer"), [("ALLOW", b"echo hello\n"), ("DENY", b"")])
async def test_authorization_sees_who_connects(static_mesh: StaticMesh, action: str, answer: bytes) -> None:
    echo_pods(static_mesh, "echo")
    static_mesh.world.apply(
        "{apiVersion: security.istio.io/v1, kind: AuthorizationPolicy, metadata: {name: x}, spec: {selector: {matchLabels:"
        f" {{app: echo}}}}, action: {action}, rules: [{{from: [{{source: {{principals:"
        " [cluster.local/ns/default/sa/client]}}], to: [{operation: {ports: ['9000']}}]}]}}"
    )
    async with speaking_server(static_mesh.world.proxy("echo").hidden_ip, 9000, "echo"):
        await static_mesh.start("client", "echo")
        assert await say(program(static_mesh), "echo", 9000) == answer


async def test_weights_split_connections(static_mesh: StaticMesh) -> None:
    echo_pods(static_mesh, "v1", "v2")
    static_mesh.world.apply(
        "{apiVersion: networking.istio.io/v1, kind: DestinationRule, metadata: {name: echo}, spec: {host: echo, subsets: "
        "[{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]}}\n---\n"
        "{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: echo}, spec: {hosts: [echo], tcp: "
        "[{route: [{destination: {host: echo, subset: v1}, weight: 80}, {destination: {host: echo, subset: v2}, weight: 20}]}]}}"
    )
    proxies = [static_mesh.world.proxy(name) for name in ("v1", "v2")]
    async with (
        speaking_server(proxies[0].hidden_ip, 9000, "one"),
        speaking_server(proxies[1].hidden_ip, 9000, "two"),
    ):
        await static_mesh.start("client", "v1", "v2")
        network = program(static_mesh)
        answers = [await say(network, "echo", 9000) for _ in range(200)]
    assert set(answers) == {b"one hello\n", b"two hello\n"}
    assert 15 <= answers.count(b"two hello\n") <= 70


async def test_entries_on_one_port_are_told_apart_by_allocated_addresses(static_mesh: StaticMesh) -> None:
    world = static_mesh.world
    world.proxy_metadata["DNS_CAPTURE"] = "true"
    world.pod("client", {"app": "client"})
    servers = [world.proxy(world.pod(name, {}, injected=False)).ip for name in ("a", "b")]
    world.apply(entry("a", "a.example.com", servers[0], 7001))
    world.apply(entry("b", "b.example.com", servers[1], 7001))
    world.mesh_config = REGISTRY_ONLY
    allocate(static_mesh)
    async with speaking_server(servers[0], 7001, "a"), speaking_server(servers[1], 7001, "b"):
        await static_mesh.start("client")
        network = program(static_mesh)
        assert network.resolve("a.example.com") == ["240.240.0.1"]
        assert await say(network, "a.example.com", 9000) == b"a hello\n"
        assert await say(network, "b.example.com", 9000) == b"b hello\n"
        assert await say(network, "240.240.0.9", 9000) == b"", "nobody's address"


@pytest.mark.parametrize("registry_only", [False, True])
async def test_unknown_destinations_go_through_or_into_a_black_hole(
    static_mesh: StaticMesh, registry_only: bool
) -> None:
    world = static_mesh.world
    world.pod("client", {"app": "client"})
    other = world.proxy(world.pod("other", {}, injected=False)).ip
    if registry_only:
        world.mesh_config = REGISTRY_ONLY
    async with speaking_server(other, 7002, "other"):
        await static_mesh.start("client")
        assert await say(program(static_mesh), other, 7002) == (b"" if registry_only else b"other hello\n")
        excluded = program(static_mesh, capture={"excludeOutboundPorts": "7002"})
        assert await say(excluded, other, 7002) == b"other hello\n", "goes round the sidecar"


async def test_http_of_a_program_without_proxy_is_routed_by_host(static_mesh: StaticMesh) -> None:
    world = static_mesh.world
    world.pod("client", {"app": "client"})
    world.pod("web", {"app": "web"})
    world.service("web", {"app": "web"}, [{"name": "http", "port": 8000, "targetPort": 8080}])
    world.apply(
        "{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: web}, spec: {hosts: [web],"
        " http: [{match: [{uri: {prefix: /x}}], directResponse: {status: 299}}, {route: [{destination: {host: web}}]}]}}"
    )
    await static_mesh.serve("web", 8080)
    await static_mesh.start("client", "web")
    network = program(static_mesh)
    for head, status in (("/x HTTP/1.1\r\nHost: web", b" 299 "), ("/y HTTP/1.1\r\nHost: web:8000", b" 200 ")):
        assert status in await say(network, "web", 8000, f"GET {head}\r\n\r\n".encode())


async def test_http_to_unknown_hosts_is_refused_by_status(static_mesh: StaticMesh) -> None:
    world = static_mesh.world
    world.pod("client", {"app": "client"})
    world.pod("web", {"app": "web"})
    world.service("web", {"app": "web"}, [{"name": "http", "port": 8000, "targetPort": 8080}])
    world.mesh_config = REGISTRY_ONLY
    await static_mesh.start("client")
    assert b" 502 " in await say(program(static_mesh), "web", 8000, b"GET / HTTP/1.1\r\nHost: x.example\r\n\r\n")


async def test_names_in_tls_choose_the_route(static_mesh: StaticMesh, tmp_path: Path) -> None:
    world = static_mesh.world
    world.pod("client", {"app": "client"})
    servers = [world.proxy(world.pod(name, {}, injected=False)).ip for name in ("a", "b")]
    world.apply(
        "{apiVersion: networking.istio.io/v1, kind: ServiceEntry, metadata: {name: s}, spec: {hosts: ['*.example.com'], "
        "addresses: [192.0.2.7], ports: [{number: 443, name: tls, protocol: TLS, targetPort: 7003}], resolution: STATIC, "
        f"endpoints: [{{address: {servers[0]}}}]}}}}"
    )
    world.apply(entry("other", "other.example.net", servers[1], 7003))
    world.apply(
        "{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: s}, spec: {hosts: ['*.example.com'], "
        "tls: [{match: [{port: 443, sniHosts: [a.example.com]}], route: [{destination: {host: '*.example.com'}}]}, "
        "{match: [{port: 443, sniHosts: ['*.b.example.com']}], route: [{destination: {host: other.example.net, port: "
        "{number: 9000}}}]}]}}"
    )
    certificate, key = static_mesh.authority.issue("a.example.com")
    (tmp_path / "c.pem").write_text(certificate + key)
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(tmp_path / "c.pem")
    client = ssl.create_default_context()
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE

    def ask(name: str) -> bytes:
        with (
            program(static_mesh).connect("192.0.2.7", 443, 5) as plain,
            client.wrap_socket(plain, server_hostname=name) as secure,
        ):
            secure.sendall(b"hello\n")
            return secure.recv(100)

    async with (
        speaking_server(servers[0], 7003, "a", server),
        speaking_server(servers[1], 7003, "b", server),
    ):
        await static_mesh.start("client")
        assert await asyncio.to_thread(ask, "a.example.com") == b"a hello\n"
        assert await asyncio.to_thread(ask, "x.b.example.com") == b"b hello\n"
        with pytest.raises(OSError):
            await asyncio.to_thread(ask, "c.example.com")


async def test_an_entry_without_resolution_takes_connections_where_they_were_going(static_mesh: StaticMesh) -> None:
    world = static_mesh.world
    world.pod("client", {"app": "client"})
    other = world.proxy(world.pod("other", {}, injected=False)).ip
    world.apply(
        "{apiVersion: networking.istio.io/v1, kind: ServiceEntry, metadata: {name: n}, spec: {hosts: [n.example.com], "
        f"addresses: [{other}/32], ports: [{{number: 7005, name: tcp, protocol: TCP}}], resolution: NONE}}}}"
    )
    world.mesh_config = REGISTRY_ONLY
    async with speaking_server(other, 7005, "other"), speaking_server(other, 7006, "other"):
        await static_mesh.start("client")
        assert await say(program(static_mesh), other, 7005) == b"other hello\n"
        assert await say(program(static_mesh), other, 7006) == b""


async def test_pods_of_a_headless_service_are_called_by_address_with_mutual_tls(static_mesh: StaticMesh) -> None:
    world = static_mesh.world
    world.pod("client", {"app": "client"})
    for name in ("a", "b"):
        world.pod(name, {"app": "db"}, injected=True)
    plain = world.proxy(world.pod("c", {"app": "db"}, injected=False)).ip
    world.service("db", {"app": "db"}, [{"name": "tcp", "port": 9000}], headless=True)
    world.apply(STRICT)
    pods = {name: world.proxy(name) for name in ("a", "b")}
    async with (
        speaking_server(pods["a"].hidden_ip, 9000, "a"),
        speaking_server(pods["b"].hidden_ip, 9000, "b"),
        speaking_server(plain, 9000, "c"),
    ):
        await static_mesh.start("client", "a", "b")
        for name, address in (("a", pods["a"].ip), ("b", pods["b"].ip), ("c", plain)):
            assert await say(program(static_mesh), address, 9000) == f"{name} hello\n".encode()


@contextlib.asynccontextmanager
async def http_proxy(host: str, port: int, asked: list[bytes]) -> AsyncIterator[None]:
    """An HTTP proxy outside of the mesh: it grants a tunnel and is itself what lies at its other end."""
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        head = await reader.readuntil(b"\r\n\r\n")
        asked.append(head.split(b"\r\n")[0])
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        writer.write(b"tunnelled " + await reader.readline())
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, host, port):
        yield
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_connections_may_go_through_the_tunnel_of_an_http_proxy(static_mesh: StaticMesh) -> None:
    world = static_mesh.world
    world.pod("client", {"app": "client"})
    outside = world.proxy(world.pod("outside", {}, injected=False)).ip
    world.apply(
        "{apiVersion: networking.istio.io/v1, kind: ServiceEntry, metadata: {name: p}, spec: {hosts: [proxy.example], "
        "addresses: [192.0.2.9], ports: [{number: 3128, name: tcp, protocol: TCP}], resolution: STATIC, "
        f"location: MESH_EXTERNAL, endpoints: [{{address: {outside}}}]}}}}"
    )
    world.apply(
        "{apiVersion: networking.istio.io/v1, kind: DestinationRule, metadata: {name: p}, spec: {host: proxy.example, "
        "trafficPolicy: {tunnel: {protocol: CONNECT, targetHost: far.example, targetPort: 8443}}}}"
    )
    asked: list[bytes] = []
    async with http_proxy(outside, 3128, asked):
        await static_mesh.start("client")
        assert await say(program(static_mesh), "192.0.2.9", 3128) == b"tunnelled hello\n"
        reader, writer = await asyncio.open_connection(world.proxy("client").ip, 15001)
        writer.write(b"CONNECT proxy.example:3128 HTTP/1.1\r\nHost: proxy.example:3128\r\n\r\n")
        assert b" 200 " in await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
        writer.write(b"hello\n")
        assert await asyncio.wait_for(reader.readline(), 10) == b"tunnelled hello\n"
        writer.close()
    assert asked == [b"CONNECT far.example:8443 HTTP/1.1"] * 2


async def test_a_sidecar_may_listen_where_programs_connect_themselves(static_mesh: StaticMesh) -> None:
    echo_pods(static_mesh, "echo")
    static_mesh.world.apply(
        "{apiVersion: networking.istio.io/v1, kind: Sidecar, metadata: {name: s}, spec: {workloadSelector: {labels: {app: "
        "client}}, egress: [{port: {number: 9000, protocol: TCP, name: e}, bind: 127.0.0.1, captureMode: NONE, hosts: "
        "['./*']}]}}"
    )
    async with speaking_server(static_mesh.world.proxy("echo").hidden_ip, 9000, "echo"):
        await static_mesh.start("client", "echo")
        assert await say(program(static_mesh), "127.0.0.1", 9000) == b"echo hello\n"


async def test_an_excluded_inbound_port_is_left_alone(static_mesh: StaticMesh) -> None:
    pod = static_mesh.world.pod("echo", {"app": "echo"}, ports=(("", 9000), ("", 9001)))
    pod["metadata"]["annotations"] = {"traffic.sidecar.istio.io/excludeInboundPorts": "9000"}
    static_mesh.world.apply(STRICT)
    proxy = static_mesh.world.proxy("echo")
    client = static_mesh.world.proxy(static_mesh.world.pod("client", {}, injected=False))
    outsider = program(static_mesh, "client", proxy_url="", app_ip=client.ip)
    async with speaking_server(proxy.hidden_ip, 9000, "a"), speaking_server(proxy.hidden_ip, 9001, "b"):
        await static_mesh.start("echo")
        assert await say(outsider, proxy.ip, 9000) == b"a hello\n"
        assert await say(outsider, proxy.ip, 9001) == b"", "STRICT"


async def test_the_server_sees_the_pod_and_a_dead_sidecar_refuses(static_mesh: StaticMesh) -> None:
    echo_pods(static_mesh, "echo")
    with pytest.raises(ConnectionRefusedError):
        program(static_mesh).connect("echo", 9000)
    # Its address can be had again at once, by a proxy of another test.
    with (
        socket.create_server((static_mesh.world.proxy("client").hidden_ip, 15001)) as listener,
        program(static_mesh).connect("echo", 9000),
    ):
        connection, _ = listener.accept()
        with connection:
            words = connection.recv(100).decode().split()
    address = static_mesh.world.objects["services"][0]["spec"]["clusterIP"]
    assert words[:4] == ["PROXY", "TCP4", static_mesh.world.proxy("client").ip, address]


@pytest.mark.parametrize("metadata", [{}, {"DNS_CAPTURE": "true"}])
def test_envoy_accepts_every_kind_of_listener(
    static_mesh: StaticMesh, validate: Callable[[object, str], None], metadata: dict[str, str]
) -> None:
    world = static_mesh.world
    world.proxy_metadata.update(metadata)
    world.pod("client", {"app": "client"})
    world.pod("web", {"app": "web"})
    ports = [
        {"name": name, "port": number}
        for number, name in enumerate(("http", "grpc", "tcp", "tls", "https", "any", "mongo"), 8000)
    ]
    world.service("web", {"app": "web"}, ports)
    world.service("headless", {"app": "web"}, ports, headless=True)
    for number, protocol in enumerate(("HTTP", "TLS", "TCP", "HTTPS", "GRPC")):
        for host in ("a", "b", "*"):
            name = f"{host}.{number}.example.com"
            world.apply(entry(f"e-{number}-{ord(host)}", f"'{name}'", "192.0.2.1", 80, protocol))
    allocate(static_mesh)
    validate(world, "client")
