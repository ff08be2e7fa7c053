"""Rewritten probes: what the agent asks the application, and what it answers."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from meshlab.minicluster.mesh.istio.agent_probes import ApplicationProbes

Asked = list[web.Request]


@pytest.fixture
async def application() -> AsyncIterator[tuple[TestServer, Asked]]:
    """A program that is well at /foo, redirects at /old and remembers its requests."""
    asked: Asked = []

    async def handler(request: web.Request) -> web.Response:
        asked.append(request)
        return web.Response(status={"/foo": 200, "/old": 302}.get(request.path, 503), text="a body")

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    server = TestServer(app, host="127.0.0.1")
    await server.start_server()
    yield server, asked
    await server.close()


async def statuses(port: int, probers: dict[str, Any], *paths: str) -> list[int]:
    """What the agent answers on these paths."""
    probes = ApplicationProbes({"ISTIO_KUBE_APP_PROBERS": json.dumps(probers)}, "127.0.0.1", lambda _: port)
    app = web.Application()
    app.router.add_get("/app-health/{container}/{page}", probes.answer)
    agent = TestServer(app)
    await agent.start_server()
    found = []
    async with aiohttp.ClientSession() as session:
        for path in paths:
            async with session.get(agent.make_url(path), headers={"X-Probe": "1"}) as answer:
                assert path == "/app-health/a/none" or await answer.read() == b""
                found.append(answer.status)
    await agent.close()
    return found


async def test_the_answer_is_the_programs_status(application: tuple[TestServer, Asked]) -> None:
    server, asked = application
    assert server.port is not None
    probers = {
        f"/app-health/a/{name}": {"httpGet": {"path": path, "port": 8080, "httpHeaders": [{"name": "X", "value": "y"}]}}
        for name, path in (("livez", "/foo"), ("readyz", "/sick"), ("startupz", "/old"))
    }
    pages = ("livez", "readyz", "startupz", "none")
    assert await statuses(server.port, probers, *(f"/app-health/a/{page}" for page in pages)) == [200, 503, 302, 404]
    assert (asked[0].headers["X"], asked[0].headers["X-Probe"]) == ("y", "1")


async def test_a_connection_is_enough_for_tcp(application: tuple[TestServer, Asked]) -> None:
    server, asked = application
    assert server.port is not None
    probers = {"/app-health/a/livez": {"tcpSocket": {"port": 8080}}}
    assert await statuses(server.port, probers, "/app-health/a/livez") == [200]
    assert not asked
    await server.close()
    assert await statuses(server.port, probers, "/app-health/a/livez") == [500]
