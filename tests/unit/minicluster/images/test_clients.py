from __future__ import annotations

import json
from pathlib import Path

import pytest

from meshlab.minicluster.images.busybox.options import UsageError, parse
from meshlab.minicluster.images.busybox.wget import read_options
from meshlab.minicluster.images.dial import PodNetwork, UnknownHost, proxy_for
from meshlab.minicluster.pod import PodContext


@pytest.fixture
def network(tmp_path: Path) -> PodNetwork:
    record = {"ip": "127.77.64.9", "headless": False, "ports": [], "endpoints": [], "hosts": {}, "externalName": ""}
    (tmp_path / "names.json").write_text(json.dumps({"services": {"shop/web": record}, "pods": {}}))
    (tmp_path / "ports.json").write_text('{"80": 20080}')
    return PodNetwork(
        PodContext(
            namespace="shop",
            name="me",
            container="c",
            uid="u",
            service_account="default",
            node_name="meshlab",
            pod_ip="127.77.1.1",
            bind_ip="127.77.129.1",
            app_ip="127.77.129.1",
            proxy_url="",
            api_server="",
            names_file=str(tmp_path / "names.json"),
            ports_file=str(tmp_path / "ports.json"),
            runtime_dir="",
            container_dir="",
        )
    )


def test_names_are_the_pods(network: PodNetwork) -> None:
    assert network.resolve("web") == ["127.77.64.9"]
    assert network.resolve("web.shop.svc.cluster.local") == ["127.77.64.9"]
    assert network.resolve("me") == ["127.77.1.1"]
    assert network.resolve("10.0.0.1") == ["10.0.0.1"]
    with pytest.raises(UnknownHost):
        network.resolve("nosuch")


def test_localhost_and_nominal_ports_have_real_ones_behind_them(network: PodNetwork) -> None:
    (address,) = network.resolve("localhost")
    assert network.real_endpoint(address, 80) == ("127.77.129.1", 20080)
    assert network.real_endpoint("127.77.64.9", 8080) == ("127.77.64.9", 8080)
    assert network.listen_address(80) == ("127.77.129.1", 20080)


@pytest.mark.parametrize(
    ("environment", "host", "scheme", "proxy"),
    [
        ({}, "web", "http", None),
        ({"http_proxy": "http://127.77.1.1:15001"}, "web", "http", ("127.77.1.1", 15001)),
        ({"http_proxy": "http://127.77.1.1:15001"}, "web", "https", None),
        ({"HTTP_PROXY": "http://127.77.1.1:15001"}, "web", "http", None),
        ({"http_proxy": "http://p:1", "no_proxy": "localhost,127.0.0.1"}, "localhost", "http", None),
        ({"http_proxy": "http://p:1", "no_proxy": ".shop"}, "web.shop", "http", None),
        ({"http_proxy": "http://p:1", "no_proxy": "shop"}, "workshop", "http", ("p", 1)),
        ({"http_proxy": "http://p:1", "no_proxy": "*"}, "web", "http", None),
    ],
)
def test_proxies_come_from_the_environment(
    environment: dict[str, str],
    host: str,
    scheme: str,
    proxy: tuple[str, int] | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert proxy_for(host, scheme) == proxy


def test_short_options_may_follow_operands() -> None:
    assert parse("x", ["-ab1", "host", "-c"], "ab:c") == ({"a": [""], "b": ["1"], "c": [""]}, ["host"])
    for bad in (["-z"], ["-b"]):
        with pytest.raises(UsageError):
            parse("x", bad, "ab:c")


def test_wgets_options() -> None:
    request, urls = read_options(["-qO-", "-T", "2", "--header", "A: b", "--spider", "-U", "me", "http://a"])
    assert urls == ["http://a"]
    assert (request.quiet, request.output, request.timeout_s) == (True, "-", 2.0)
    assert (request.headers, request.spider, request.agent) == ([("A", "b")], True, "me")
    assert read_options(["--post-data=x", "a"])[0].body == b"x"
    assert not read_options(["-Y", "off", "a"])[0].use_proxy
