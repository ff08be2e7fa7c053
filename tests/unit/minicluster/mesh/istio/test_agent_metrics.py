"""Envoy's counters under the names and labels of Istio's standard metrics."""

from __future__ import annotations

from meshlab.minicluster.mesh.istio.agent_metrics import changed_labels, standard_labels, standard_metrics
from meshlab.minicluster.mesh.telemetry import Peer

OWN = Peer.of("web", "shop", {"app": "web", "version": "v1"})
OTHER = Peer.of("db", "data", {"app": "db", "version": "v2"})
SOURCE = {
    "reporter": "source",
    "peer": OTHER.encode(),
    "peer_principal": "spiffe://cluster.local/ns/data/sa/db",
    "own_principal": "spiffe://cluster.local/ns/shop/sa/web",
    "service": "db.data.svc.cluster.local;db;data",
    "response_code": "200",
    "response_flags": "-",
    "grpc_response_status": "",
}
DESTINATION = {**SOURCE, "reporter": "destination", "service": "web.shop.svc.cluster.local;web;shop"}


def tags(labels: dict[str, str]) -> str:
    return ",".join(f'{key}="{value}"' for key, value in labels.items())


def test_the_source_reports_itself_as_the_source() -> None:
    found = standard_labels(SOURCE, OWN)
    assert (found["source_workload"], found["destination_workload"]) == ("web", "db")
    assert found["source_principal"].endswith("/sa/web")
    assert found["destination_principal"].endswith("/sa/db")
    assert (found["destination_service_name"], found["destination_service_namespace"]) == ("db", "data")
    assert found["connection_security_policy"] == "unknown"


def test_the_destination_sees_how_the_connection_is_secured() -> None:
    secured = standard_labels(DESTINATION, OWN)
    plain = standard_labels({**DESTINATION, "peer_principal": "", "own_principal": ""}, OWN)
    assert (secured["source_workload"], secured["destination_workload"]) == ("db", "web")
    assert secured["connection_security_policy"] == "mutual_tls"
    assert plain["connection_security_policy"] == "none"


def test_a_certificate_outdoes_what_a_peer_says_of_its_namespace() -> None:
    lied = {**DESTINATION, "peer": Peer.of("db", "elsewhere", {}).encode()}
    assert standard_labels(lied, OWN)["source_workload_namespace"] == "data"


def test_who_is_not_known_is_unknown() -> None:
    found = standard_labels({**DESTINATION, "peer": "", "peer_principal": "", "service": ""}, OWN)
    assert {found[f"source_{name}"] for name in ("workload", "app", "version", "cluster", "principal")} == {"unknown"}
    assert found["source_canonical_revision"] == "latest"
    assert (found["destination_service"], found["destination_service_namespace"]) == ("web", "shop")


def test_without_a_cluster_the_host_stands_for_the_service() -> None:
    lost = {**SOURCE, "peer": "", "peer_principal": "", "service": "db.data:80", "response_code": "503"}
    found = standard_labels(lost, OWN)
    assert found["destination_service"] == found["destination_service_name"] == "db.data:80"
    assert found["destination_service_namespace"] == "unknown"
    passed = standard_labels({**lost, "via": "PassthroughCluster"}, OWN)
    assert (passed["destination_service"], passed["destination_service_name"]) == ("db.data:80", "PassthroughCluster")


def test_protocols() -> None:
    assert standard_labels(SOURCE, OWN)["request_protocol"] == "http"
    assert standard_labels({**SOURCE, "grpc_response_status": "0"}, OWN)["request_protocol"] == "grpc"
    tcp = standard_labels(SOURCE, OWN, tcp=True)
    assert tcp["request_protocol"] == "tcp"
    assert not {"response_code", "grpc_response_status"} & tcp.keys()


def test_a_page_keeps_what_is_not_istios() -> None:
    page = "\n".join(
        (
            "# TYPE envoy_cluster_upstream_rq counter",
            'envoy_cluster_upstream_rq{envoy_cluster_name="istio_x"} 3',
            "# TYPE envoy_istio_requests_total counter",
            f"envoy_istio_requests_total{{{tags(SOURCE)}}} 7",
            "# TYPE envoy_istio_request_bytes histogram",
            f'envoy_istio_request_bytes_bucket{{{tags(SOURCE)},le="0.5"}} 1',
            "",
        )
    )
    lines = standard_metrics(page, OWN).splitlines()
    assert lines[:2] == page.splitlines()[:2]
    assert lines[2] == "# TYPE istio_requests_total counter"
    assert lines[3].startswith('istio_requests_total{reporter="source",source_workload="web",')
    assert lines[3].endswith('connection_security_policy="unknown"} 7')
    assert lines[5].startswith('istio_request_bytes_bucket{reporter="source"')
    assert lines[5].endswith(',le="0.5"} 1')


def test_a_host_with_quotes_stays_one_label() -> None:
    page = f"envoy_istio_requests_total{{{tags({**SOURCE, 'service': chr(92) + chr(34) + '}'})}}} 1\n"
    (line,) = standard_metrics(page, OWN).splitlines()
    assert 'destination_service="\\"}"' in line
    assert line.endswith("} 1")


def page(*series: dict[str, str]) -> str:
    lines = [f"envoy_istio_requests_total{{{tags(found)}}} {number}\n" for number, found in enumerate(series, 1)]
    return "".join(["# TYPE envoy_istio_requests_total counter\n", *lines, "# TYPE other gauge\nother{} 1\n"])


def test_series_that_a_removed_label_told_apart_are_one() -> None:
    removed = {"without": "response_code;no_label"}
    text = standard_metrics(page(SOURCE | removed, SOURCE | removed | {"response_code": "404"}, SOURCE), OWN)
    first, second = (line for line in text.splitlines() if line.startswith("istio_requests_total{"))
    assert first.endswith("} 3")
    assert "response_code" not in first
    assert second.endswith("} 3")
    assert 'response_code="200"' in second
    assert text.endswith("# TYPE other gauge\nother{} 1\n")


def test_added_up_values_stay_exact() -> None:
    removed = {**SOURCE, "without": "response_code"}
    lines = [
        f"envoy_istio_request_bytes_sum{{{tags(removed | {'response_code': code})}}} {value}\n"
        for code, value in (("200", "0.5"), ("404", "9007199254740993"), ("500", "1e3"))
    ]
    assert standard_metrics("".join(lines), OWN).rpartition(" ")[2] == f"{0.5 + 9007199254740993 + 1000}\n"
    whole = standard_metrics("".join(lines[1:2] * 2), OWN)
    assert whole.endswith(" 18014398509481986\n")


def test_labels_of_ones_own_stand_behind_the_others_or_in_their_place() -> None:
    given = {
        **SOURCE,
        "tag_z": "1",
        "tag_a": "",
        "tag_to": "at @{peer.app}, @{peer.nothing}",
        "tag_response_code": "mine",
    }
    found = changed_labels(standard_labels(given, OWN), given)
    assert list(found)[-3:] == ["a", "to", "z"]
    assert (found["a"], found["to"], found["z"], found["response_code"]) == ("unknown", "at db, unknown", "1", "mine")
    assert list(found).index("response_code") == list(standard_labels(given, OWN)).index("response_code")


def test_braces_in_a_value_do_not_end_the_labels() -> None:
    text = standard_metrics(page(SOURCE | {"tag_who": 'a } 1 \\"b\\" {c'}), OWN)
    assert 'who="a } 1 \\"b\\" {c"} 1\n' in text
