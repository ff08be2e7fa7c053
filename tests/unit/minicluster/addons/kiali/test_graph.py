"""From counters over time to Kiali's JSON: the whole pure way, and the rules of the graph on it."""

from __future__ import annotations

from typing import Any

import pytest

from meshlab.minicluster.addons.kiali.cytoscape import Surroundings, format_rate, to_json
from meshlab.minicluster.addons.kiali.options import parse_options
from meshlab.minicluster.addons.kiali.traffic import METRICS, build
from meshlab.minicluster.addons.kiali.window import Window
from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.istio.agent_metrics import standard_labels
from meshlab.minicluster.mesh.telemetry import Peer

NAMESPACES = {"default": 0.0, "shop": 0.0, "empty": 0.0}
NOW = 1000.0
CURL = Peer.of("curl", "default", {"app": "curl"})
WEB1 = Peer.of("web-v1", "default", {"app": "web", "version": "v1"})
WEB2 = Peer.of("web-v2", "default", {"app": "web", "version": "v2"})
DB = Peer.of("db", "shop", {"app": "db", "version": "v1"})
NOBODY = Peer()
WEB = "web.default.svc.cluster.local;web;default"


class Cluster:
    """What proxies counted in the last minute."""

    def __init__(self) -> None:
        self.window = Window(600)
        self.around = Surroundings()
        self._pages = 0

    def count(self, metric: str, labels: dict[str, str], value: float) -> None:
        self._pages += 1
        series = ",".join(f'{key}="{text}"' for key, text in labels.items())
        self.window.record(f"proxy-{self._pages}", {f"{metric}{{{series}}}": value}, NOW - 10, from_zero=True)

    def requests(
        self,
        source: Peer,
        target: Peer,
        number: float,
        *,
        code: str = "200",
        flags: str = "-",
        service: str = WEB,
        mtls: bool = True,
        grpc: str = "",
        metric: str = "istio_requests_total",
        **more: str,
    ) -> None:
        """Both proxies' counts, as far as there are proxies."""
        tags = {"response_code": code, "response_flags": flags, "grpc_response_status": grpc, "service": service}
        secured = mtls and source != NOBODY and target != NOBODY
        principals = [
            f"spiffe://cluster.local/ns/{p.namespace}/sa/{p.app}" if secured else "" for p in (source, target)
        ]
        tcp = metric.startswith("istio_tcp")
        if source != NOBODY:
            mine = {"reporter": "source", "peer": target.encode() if target != NOBODY else ""}
            mine |= {"own_principal": principals[0], "peer_principal": principals[1]}
            self.count(metric, standard_labels({**tags, **mine}, source, tcp=tcp) | more, number)
        if target != NOBODY:
            mine = {"reporter": "destination", "peer": source.encode() if source != NOBODY else ""}
            mine |= {"own_principal": principals[1], "peer_principal": principals[0]}
            self.count(metric, standard_labels({**tags, **mine}, target, tcp=tcp) | more, number)

    def graph(self, namespaces: str = "default", **query: str) -> Graph:
        options = parse_options({"namespaces": namespaces, "duration": "60s", **query}, NAMESPACES, NOW)
        start = NOW - options.duration_s
        rates = {
            name: [(labels, grown / 60) for labels, grown in self.window.increases(name, start, NOW)]
            for name in METRICS
        }
        return Graph(to_json(build(rates, options, NAMESPACES), options, self.around))


class Graph:
    """An answer, by names."""

    def __init__(self, body: Obj) -> None:
        self.body = body
        self.nodes = {self._name(node["data"]): node["data"] for node in body["elements"]["nodes"]}
        by_id = {node["id"]: name for name, node in self.nodes.items()}
        self.edges = {
            (by_id[e["data"]["source"]], by_id[e["data"]["target"]]): e["data"] for e in body["elements"]["edges"]
        }

    @staticmethod
    def _name(node: Obj) -> str:
        name = str(node.get("workload") or node.get("service") or node.get("app") or node["namespace"])
        return f"{node['nodeType']} {name}" if node["nodeType"] in ("service", "box") else name


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


