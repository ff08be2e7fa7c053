"""The stand-in's API by HTTP: paths, errors, headers, and the page."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiohttp.test_utils import TestClient, TestServer

from meshlab.minicluster.addons.kiali.cytoscape import Surroundings
from meshlab.minicluster.addons.kiali.page import load_page
from meshlab.minicluster.addons.kiali.scraping import Collector
from meshlab.minicluster.addons.kiali.server import Kiali, Settings

Client = TestClient[Any, Any]


def settings(**changes: Any) -> Settings:
    return Settings.of({"server": {"port": 20001, "web_root": "/kiali", **changes}})


def collector() -> Collector:
    namespace = {"metadata": {"name": "default", "creationTimestamp": "2026-01-01T00:00:00Z"}}
    control = {"metadata": {"name": "istio-system", "labels": {"a": "b"}}}
    fake = SimpleNamespace(
        namespaces=SimpleNamespace(objects={("", "istio-system"): control, ("", "default"): namespace}),
        rates=lambda duration_s, end: {},
        surroundings=Surroundings,
        proxies=[{}, {}],
    )
    return cast(Collector, fake)


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    kiali = Kiali(settings())
    kiali.collector = collector()
    async with TestClient(TestServer(kiali.application())) as found:
        yield found


async def test_health_and_status(client: Client) -> None:
    async with client.get("/kiali/healthz") as response:
        assert (response.status, await response.text()) == (200, "")
    async with client.get("/kiali/api/status") as response:
        body = await response.json()
    assert body["status"]["Kiali state"] == "running"
    assert body["status"]["Kiali version"].endswith("-meshlab")
    assert {"name": "Istio", "version": body["status"]["Mesh version"]} in body["externalServices"]


async def test_namespaces(client: Client) -> None:
    async with client.get("/kiali/api/namespaces") as response:
        body = await response.json()
    assert [(one["name"], one["isControlPlane"]) for one in body] == [("default", False), ("istio-system", True)]


async def test_a_graph_without_traffic(client: Client) -> None:
    async with client.get("/kiali/api/namespaces/graph?namespaces=default&duration=60s") as response:
        body = await response.json()
    assert (response.status, body["elements"]) == (200, {"nodes": [], "edges": []})


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/kiali/api/namespaces/graph", 400),
        ("/kiali/api/namespaces/graph?namespaces=nope", 403),
        ("/kiali/api/apps/of/nobody", 404),
    ],
)
async def test_errors_are_kialis(client: Client, path: str, status: int) -> None:
    async with client.get(path) as response:
        assert response.status == status
        assert list(await response.json()) == ["error"]


async def test_only_reading(client: Client) -> None:
    async with client.post("/kiali/api/namespaces") as response:
        assert response.status == 405


@pytest.mark.parametrize("path", ["/", "/kiali"])
async def test_the_way_to_the_page(client: Client, path: str) -> None:
    async with client.get(path, allow_redirects=False) as response:
        assert (response.status, response.headers["Location"]) == (302, "/kiali/")


@pytest.mark.parametrize("path", ["/kiali/", "/kiali/console/graph/namespaces?namespaces=default"])
async def test_the_page(client: Client, path: str) -> None:
    async with client.get(path) as response:
        assert (response.status, response.content_type) == (200, "text/html")
        assert "default-src 'none'" in response.headers["Content-Security-Policy"]
        assert response.headers["X-Frame-Options"] == "DENY"


async def test_metrics_of_its_own(client: Client) -> None:
    async with client.get("/metrics") as response:
        assert "kiali_meshlab_proxies 2\n" in await response.text()


async def test_without_a_web_root() -> None:
    kiali = Kiali(settings(web_root="/"))
    kiali.collector = collector()
    async with TestClient(TestServer(kiali.application())) as client:
        for path, kind in (("/healthz", "application/octet-stream"), ("/", "text/html"), ("/metrics", "text/plain")):
            async with client.get(path) as response:
                assert (response.status, response.content_type) == (200, kind)


@pytest.mark.parametrize("config", ["text", None, {"server": "x"}, {"server": {"port": "many"}}])
def test_what_is_no_configuration(config: Any) -> None:
    with pytest.raises(ValueError, match=r".+"):
        Settings.of(config)


def test_the_page_needs_nothing_from_elsewhere_and_allows_itself() -> None:
    page = load_page("/kiali")
    assert "@web-root@" not in page.html and 'data-web-root="/kiali"' in page.html
    assert re.findall(r"\b(?:src|href)=\"(?!data:,)", page.html) == []
    assert re.findall(r"https?://(?!www\.w3\.org/2000/svg|httpbin:8000/)", page.html) == []
    assert re.findall(r"<[^>]*\son\w+=", page.html) == []
    for tag in ("style", "script"):
        (content,) = re.findall(rf"<{tag}>(.*)</{tag}>", page.html, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in page.policy
    assert "unsafe" not in page.policy
