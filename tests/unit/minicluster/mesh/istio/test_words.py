"""The small readers: hosts, gateways, protocols, durations, regular expressions."""

from __future__ import annotations

import pytest

from meshlab.minicluster.mesh.hostnames import host_matches, intersect
from meshlab.minicluster.mesh.istio.hosts import resolve_gateway, resolve_host
from meshlab.minicluster.mesh.istio.protocol import port_protocol
from meshlab.minicluster.mesh.istio.reading import exported_to, seconds, usable_regex
from meshlab.minicluster.mesh.model import Protocol


@pytest.mark.parametrize(
    ("name", "full"),
    [
        ("reviews", "reviews.prod.svc.cluster.local"),
        ("Reviews", "reviews.prod.svc.cluster.local"),
        ("reviews.other", "reviews.other"),
        ("reviews.prod.svc.cluster.local.", "reviews.prod.svc.cluster.local"),
        ("*.example.com", "*.example.com"),
        ("*", "*"),
        ("192.0.2.1", "192.0.2.1"),
        ("", ""),
    ],
)
def test_short_hosts_belong_to_the_namespace_of_the_resource(name: str, full: str) -> None:
    assert resolve_host(name, "prod") == full


@pytest.mark.parametrize(
    ("name", "full"),
    [
        ("mesh", "mesh"),
        ("edge", "prod/edge"),
        ("./edge", "prod/edge"),
        ("other/edge", "other/edge"),
        ("edge.other.svc.cluster.local", "other/edge"),
    ],
)
def test_gateway_references(name: str, full: str) -> None:
    assert resolve_gateway(name, "prod") == full


def test_host_patterns() -> None:
    assert host_matches("*.example.com", "a.example.com")
    assert host_matches("*.example.com", "*.b.example.com")
    assert not host_matches("*.example.com", "example.com")
    assert not host_matches("*.b.example.com", "*.example.com")
    assert intersect("*.example.com", "a.example.com") == "a.example.com"
    assert intersect("a.example.com", "*") == "a.example.com"
    assert intersect("a.example.com", "b.example.com") is None


@pytest.mark.parametrize(
    ("port", "name", "app_protocol", "protocol"),
    [
        (80, "http", None, Protocol.HTTP),
        (80, "http-web", None, Protocol.HTTP),
        (80, "http2-web", None, Protocol.HTTP2),
        (80, "grpc", None, Protocol.GRPC),
        (80, "grpc-web", None, Protocol.GRPC_WEB),
        (80, "grpc-web-x", None, Protocol.GRPC_WEB),
        (80, "grpc-website", None, Protocol.GRPC),
        (80, "https-x", None, Protocol.HTTPS),
        (80, "tls", None, Protocol.TLS),
        (80, "tcp-x", None, Protocol.TCP),
        (80, "mysql", None, Protocol.TCP),
        (80, "httpx", None, Protocol.AUTO),
        (80, "", None, Protocol.AUTO),
        (80, "tcp", "http", Protocol.HTTP),
        (80, "tcp", "kubernetes.io/h2c", Protocol.HTTP2),
        (80, "tcp", "example.com/own", Protocol.TCP),
        (3306, "", None, Protocol.TCP),
        (3306, "http", None, Protocol.HTTP),
    ],
)
def test_protocol_by_app_protocol_then_name_then_guess(
    port: int, name: str, app_protocol: str | None, protocol: Protocol
) -> None:
    assert port_protocol(port, name, app_protocol) is protocol


def test_udp_is_udp_whatever_its_name() -> None:
    assert port_protocol(53, "http", None, "UDP") is Protocol.UDP


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1s", 1.0),
        ("0.5s", 0.5),
        ("500ms", 0.5),
        ("1h30m", 5400.0),
        ("2m", 120.0),
        ("0", 0.0),
        ("", None),
        ("1", None),
        ("1 s", None),
        ("s", None),
        (5, None),
        (None, None),
    ],
)
def test_durations(text: object, value: float | None) -> None:
    assert seconds(text) == value


def test_export_to() -> None:
    assert exported_to(None, "a") == {"*"}
    assert exported_to(["."], "a") == {"a"}
    assert exported_to([".", "b"], "a") == {"a", "b"}
    assert exported_to(["~"], "a") == frozenset()


@pytest.mark.parametrize(
    ("pattern", "usable"),
    [
        ("/a/.*", True),
        (r"^(.*?;)?(user=jason)(;.*)?$", True),
        (r"\d+\.\d+", True),
        ("(?i)abc", True),
        ("(?P<n>a)", True),
        (r"a\\1", True),
        ("(a", False),
        ("(?=a)", False),
        ("(?<!a)b", False),
        (r"(a)\1", False),
        ("a++", False),
        ("*", False),
    ],
)
def test_regular_expressions_that_a_proxy_would_refuse(pattern: str, usable: bool) -> None:
    assert usable_regex(pattern) is usable