def test_an_edge_between_workloads_of_the_mesh(cluster: Cluster) -> None:
    cluster.requests(CURL, WEB1, 90)
    cluster.requests(CURL, WEB1, 30, code="503", flags="UF")

    graph = cluster.graph()

    assert (graph.body["duration"], graph.body["graphType"], graph.body["timestamp"]) == (60, "workload", 1000)
    assert graph.edges.keys() == {("curl", "web-v1")}
    edge = graph.edges["curl", "web-v1"]
    assert edge["traffic"] == {
        "protocol": "http",
        "rates": {"http": "2.00", "http5xx": "0.50", "httpPercentErr": "25.0", "httpPercentReq": "100.0"},
        "responses": {
            "200": {"flags": {"-": "75.0"}, "hosts": {"web.default.svc.cluster.local": "75.0"}},
            "503": {"flags": {"UF": "25.0"}, "hosts": {"web.default.svc.cluster.local": "25.0"}},
        },
    }
    assert edge["isMTLS"] == "100"
    assert edge["sourcePrincipal"] == "spiffe://cluster.local/ns/default/sa/curl"
    assert edge["destPrincipal"] == "spiffe://cluster.local/ns/default/sa/web"
    node = graph.nodes["web-v1"]
    assert (node["nodeType"], node["namespace"], node["app"], node["version"]) == ("workload", "default", "web", "v1")
    assert node["destServices"] == [{"cluster": "Kubernetes", "namespace": "default", "name": "web"}]
    assert node["traffic"] == [{"protocol": "http", "rates": {"httpIn": "2.00", "httpIn5xx": "0.50"}}]
    assert graph.nodes["curl"]["isRoot"] is True
    assert "isRoot" not in node and "isOutside" not in node


def test_a_caller_without_sidecar_is_unknown_and_not_secured(cluster: Cluster) -> None:
    cluster.requests(NOBODY, WEB1, 60)

    graph = cluster.graph()

    unknown = graph.nodes["unknown"]
    assert (unknown["nodeType"], unknown["namespace"]) == ("unknown", "unknown")
    assert unknown["isRoot"] and unknown["isInaccessible"]
    edge = graph.edges["unknown", "web-v1"]
    assert edge["traffic"]["rates"]["http"] == "1.00"
    assert "isMTLS" not in edge


def test_a_share_of_an_edge_is_secured(cluster: Cluster) -> None:
    cluster.requests(CURL, WEB1, 30)
    cluster.requests(CURL, WEB1, 10, mtls=False)

    edge = cluster.graph().edges["curl", "web-v1"]

    assert edge["isMTLS"] == "75"
    assert edge["sourcePrincipal"].startswith("spiffe://")


def test_requests_that_reach_nobody_end_at_the_service(cluster: Cluster) -> None:
    cluster.requests(CURL, NOBODY, 6, code="503", flags="UH")
    cluster.requests(CURL, NOBODY, 6, code="503", flags="NC", service="web:80")

    graph = cluster.graph()

    reached = graph.edges["curl", "service web"]
    assert reached["traffic"]["responses"]["503"]["flags"] == {"UH": "100.0"}
    assert graph.nodes["service web"]["nodeType"] == "service"
    assert graph.edges["curl", "service web:80"]["traffic"]["rates"]["httpPercentErr"] == "100.0"


def test_only_what_touches_the_namespaces(cluster: Cluster) -> None:
    cluster.requests(CURL, WEB1, 60)
    cluster.requests(WEB1, DB, 60, service="db.shop.svc.cluster.local;db;shop")

    shop = cluster.graph("shop")

    assert shop.edges.keys() == {("web-v1", "db")}
    assert shop.nodes["web-v1"]["isOutside"] is True
    assert "isOutside" not in shop.nodes["db"]
    assert cluster.graph("default,shop").edges.keys() == {("curl", "web-v1"), ("web-v1", "db")}
    assert cluster.graph("empty").body["elements"] == {"nodes": [], "edges": []}


