from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.network.addresses import LabNetwork, PortMap
from meshlab.minicluster.network.l4 import Forwarder
from tests.fakes.kube_api import FakeKubeApi
from tests.support.addresses import random_prefix

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
SLICES = "endpointslices.discovery.k8s.io"


class Path4:
    """A forwarder on a network of its own, with a fake API."""

    def __init__(self, tmp_path: Path) -> None:
        self.network = LabNetwork(random_prefix())
        self.ports = PortMap(tmp_path / "ports.json", self.network.node_address)
        self.api = FakeKubeApi()
        self.forwarder = Forwarder(self.api, self.network, self.ports)
        self.cluster_ip = self.network.cluster_ips.allocate()
        self._servers: list[asyncio.Server] = []

    async def serve(self, handler: Serve, port: int, ip: str | None = None) -> str:
        """Start a program on a pod's address."""
        ip = ip or self.network.pods.allocate()
        self._servers.append(await asyncio.start_server(handler, ip, self.ports.settle(port)))
        return ip

    async def add_service(self, name: str = "web", namespace: str = "default", port: int = 80, **spec: Any) -> None:
        ports = [{"name": "http", "port": port, "protocol": "TCP", **spec.pop("port_fields", {})}]
        obj = {"metadata": {"name": name}, "spec": {"clusterIP": self.cluster_ip, "ports": ports, **spec}}
        await self.api.create("services", obj, namespace)

    async def set_endpoints(self, *ips: str, port: int = 8080, name: str = "web", **conditions: bool) -> None:
        endpoints = [{"addresses": [ip], "conditions": {"ready": True, **conditions}} for ip in ips]
        obj: Obj = {
            "metadata": {"name": f"{name}-1", "labels": {"kubernetes.io/service-name": name}},
            "addressType": "IPv4",
            "endpoints": endpoints,
            "ports": [{"name": "http", "port": port, "protocol": "TCP"}],
        }
        with contextlib.suppress(Exception):
            old = await self.api.get(SLICES, f"{name}-1", "default")
            await self.api.update(SLICES, {**old, **obj, "metadata": old["metadata"]})
            return
        await self.api.create(SLICES, obj, "default")

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(5):
            while not condition():
                await asyncio.sleep(0.002)

    async def listening(self, ip: str | None = None, port: int = 80) -> None:
        await self.until(lambda: (ip or self.cluster_ip, port) in self.forwarder.listening())

    async def connect(
        self, port: int = 80, source: str | None = None
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        local = (source, 0) if source else None
        return await asyncio.open_connection(self.cluster_ip, self.ports.real(port), local_addr=local)

    async def close(self) -> None:
        await self.forwarder.stop()
        for server in self._servers:
            server.close()


@pytest.fixture
async def path(tmp_path: Path) -> AsyncIterator[Path4]:
    path = Path4(tmp_path)
    await path.forwarder.start()
    yield path
    await path.close()


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.close()


async def tell_peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(writer.get_extra_info("peername")[0].encode())
    writer.close()


def reset_after(received: int) -> Serve:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(received)
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    return handler


async def test_bytes_and_a_half_close_go_through(path: Path4) -> None:
    await path.add_service()
    await path.set_endpoints(await path.serve(echo, 8080))
    await path.listening()
    reader, writer = await path.connect()
    writer.write(b"hello")
    assert await reader.readexactly(5) == b"hello"
    payload = random.randbytes(3_000_000)
    writer.write(payload)
    writer.write_eof()
    assert await reader.read(-1) == payload
    writer.close()
    await path.until(lambda: not path.forwarder.connections)


async def test_the_server_sees_the_address_of_the_pod_that_calls(path: Path4) -> None:
    await path.add_service()
    await path.set_endpoints(await path.serve(tell_peer, 8080))
    await path.listening()
    pod_ip = path.network.pods.allocate()
    reader, writer = await path.connect(source=pod_ip)
    assert (await reader.read(-1)).decode() == pod_ip
    writer.close()
    reader, writer = await path.connect(source="127.0.0.1")
    assert (await reader.read(-1)).decode() not in (pod_ip, path.cluster_ip)
    writer.close()


async def test_a_reset_stays_a_reset(path: Path4) -> None:
    await path.add_service()
    await path.set_endpoints(await path.serve(reset_after(4), 8080))
    await path.listening()
    reader, writer = await path.connect()
    writer.write(b"ping")
    with pytest.raises(ConnectionResetError):
        await reader.read(-1)
    writer.close()


async def test_a_clients_reset_reaches_the_server(path: Path4) -> None:
    ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.read(-1)
            ended.set_result("closed")
        except ConnectionResetError:
            ended.set_result("reset")
        writer.close()

    await path.add_service()
    await path.set_endpoints(await path.serve(handler, 8080))
    await path.listening()
    _, writer = await path.connect()
    writer.write(b"x")
    await path.until(lambda: bool(path.forwarder.connections))
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
    assert await asyncio.wait_for(ended, 5) == "reset"


async def test_no_endpoints_means_refused_and_readiness_opens(path: Path4) -> None:
    await path.add_service()
    ip = await path.serve(echo, 8080)
    await path.set_endpoints(ip, ready=False)
    with pytest.raises(ConnectionRefusedError):
        await path.connect()
    await path.set_endpoints(ip)
    await path.listening()
    _, writer = await path.connect()
    writer.close()
    await path.set_endpoints()
    await path.until(lambda: not path.forwarder.listening())
    with pytest.raises(ConnectionRefusedError):
        await path.connect()


async def test_terminating_endpoints_serve_when_nothing_else_does(path: Path4) -> None:
    await path.add_service()
    await path.set_endpoints(await path.serve(echo, 8080), ready=False, serving=True, terminating=True)
    await path.listening()
    _, writer = await path.connect()
    writer.close()


async def test_open_connections_survive_a_change_of_endpoints(path: Path4) -> None:
    await path.add_service()
    first = await path.serve(echo, 8080)
    await path.set_endpoints(first)
    await path.listening()
    reader, writer = await path.connect()
    writer.write(b"a")
    assert await reader.readexactly(1) == b"a"
    second = await path.serve(tell_peer, 8080)
    await path.set_endpoints(second)
    await path.until(lambda: path.forwarder.listening()[(path.cluster_ip, 80)] == [(second, 8080)])
    writer.write(b"b")
    assert await reader.readexactly(1) == b"b"
    writer.close()


async def test_an_endpoint_that_refuses_is_passed_over(path: Path4) -> None:
    await path.add_service()
    alive, dead = await path.serve(echo, 8080), path.network.pods.allocate()
    await path.set_endpoints(alive, dead)
    await path.listening()
    for _ in range(20):
        reader, writer = await path.connect()
        writer.write(b"a")
        assert await reader.readexactly(1) == b"a"
        writer.close()
    await path.set_endpoints(dead)
    await path.until(lambda: path.forwarder.listening()[(path.cluster_ip, 80)] == [(dead, 8080)])
    reader, writer = await path.connect()
    with pytest.raises(ConnectionResetError):
        await reader.read(-1)
    writer.close()


async def test_connections_are_spread_and_affinity_holds_them(path: Path4) -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(writer.get_extra_info("sockname")[0].encode())
        writer.close()

    async def who() -> str:
        reader, writer = await path.connect()
        answer = (await reader.read(-1)).decode()
        writer.close()
        return answer

    await path.add_service()
    ips = [await path.serve(handler, 8080) for _ in range(3)]
    await path.set_endpoints(*ips)
    await path.listening()
    answers = [await who() for _ in range(90)]
    assert set(answers) == set(ips)
    service = await path.api.get("services", "web", "default")
    await path.api.update("services", {**service, "spec": {**service["spec"], "sessionAffinity": "ClientIP"}})
    await asyncio.sleep(0)

    async def sticky() -> bool:
        return len({await who() for _ in range(15)}) == 1

    async with asyncio.timeout(5):
        while not await sticky():
            pass


async def test_node_ports_and_load_balancers_answer(path: Path4) -> None:
    node_port, balancer = random.randrange(30000, 32000), path.network.load_balancers.allocate()
    await path.add_service(port_fields={"nodePort": node_port}, type="LoadBalancer")
    await path.api.set_status("services", "web", "default", loadBalancer={"ingress": [{"ip": balancer}]})
    await path.set_endpoints(await path.serve(echo, 8080))
    for ip, port in ((path.network.node_address, node_port), (balancer, 80), (path.cluster_ip, 80)):
        await path.listening(ip, port)
        reader, writer = await asyncio.open_connection(ip, path.ports.real(port))
        writer.write(b"a")
        assert await reader.readexactly(1) == b"a"
        writer.close()


async def test_endpoints_outside_the_lab_are_dialled_as_they_are(path: Path4) -> None:
    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    await path.add_service("outside")
    await path.set_endpoints("127.0.0.1", port=port, name="outside")
    await path.listening()
    reader, writer = await path.connect()
    writer.write(b"a")
    assert await reader.readexactly(1) == b"a"
    writer.close()
    server.close()


async def test_the_kubernetes_service_reaches_the_api_server(path: Path4) -> None:
    server = await asyncio.start_server(echo, path.network.node_address, 0)
    port = server.sockets[0].getsockname()[1]
    path.ports.settle(
        port
    )  # in use, so the map has another port behind it: the API server must not be looked for there
    assert path.ports.real(port) != port
    await path.add_service("kubernetes", port=443)
    await path.set_endpoints(path.network.node_address, port=port, name="kubernetes")
    await path.listening(port=443)
    reader, writer = await path.connect(443)
    writer.write(b"a")
    assert await reader.readexactly(1) == b"a"
    writer.close()
    server.close()


async def test_low_ports_are_settled_on_both_sides(path: Path4) -> None:
    await path.add_service(port=80)
    await path.set_endpoints(await path.serve(echo, 80), port=80)
    await path.listening()
    reader, writer = await path.connect()
    writer.write(b"a")
    assert await reader.readexactly(1) == b"a"
    writer.close()


async def test_a_slow_reader_holds_back_the_sender(path: Path4) -> None:
    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            for _ in range(2000):
                writer.write(b"x" * 65536)
                await writer.drain()
                sent.append(65536)
        writer.close()

    sent: list[int] = []
    await path.add_service()
    await path.set_endpoints(await path.serve(flood, 8080))
    await path.listening()
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, (path.cluster_ip, path.ports.real(80)))
    before, since = -1, time.monotonic()
    while time.monotonic() - since < 0.2:
        if len(sent) != before:
            before, since = len(sent), time.monotonic()
        await asyncio.sleep(0.01)
    assert 0 < sum(sent) < 40_000_000, "the flood stops at the buffers"
    sock.close()


async def test_a_new_service_takes_over_the_address_of_a_deleted_one(path: Path4) -> None:
    await path.add_service()
    await path.set_endpoints(await path.serve(echo, 8080))
    await path.listening()
    await path.api.delete("services", "web", "default")
    await path.add_service("next")
    await path.set_endpoints(await path.serve(tell_peer, 8080), name="next")
    await path.until(lambda: len(path.forwarder.listening()) == 1)

    async def taken_over() -> bool:
        reader, writer = await path.connect()
        data = await asyncio.wait_for(reader.read(1), 5) if writer else b""
        writer.close()
        return bool(data)

    assert await taken_over()
