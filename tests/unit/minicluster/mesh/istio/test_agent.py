"""What the proxy agent makes of its command line, and what it writes for Envoy."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from meshlab.minicluster.mesh import proto
from meshlab.minicluster.mesh.envoy.bootstrap import Bootstrap, MoreStats
from meshlab.minicluster.mesh.istio.agent_bootstrap import proxy_bootstrap, write_token
from meshlab.minicluster.mesh.istio.agent_options import (
    InvalidOptions,
    annotated_stats,
    parse,
    parse_downward_labels,
    workload_cluster,
)
from meshlab.minicluster.mesh.istio.agent_status import parse_stats

ARGUMENTS = [
    "sidecar", "--domain", "shop.svc.cluster.local", "--proxyLogLevel=debug", "--proxyComponentLogLevel=misc:error",
    "--log_output_level=default:info",
]  # fmt: skip


def test_the_injected_command_line() -> None:
    environment = {
        "PROXY_CONFIG": '{"discoveryAddress":"istiod-canary.istio-system.svc:15012"}\n',
        "ISTIO_META_WORKLOAD_NAME": "web",
        "PATH": "/bin",
    }
    options = parse(ARGUMENTS, environment, namespace="shop")
    assert (options.role, options.domain, options.log_level) == ("sidecar", "shop.svc.cluster.local", "debug")
    assert (options.discovery_host, options.discovery_port) == ("istiod-canary.istio-system.svc", 15012)
    assert options.metadata == {"WORKLOAD_NAME": "web"}
    assert options.concurrency == 1


def test_defaults() -> None:
    options = parse(["router"], {}, namespace="shop")
    assert options.discovery_address == "istiod.istio-system.svc:15012"
    assert options.domain == "shop.svc.cluster.local"
    assert options.drain_s == 5.0


@pytest.mark.parametrize(
    ("arguments", "environment"),
    [
        (["ztunnel"], {}),
        (["sidecar"], {"PROXY_CONFIG": "{"}),
        (["sidecar"], {"PROXY_CONFIG": '{"discoveryAddress":"istiod"}'}),
        (["sidecar"], {"TERMINATION_DRAIN_DURATION_SECONDS": "soon"}),
    ],
)
def test_what_cannot_be_understood(arguments: list[str], environment: dict[str, str]) -> None:
    with pytest.raises(InvalidOptions):
        parse(arguments, environment, namespace="shop")


def test_the_downward_api_file() -> None:
    text = 'app="web"\nquoted="a \\"b\\""\nempty=""\n'
    assert parse_downward_labels(text) == {"app": "web", "quoted": 'a "b"', "empty": ""}


def test_the_service_cluster() -> None:
    assert workload_cluster({"app": "web"}, "other", "shop") == "web.shop"
    assert workload_cluster({}, "other", "shop") == "other.shop"


def test_stats_without_histograms() -> None:
    text = "server.state: 0\nlistener.127.0.0.1_80.downstream_cx_active: 3\ncluster.a.time: P0(nan,1.0)\n"
    assert parse_stats(text) == {"server.state": 0, "listener.127.0.0.1_80.downstream_cx_active": 3}


def wanted() -> Bootstrap:
    return Bootstrap(
        node_id="sidecar~127.77.1.2~a.b~b.svc.cluster.local", cluster="a.b", pod_ip="127.77.1.2", admin_socket="/x",
        discovery_address="127.77.64.9", discovery_port=15012, discovery_san="istiod.istio-system.svc",
        root_certificate="/root.pem", token="",
    )  # fmt: skip


def test_the_bootstrap_is_valid_and_holds_no_token(tmp_path: Path) -> None:
    built = proxy_bootstrap(wanted(), tmp_path / "token.json")
    assert "Bearer" not in json.dumps(built)
    assert str(tmp_path / "token.json") in json.dumps(built)
    proto.to_message("envoy.config.bootstrap.v3.Bootstrap", built)


def test_the_token_file_is_private_and_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "token.json"
    for token in ("one", "two"):
        write_token(path, token)
        (secret,) = json.loads(path.read_text())["resources"]
        assert secret["generic_secret"]["secret"]["inline_string"] == f"Bearer {token}"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_statistics_that_somebody_asked_for() -> None:
    """By proxyStatsMatcher, or by the older annotations; the circuit-breaking task needs them."""
    config = '{"proxyStatsMatcher":{"inclusionPrefixes":["cluster.outbound"],"inclusionRegexps":["http.*"]}}'
    options = parse(ARGUMENTS, {"PROXY_CONFIG": config}, namespace="shop")
    annotations = {"sidecar.istio.io/statsInclusionSuffixes": "upstream_rq_total, x"}
    stats = annotated_stats(options.more_stats, annotations, "127.0.1.2")
    assert (stats.prefixes, stats.suffixes, stats.expressions) == (
        ("cluster.outbound",),
        ("upstream_rq_total", "x"),
        ("http.*",),
    )


def test_an_annotation_takes_the_place_of_the_configured_list_of_its_kind() -> None:
    stats = annotated_stats(
        MoreStats(("cluster.a",), ("b",), ("c",)),
        {"sidecar.istio.io/statsInclusionPrefixes": "http.{pod_ip}_,listener"},
        "127.0.1.2",
    )
    assert stats == MoreStats(("http.127.0.1.2_", "listener"), ("b",), ("c",))