def test_apps_and_their_boxes(cluster: Cluster) -> None:
    cluster.requests(CURL, WEB1, 60)
    cluster.requests(CURL, WEB2, 60)

    by_version, by_app = cluster.graph(graphType="versionedApp"), cluster.graph(graphType="app")

    box = by_version.nodes["box web"]
    assert (box["isBox"], box["app"]) == ("app", "web")
    assert {by_version.nodes[name]["parent"] for name in ("web-v1", "web-v2")} == {box["id"]}
    assert by_version.body["elements"]["nodes"][0]["data"]["nodeType"] == "box"
    assert by_app.edges.keys() == {("curl", "web")}
    assert by_app.edges["curl", "web"]["traffic"]["rates"]["http"] == "2.00"


def test_services_in_between_and_alone(cluster: Cluster) -> None:
    cluster.requests(CURL, WEB1, 60)
    cluster.requests(WEB1, DB, 30, service="db.shop.svc.cluster.local;db;shop")

    between, alone = cluster.graph(injectServiceNodes="true"), cluster.graph("default,shop", graphType="service")

    assert between.edges.keys() == {
        ("curl", "service web"),
        ("service web", "web-v1"),
        ("web-v1", "service db"),
        ("service db", "db"),
    }
    assert between.edges["curl", "service web"]["isMTLS"] == "100"
    assert alone.edges.keys() == {("curl", "service web"), ("service web", "service db")}
    assert alone.edges["service web", "service db"]["traffic"]["rates"]["http"] == "0.50"
    assert alone.edges["service web", "service db"]["isMTLS"] == "100"


def test_idle_edges_only_when_asked_for(cluster: Cluster) -> None:
    cluster.requests(CURL, WEB1, 60)

    assert cluster.graph(duration="5s").edges == {}
    idle = cluster.graph(duration="5s", includeIdleEdges="true")
    assert idle.edges["curl", "web-v1"]["traffic"] == {"protocol": "http"}


def test_grpc_shows_its_own_codes(cluster: Cluster) -> None:
    cluster.requests(CURL, WEB1, 45, grpc="0")
    cluster.requests(CURL, WEB1, 15, grpc="14")

    traffic = cluster.graph().edges["curl", "web-v1"]["traffic"]

    assert traffic["rates"]["grpcErr"] == "0.25"
    assert traffic["responses"].keys() == {"0", "14"}
    assert cluster.graph(rateGrpc="none").edges == {}


def test_connections_by_bytes(cluster: Cluster) -> None:
    cluster.requests(CURL, WEB1, 600, metric="istio_tcp_sent_bytes_total")
    cluster.requests(CURL, WEB1, 300, metric="istio_tcp_received_bytes_total")

    edge = cluster.graph().edges["curl", "web-v1"]
    assert edge["traffic"]["rates"] == {"tcp": "10.00"}
    assert edge["traffic"]["responses"].keys() == {"-"}
    assert edge["isMTLS"] == "100"
    assert cluster.graph(rateTcp="total").edges["curl", "web-v1"]["traffic"]["rates"] == {"tcp": "15.00"}
    assert cluster.graph(rateTcp="none").edges == {}


def test_a_client_known_by_its_certificate_only_is_left_to_its_own_proxy(cluster: Cluster) -> None:
    tags = {"reporter": "destination", "peer_principal": "spiffe://cluster.local/ns/default/sa/curl"}
    cluster.count("istio_tcp_sent_bytes_total", standard_labels({**tags, "service": WEB}, WEB1, tcp=True), 60)

    assert cluster.graph().edges == {}


