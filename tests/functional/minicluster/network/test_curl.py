"""The name table's lines, as the real curl takes them."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from meshlab.minicluster.network.addresses import LabNetwork, PortMap
from meshlab.minicluster.network.names import NameTable
from tests.support.addresses import random_prefix

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl on this host")


class World:
    """One Service on port 80, a headless one, and a pod; each says where it was reached."""

    def __init__(self, tmp_path: Path) -> None:
        self.network = LabNetwork(random_prefix())
        self.ports = PortMap(tmp_path / "ports.json", self.network.node_address)
        self.config = tmp_path / "curl.conf"
        self.client = self.network.pods.allocate()
        self.pod = self.network.pods.allocate()
        self.service = self.network.cluster_ips.allocate()
        self.silent = self.network.cluster_ips.allocate()
        self._tmp_path = tmp_path
        self._servers: list[asyncio.Server] = []

    async def start(self) -> None:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            here, there = writer.get_extra_info("sockname")[0], writer.get_extra_info("peername")[0]
            body = f"{here} {there}".encode()
            head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
            writer.write(head.encode() + body)
            writer.close()

        for ip in (self.service, self.pod):
            self._servers.append(await asyncio.start_server(answer, ip, self.ports.settle(80)))
        self._servers.append(await asyncio.start_server(answer, self.service, self.ports.settle(8080)))
        record = {"headless": False, "endpoints": [], "hosts": {}, "externalName": ""}
        http = [{"name": "http", "port": 80}, {"name": "alt", "port": 8080}]
        services = {
            "default/web": {**record, "ip": self.service, "ports": http},
            "default/silent": {**record, "ip": self.silent, "ports": http},
            "default/db": {**record, "ip": "", "headless": True, "ports": [], "endpoints": [self.pod]},
        }
        table = self._tmp_path / "names.json"
        table.write_text(json.dumps({"services": services, "pods": {"default/db-0": self.pod}}))
        lines = NameTable(table).connect_to_lines("default", self.ports, self.pod)
        options = [f'interface = "{self.client}"', *(f'connect-to = "{line}"' for line in lines)]
        self.config.write_text("\n".join(options) + "\n")

    def stop(self) -> None:
        for server in self._servers:
            server.close()

    async def curl(self, url: str) -> tuple[int, str]:
        process = await asyncio.create_subprocess_exec(
            "curl", "-q", "-sS", "-m", "5", "-K", str(self.config), url,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
            env={"PATH": "/usr/bin:/bin:/usr/local/bin"},
        )  # fmt: skip
        output, _ = await process.communicate()
        return process.returncode or 0, output.decode()


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    world = World(tmp_path)
    await world.start()
    yield world
    world.stop()


@pytest.mark.parametrize(
    "url",
    [
        "http://web/",
        "http://web.default/",
        "http://web.default.svc/",
        "http://web.default.svc.cluster.local/",
        "http://web.default.svc.cluster.local./",
        "http://web.default:8080/",
    ],
)
async def test_every_form_of_a_services_name_works(world: World, url: str) -> None:
    assert await world.curl(url) == (0, f"{world.service} {world.client}")


async def test_addresses_and_headless_names_and_localhost(world: World) -> None:
    assert await world.curl(f"http://{world.service}/") == (0, f"{world.service} {world.client}")
    assert await world.curl(f"http://{world.pod}/") == (0, f"{world.pod} {world.client}")
    assert await world.curl("http://db/") == (0, f"{world.pod} {world.client}")
    assert await world.curl("http://localhost/") == (0, f"{world.pod} {world.client}")


async def test_curl_keeps_its_exit_codes(world: World) -> None:
    assert (await world.curl("http://nobody.default/"))[0] == 6
    assert (await world.curl("http://silent/"))[0] == 7
    assert (await world.curl("http://web:81/"))[0] == 7
