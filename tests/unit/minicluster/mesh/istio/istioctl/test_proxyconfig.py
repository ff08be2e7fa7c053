"""``proxy-config`` from a dump in Envoy's own shape."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.istio.istioctl import main
from meshlab.minicluster.mesh.istio.istioctl.errors import CommandError
from meshlab.minicluster.mesh.istio.istioctl.proxyconfig import tables
from meshlab.minicluster.mesh.istio.istioctl.proxyconfig.command import log_paths
from meshlab.minicluster.mesh.istio.istioctl.proxyconfig.dump import ConfigDump
from meshlab.minicluster.mesh.istio.istioctl.proxyconfig.output import camel

PREFIX = "type.googleapis.com/envoy.admin.v3."
HOST = "myapp.default.svc.cluster.local"
FROM_VS = {
    "filter_metadata": {
        "istio": {"config": "/apis/networking.istio.io/v1alpha3/namespaces/default/virtual-service/myapp"}
    }
}
FROM_DR = {
    "filter_metadata": {"istio": {"config": "/apis/networking.istio.io/v1/namespaces/default/destination-rule/dr"}}
}


def address(host: str, port: int) -> Obj:
    return {"socket_address": {"address": host, "port_value": port}}


def http_chain(config: Obj, match: Obj | None = None) -> Obj:
    return {
        **({"filter_chain_match": match} if match else {}),
        "filters": [{"name": tables.HTTP_FILTER, "typed_config": {"@type": "x", **config}}],
    }


def pem(*, authority: bool) -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "x")])
    start = datetime(2025, 1, 1, tzinfo=UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(0xABC).not_valid_before(start).not_valid_after(start + timedelta(days=365))
    if authority:
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def dump() -> Obj:
    import base64

    clusters = [
        {"name": f"outbound|80|v1|{HOST}", "type": "EDS", "metadata": FROM_DR, "connect_timeout": "10s"},
        {"name": f"outbound|80||{HOST}", "type": "EDS"},
    ]
    certificate = base64.b64encode(pem(authority=False)).decode()
    everything = {"domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "inbound|8080||"}}]}
    mutual_tls = {
        "transport_protocol": "tls",
        "application_protocols": ["istio-peer-exchange", "istio"],
        "destination_port": 8080,
    }
    passthrough = {"name": tables.TCP_FILTER, "typed_config": {"cluster": "InboundPassthroughCluster"}}
    root = {"validation_context": {"trusted_ca": {"inline_string": pem(authority=True).decode()}}}
    catch_all = {
        "name": "http_proxy",
        "virtual_hosts": [
            {
                "name": f"{HOST}:80",
                "domains": [HOST, f"{HOST}.", "myapp", "myapp.default.svc", "myapp.default", "10.0.0.1"],
                "routes": [
                    {"match": {"prefix": "/"}, "route": {"weighted_clusters": {"clusters": []}}, "metadata": FROM_VS},
                    {"match": {"safe_regex": {"regex": "/a.*"}}, "route": {"cluster": "x"}},
                ],
            },
            {"name": "empty", "domains": ["*"], "routes": []},
            {
                "name": "allow_any",
                "domains": ["*"],
                "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "PassthroughCluster"}}],
            },
        ],
    }
    listeners = [
        {
            "name": "http_proxy",
            "address": address("127.77.1.5", 15001),
            "filter_chains": [http_chain({"rds": {"route_config_name": "http_proxy"}})],
        },
        {
            "name": "inbound",
            "address": address("127.77.1.5", 8080),
            "filter_chains": [
                http_chain({"route_config": {"virtual_hosts": [everything]}}, mutual_tls)
            ],
            "default_filter_chain": {"filters": [passthrough]},
        },
    ]  # fmt: skip
    return {
        "configs": [
            {"@type": PREFIX + "BootstrapConfigDump", "bootstrap": {"node": {"id": "n"}, "static_resources": {}}},
            {
                "@type": PREFIX + "ClustersConfigDump",
                "static_clusters": [{"cluster": {"name": "xds-grpc", "type": "STATIC"}}],
                "dynamic_active_clusters": [{"version_info": "1", "cluster": cluster} for cluster in clusters],
            },
            {
                "@type": PREFIX + "ListenersConfigDump",
                "dynamic_listeners": [{"name": item["name"], "active_state": {"listener": item}} for item in listeners],
            },
            {"@type": PREFIX + "RoutesConfigDump", "dynamic_route_configs": [{"route_config": catch_all}]},
            {
                "@type": PREFIX + "SecretsConfigDump",
                "dynamic_active_secrets": [
                    {
                        "name": "default",
                        "version_info": "1",
                        "secret": {"tls_certificate": {"certificate_chain": {"inline_bytes": certificate}}},
                    },
                    {"name": "ROOTCA", "secret": root},
                    {"name": "late", "version_info": "uninitialized", "secret": {"name": "late"}},
                ],
            },
        ]
    }  # fmt: skip


@pytest.fixture
def parsed() -> ConfigDump:
    return ConfigDump.parse(dump())


def test_clusters(parsed: ConfigDump) -> None:
    assert tables.clusters(parsed.clusters())[1:] == [
        [HOST, "80", "-", "outbound", "EDS", ""],
        [HOST, "80", "v1", "outbound", "EDS", "dr.default"],
        ["xds-grpc", "-", "-", "-", "STATIC", ""],
    ]
    chosen = tables.Filters(fqdn="myapp", subset="v1", port=80, direction="outbound")
    assert [item["name"] for item in parsed.clusters() if chosen.cluster_matches(item)] == [f"outbound|80|v1|{HOST}"]


def test_listeners(parsed: ConfigDump) -> None:
    assert tables.listeners(parsed.listeners(), verbose=True)[1:] == [
        ["127.77.1.5", "8080", "ALL", "InboundPassthroughCluster"],
        ["127.77.1.5", "8080", "Trans: tls; App: TCP TLS; Addr: *:8080", "Cluster: inbound|8080||"],
        ["127.77.1.5", "15001", "ALL", "Route: http_proxy"],
    ]
    assert [row[2] for row in tables.listeners(parsed.listeners(), verbose=False)] == ["TYPE", "HTTP+TCP", "HTTP"]


def test_routes(parsed: ConfigDump) -> None:
    shown = "myapp, 10.0.0.1"
    assert tables.routes(parsed.routes(), verbose=True)[1:] == [
        ["http_proxy", f"{HOST}:80", "myapp, 10.0.0.1 + 1 more...", "/*", "myapp.default"],
        ["http_proxy", f"{HOST}:80", "myapp, 10.0.0.1 + 1 more...", "regex /a.*", ""],
        ["http_proxy", "empty", "*", "/*", "404"],
    ]
    assert tables.domains(["myapp", "10.0.0.1"]) == shown
    assert tables.domains(["myapp.default:443", "myapp:443"]) == "myapp:443, myapp.default:443"
    assert tables.route_match({"connect_matcher": {}}) == "CONNECT"
    assert tables.routes(parsed.routes(), verbose=False)[1] == ["http_proxy", "3"]


def test_secrets(parsed: ConfigDump) -> None:
    now = datetime(2025, 6, 1, tzinfo=UTC)
    assert tables.secrets(parsed.secrets(), now)[1:] == [
        ["default", "Cert Chain", "ACTIVE", "true", "abc", "2026-01-01T00:00:00Z", "2025-01-01T00:00:00Z"],
        ["ROOTCA", "CA", "ACTIVE", "true", "abc", "2026-01-01T00:00:00Z", "2025-01-01T00:00:00Z"],
        ["late", "", "UNINITIALIZED", "false", "", "", ""],
    ]


def test_endpoints() -> None:
    statuses = [
        {
            "name": f"outbound|80||{HOST}",
            "host_statuses": [
                {"address": address("127.77.1.7", 5678), "health_status": {"eds_health_status": "HEALTHY"}},
                {
                    "address": address("127.77.1.6", 5678),
                    "health_status": {"eds_health_status": "UNHEALTHY", "failed_outlier_check": True},
                },
            ],
        },
        {"name": "sds", "host_statuses": [{"address": {"pipe": {"path": "/x"}}, "health_status": {}}]},
    ]
    items = tables.endpoints(statuses)
    assert tables.endpoint_rows(items)[1:] == [
        ["127.77.1.6:5678", "UNHEALTHY", "FAILED", f"outbound|80||{HOST}"],
        ["127.77.1.7:5678", "HEALTHY", "OK", f"outbound|80||{HOST}"],
        ["unix:///x", "UNKNOWN", "OK", "sds"],
    ]
    chosen = tables.Filters(status="healthy", port=5678)
    assert [item.address for item in items if chosen.endpoint_matches(item)] == ["127.77.1.7"]


def test_names_become_camel_case_but_data_stays() -> None:
    value = {
        "virtual_hosts": [{"typed_per_filter_config": {"envoy.filters.http.local_ratelimit": {"stat_prefix": "a"}}}],
        "metadata": {"filter_metadata": {"istio": {"my_key": 1}}},
        "config": {"@type": "type.googleapis.com/google.protobuf.Struct", "value": {"a_b": 1}},
    }
    assert camel(value) == {
        "virtualHosts": [{"typedPerFilterConfig": {"envoy.filters.http.local_ratelimit": {"statPrefix": "a"}}}],
        "metadata": {"filterMetadata": {"istio": {"my_key": 1}}},
        "config": {"@type": "type.googleapis.com/google.protobuf.Struct", "value": {"a_b": 1}},
    }


@pytest.mark.parametrize("kind", ["cluster", "listeners", "r", "secret", "all", "bootstrap"])
def test_from_a_file(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "dump.json"
    path.write_text(json.dumps(dump()))
    assert main(["proxy-config", kind, "--file", str(path)]) == 0
    table = capsys.readouterr().out
    assert main(["pc", kind, "-f", str(path), "-o", "json"]) == 0
    parsed: Any = json.loads(capsys.readouterr().out)
    assert parsed
    assert main(["pc", kind, "-f", str(path), "-o", "yaml"]) == 0
    if kind == "cluster":
        assert table.splitlines()[0].split("     ")[0] == "SERVICE FQDN"
        assert parsed[0]["name"].startswith("outbound|80")
        assert "connectTimeout" in parsed[1]
    if kind == "all":
        assert table.count("RESOURCE NAME") == 1
        assert table.count("VHOST NAME") == 1


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["pc"], 64, "needs to know what to show"),
        (["pc", "clusterz"], 64, 'unknown command "clusterz"'),
        (["pc", "ecds", "a"], 1, "no proxy-config ecds"),
        (["pc", "cluster"], 64, "requires pod name or --file"),
        (["pc", "cluster", "-f", "/nowhere"], 1, "could not read /nowhere"),
    ],
)
def test_wrong_usage(arguments: list[str], code: int, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == code
    assert words in capsys.readouterr().err


def test_a_file_that_is_no_dump(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "f"
    path.write_text("{}")
    assert main(["pc", "route", "-f", str(path)]) == 1
    assert "not an Envoy config_dump" in capsys.readouterr().err


def test_log_levels() -> None:
    assert log_paths("debug") == ["logging?level=debug"]
    assert log_paths("http:debug,rbac:trace") == ["logging?http=debug", "logging?rbac=trace"]
    with pytest.raises(CommandError, match="unrecognized logging level"):
        log_paths("loud")
