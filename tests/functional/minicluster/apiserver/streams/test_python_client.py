"""The official Python client against the streams; it blocks, so it runs in a thread."""

from __future__ import annotations

import asyncio
import gc
import threading
import warnings
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from kubernetes import client
from kubernetes.stream import portforward, stream

from .conftest import StreamServer


@pytest.fixture
async def core(server: StreamServer) -> AsyncIterator[Any]:
    configuration = client.Configuration()
    configuration.host = server.url
    with client.ApiClient(configuration) as api:
        yield client.CoreV1Api(api)
    # A port-forward's thread says goodbye to the server, and holds its WebSocket until then.
    for thread in threading.enumerate():
        if thread.name.startswith("Kubernetes port forward proxy"):
            await asyncio.to_thread(thread.join, 10)
    with warnings.catch_warnings():
        # The client leaves its WebSockets and socket pairs to the garbage collector.
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


async def test_exec_returns_output(core: Any) -> None:
    def run() -> str:
        command = ["sh", "-c", "echo out; echo err >&2"]
        text: str = stream(
            core.connect_get_namespaced_pod_exec, "web", "default", command=command, stdout=True, stderr=True
        )
        return text

    output = await asyncio.to_thread(run)
    assert sorted(output.split()) == ["err", "out"]


async def test_interactive_exec_gives_the_exit_code(core: Any) -> None:
    def run() -> tuple[str, int]:
        session = stream(
            core.connect_get_namespaced_pod_exec,
            "web",
            "default",
            command=["sh", "-c", "read line; echo got $line; exit 5"],
            stdin=True,
            stdout=True,
            stderr=True,
            _preload_content=False,
        )
        session.write_stdin("hello\n")
        session.run_forever(timeout=10)
        result = session.read_stdout(), session.returncode
        session.close()
        return result

    assert await asyncio.to_thread(run) == ("got hello\n", 5)


async def test_portforward_of_one_port(core: Any, server: StreamServer) -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello " + await reader.readline())
        writer.close()

    listener = await asyncio.start_server(greet, "127.0.0.1", 0)
    server.node.ports[80] = listener.sockets[0].getsockname()[1]

    def run() -> tuple[bytes, str | None]:
        forward = portforward(core.connect_get_namespaced_pod_portforward, "web", "default", ports="80,81")
        local = forward.socket(80)
        local.settimeout(10)
        local.sendall(b"world\n")
        received = b""
        while piece := local.recv(100):
            received += piece
        refused = forward.socket(81)
        refused.settimeout(10)
        refused.recv(1)
        error = forward.error(81)
        forward.close()
        return received, error

    received, error = await asyncio.to_thread(run)
    listener.close()
    assert received == b"hello world\n"
    assert error is not None
    assert "connection refused" in error


@pytest.mark.parametrize(
    ("protocol", "first", "expected"),
    [("v4.base64.channel.k8s.io", "1", "1b3V0Cg=="), ("base64.channel.k8s.io", "1", "1b3V0Cg==")],
)
async def test_the_base64_dialects(server: StreamServer, protocol: str, first: str, expected: str) -> None:
    url = f"{server.url}/api/v1/namespaces/default/pods/web/exec?command=echo&command=out&stdout=true"
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(url, protocols=(protocol,)) as socket,
    ):
        assert socket.protocol == protocol
        assert await socket.receive_str() == first
        assert await socket.receive_str() == expected


async def test_unknown_subprotocols_and_plain_requests_are_refused(server: StreamServer) -> None:
    url = f"{server.url}/api/v1/namespaces/default/pods/web/exec?command=true&stdout=true"
    async with aiohttp.ClientSession() as session:
        async with session.get(url) as response:
            assert response.status == 400
            assert (await response.json())["message"] == "Upgrade request required"
        with pytest.raises(aiohttp.WSServerHandshakeError) as refusal:
            await session.ws_connect(url, protocols=("v9.channel.k8s.io",))
        assert refusal.value.status == 400
    assert server.node.sessions == []