def test_a_series_without_the_labels_of_an_edge_is_left_out(cluster: Cluster) -> None:
    """A Telemetry may remove labels; one that only tells how an edge is secured is not missed."""
    labels = standard_labels({"reporter": "source", "peer": WEB1.encode(), "service": WEB}, CURL)
    cluster.count("istio_requests_total", {k: v for k, v in labels.items() if k != "destination_workload"}, 60)
    assert cluster.graph().body["elements"]["edges"] == []
    cluster.count("istio_requests_total", {k: v for k, v in labels.items() if "principal" not in k}, 60)
    assert len(cluster.graph().body["elements"]["edges"]) == 1


def test_response_times_and_throughput(cluster: Cluster) -> None:
    cluster.requests(CURL, WEB1, 100)
    for bound, number in (("5", 50), ("10", 100), ("+Inf", 100)):
        cluster.requests(CURL, WEB1, number, metric="istio_request_duration_milliseconds_bucket", le=bound)
    cluster.requests(CURL, WEB1, 400, metric="istio_request_duration_milliseconds_sum")
    cluster.requests(CURL, WEB1, 100, metric="istio_request_duration_milliseconds_count")
    cluster.requests(CURL, WEB1, 6000, metric="istio_response_bytes_sum")

    edge = cluster.graph().edges["curl", "web-v1"]

    assert (edge["responseTime"], edge["throughput"]) == ("10", "100")
    assert cluster.graph(responseTime="50").edges["curl", "web-v1"]["responseTime"] == "5"
    assert cluster.graph(responseTime="avg").edges["curl", "web-v1"]["responseTime"] == "4"
    bare = cluster.graph(appenders="").edges["curl", "web-v1"]
    assert not {"responseTime", "throughput", "isMTLS", "sourcePrincipal"} & bare.keys()


def test_what_pods_tell_of_their_workloads(cluster: Cluster) -> None:
    gateway = Peer.of("ingress", "default", {"app": "ingress"})
    cluster.requests(gateway, WEB1, 60)
    cluster.requests(WEB1, Peer.of("old", "default", {}), 60, service="old.default.svc.cluster.local;old;default")
    cluster.around = Surroundings(frozenset({("default", "old")}), {("default", "ingress"): "ingress"})

    nodes = cluster.graph().nodes

    assert nodes["old"]["isOutOfMesh"] is True
    assert nodes["ingress"]["isGateway"] == {"ingressInfo": {}}
    assert "isOutOfMesh" not in nodes["web-v1"]


def test_traffic_to_hosts_outside(cluster: Cluster) -> None:
    labels: dict[str, Any] = standard_labels(
        {"reporter": "source", "service": "example.com", "via": "PassthroughCluster", "response_code": "200"}, CURL
    )
    cluster.count("istio_requests_total", labels, 60)

    node = cluster.graph().nodes["service PassthroughCluster"]

    assert (node["namespace"], node["isInaccessible"]) == ("unknown", True)


def test_boxes_by_namespace(cluster: Cluster) -> None:
    cluster.requests(CURL, WEB1, 60)
    cluster.requests(CURL, DB, 60, service="db.shop.svc.cluster.local;db;shop")
    cluster.requests(WEB1, DB, 60, service="db.shop.svc.cluster.local;db;shop")

    graph = cluster.graph("default,shop", boxBy="namespace")

    assert graph.nodes["box default"]["isBox"] == "namespace"
    assert graph.nodes["curl"]["parent"] == graph.nodes["web-v1"]["parent"] == graph.nodes["box default"]["id"]


@pytest.mark.parametrize(
    ("value", "text"), [(2, "2.00"), (0.5, "0.50"), (0.05, "0.05"), (0.0042, "0.004"), (1e-9, "0.00000"), (0, "0.00")]
)
def test_rates_show_a_significant_digit(value: float, text: str) -> None:
    assert format_rate(value) == text
