"""Every built-in program that opens connections takes them to its pod's sidecar, and says where they were going."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace

import pytest

from meshlab.minicluster.node.podnetwork import NO_PROXY
from meshlab.minicluster.pod import PodContext
from tests.functional.minicluster.images.conftest import Lab

ADDRESS = "127.200.64.9"
CURL, BUSYBOX, REDIS, FORTIO = "curlimages/curl", "busybox", "redis", "fortio/fortio"


@dataclass
class Sidecar:
    """What stands where the pod's sidecar would: it takes note of the first line and hangs up."""

    pod: PodContext
    lines: list[str] = field(default_factory=list)

    @property
    def variables(self) -> dict[str, str]:
        """The environment of the pod's programs, as the node sets it."""
        names = ("http_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
        return {**dict.fromkeys(names, self.pod.proxy_url), "no_proxy": NO_PROXY, "NO_PROXY": NO_PROXY}


@pytest.fixture
async def sidecar(lab: Lab) -> AsyncIterator[Sidecar]:
    found = Sidecar(lab.pod())

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        found.lines.append((await reader.readline()).decode().strip())
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    async with await asyncio.start_server(serve, found.pod.pod_ip, 0) as server:
        port = server.sockets[0].getsockname()[1]
        found.pod = replace(found.pod, proxy_url=f"http://{found.pod.pod_ip}:{port}")
        lab.services(web=f"{ADDRESS}:9000")
        yield found


@pytest.mark.parametrize(
    ("image", "command", "how"),
    [
        (BUSYBOX, "nc web 9000", "capture"),
        (BUSYBOX, "nc -w 3 127.200.64.9 9000", "capture"),
        (BUSYBOX, "telnet web 9000", "capture"),
        (BUSYBOX, "wget -qO- http://web:9000/", "request"),
        (BUSYBOX, "wget -qO- -Y off http://web:9000/", "capture"),
        (REDIS, "redis-cli -h web -p 9000 PING", "capture"),
        (CURL, "curl -s http://web:9000/", "request"),
        (CURL, "curl -sk https://web:9000/", "tunnel"),
        (CURL, "curl -s telnet://web:9000", "tunnel"),
        (FORTIO, "fortio curl http://web:9000/", "request"),
        (FORTIO, "fortio curl -k https://web:9000/", "capture"),
    ],
)
async def test_programs_reach_their_sidecar(lab: Lab, sidecar: Sidecar, image: str, command: str, how: str) -> None:
    await lab.run(image, *command.split(), pod=sidecar.pod, env=sidecar.variables, stdin=b"hello\n")
    words = sidecar.lines[0].split()
    if how == "capture":
        assert words[:4] == ["PROXY", "TCP4", sidecar.pod.pod_ip, ADDRESS]
        assert words[5] == "9000"
    else:
        assert words[:2] == (["CONNECT", "web:9000"] if how == "tunnel" else ["GET", "http://web:9000/"])


@pytest.mark.parametrize(
    ("image", "command"),
    [
        (BUSYBOX, "nc -w 3 web 9000"),
        (BUSYBOX, "wget -qO- http://web:9000/"),
        (CURL, "curl -s http://web:9000/"),
        (CURL, "curl -sk https://web:9000/"),
        (FORTIO, "fortio curl http://web:9000/"),
    ],
)
@pytest.mark.parametrize(
    "rules",
    [{"excludeOutboundPorts": "9000"}, {"excludeOutboundIPRanges": "127.0.0.0/8"}, {"includeOutboundIPRanges": ""}],
)
async def test_what_annotations_exclude_goes_past_it(
    lab: Lab, sidecar: Sidecar, image: str, command: str, rules: dict[str, str]
) -> None:
    seen: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.read(3))
        writer.close()

    pod = replace(sidecar.pod, capture=rules)
    address = lab.pod().pod_ip
    lab.services(web=f"{address}:9000")
    async with await asyncio.start_server(serve, address, 9000):
        await lab.run(image, *command.split(), pod=pod, env=sidecar.variables, stdin=b"hello\n")
    assert seen
    assert sidecar.lines == []


async def test_loopback_is_the_pods_own(lab: Lab, sidecar: Sidecar) -> None:
    code, _, err = await lab.run(BUSYBOX, "nc", "-v", "127.0.0.1", "9000", pod=sidecar.pod, env=sidecar.variables)
    assert (code, "refused" in err) == (1, True)
    assert sidecar.lines == []
