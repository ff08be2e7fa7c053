"""The traffic graph: nodes and edges out of the rates of Istio's standard metrics, by Kiali's rules.

Traffic between workloads of the mesh is told by the source; of callers outside the mesh (``unknown``) only the
destination can tell. How an edge is secured is told by the destination, which alone sees the client's certificate.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

from meshlab.minicluster.addons.kiali.nodes import UNKNOWN, Edge, Identity, Node, TrafficMap, identify, is_known
from meshlab.minicluster.addons.kiali.options import GraphOptions, GraphType
from meshlab.minicluster.addons.kiali.quantiles import Buckets, quantile
from meshlab.minicluster.addons.kiali.servicegraph import services_only

REQUESTS = "istio_requests_total"
DURATION_BUCKETS = "istio_request_duration_milliseconds_bucket"
DURATION_SUM = "istio_request_duration_milliseconds_sum"
DURATION_COUNT = "istio_request_duration_milliseconds_count"
RESPONSE_BYTES = "istio_response_bytes_sum"
TCP_SENT = "istio_tcp_sent_bytes_total"
TCP_RECEIVED = "istio_tcp_received_bytes_total"
METRICS = (REQUESTS, DURATION_BUCKETS, DURATION_SUM, DURATION_COUNT, RESPONSE_BYTES, TCP_SENT, TCP_RECEIVED)
EGRESS_CLUSTERS = ("PassthroughCluster", "BlackHoleCluster")

EXPECTED = frozenset(
    [
        *(f"{side}_{what}" for side in ("source", "destination") for what in ("cluster", "workload")),
        *(f"{side}_workload_namespace" for side in ("source", "destination")),
        *(f"{side}_canonical_{what}" for side in ("source", "destination") for what in ("service", "revision")),
        *("reporter", "destination_service", "destination_service_name", "destination_service_namespace"),
    ]
)
"""Labels without which a series belongs to no edge: a Telemetry may take any away."""

Labels = Mapping[str, str]
Rates = Mapping[str, Iterable[tuple[Labels, float]]]
"""Per metric: labels, and how much a second."""


def build(rates: Rates, options: GraphOptions, accessible: Iterable[str]) -> TrafficMap:
    """The traffic map for a request.

    Args:
        rates: of the `METRICS`.
        options: the request.
        accessible: the namespaces there are.
    """
    rates = {
        metric: [(labels, value) for labels, value in series if labels.keys() >= EXPECTED]
        for metric, series in rates.items()
    }
    builder = _Builder(options)
    for labels, value in rates.get(REQUESTS, ()):
        protocol = labels.get("request_protocol", "")
        if {"http": options.rate_http, "grpc": options.rate_grpc}.get(protocol) == "requests":
            builder.add(labels, protocol, value)
    for metric, wanted in ((TCP_SENT, ("sent", "total")), (TCP_RECEIVED, ("received", "total"))):
        if options.rate_tcp in wanted:
            for labels, value in rates.get(metric, ()):
                builder.add(labels, "tcp", value)
    if "securityPolicy" in options.appenders:
        builder.secure(rates)
    if "responseTime" in options.appenders:
        builder.time(rates)
    if "throughput" in options.appenders:
        builder.weigh(rates)
    _mark(builder.nodes, options, set(accessible))
    return services_only(builder.nodes) if options.graph_type is GraphType.SERVICE else builder.nodes


class _Builder:
    def __init__(self, options: GraphOptions) -> None:
        self._options = options
        self.nodes: TrafficMap = {}

    def add(self, labels: Labels, protocol: str, value: float) -> None:
        """Add a series to the nodes and edges it belongs to, if it belongs to the graph."""
        if not self._belongs(labels) or (value <= 0 and not self._options.idle_edges):
            return
        code, flags, host = _code(labels, protocol), labels.get("response_flags", "-"), labels["destination_service"]
        for source, target in self._hops(labels):
            origin, goal = self._node(source), self._node(target)
            if is_known(labels["destination_service_name"]):
                goal.services.add(
                    (goal.identity.cluster, labels["destination_service_namespace"], labels["destination_service_name"])
                )
            edge = origin.edges.setdefault((target.key, protocol), Edge(origin, goal, protocol))
            if value <= 0:
                continue
            origin.rates[f"{protocol}Out"] += value
            goal.rates[f"{protocol}In"] += value
            edge.rates[protocol] += value
            edge.flags[code][flags] += value
            edge.hosts[code][host] += value
            kind = _kind(protocol, code)
            if kind:
                goal.rates[f"{protocol}In{kind}"] += value
                edge.rates[f"{protocol}{kind}"] += value

    def secure(self, rates: Rates) -> None:
        """How the edges are secured, as the destinations tell."""
        for metric in (REQUESTS, TCP_SENT):
            for labels, value in rates.get(metric, ()):
                if labels.get("reporter") == "destination" and value > 0:
                    for edge in self._existing(labels):
                        edge.security[labels.get("connection_security_policy", UNKNOWN)] += value
                        principals = (
                            labels.get("source_principal", UNKNOWN),
                            labels.get("destination_principal", UNKNOWN),
                        )
                        if edge.principals is None or UNKNOWN in edge.principals:
                            edge.principals = principals

    def time(self, rates: Rates) -> None:
        """Response times of the edges."""
        if not self._options.quantile:
            sums = self._per_edge(rates, DURATION_SUM)
            for edge, count in self._per_edge(rates, DURATION_COUNT).values():
                if count > 0:
                    edge.response_time_ms = sums[id(edge)][1] / count
            return
        buckets: dict[int, tuple[Edge, Buckets]] = {}
        for edge, labels, value in self._of_edges(rates, DURATION_BUCKETS):
            found = buckets.setdefault(id(edge), (edge, defaultdict(float)))[1]
            found[float(labels["le"])] += value
        for edge, found in buckets.values():
            edge.response_time_ms = quantile(self._options.quantile, found)

    def weigh(self, rates: Rates) -> None:
        """Bytes per second of the edges."""
        for edge, value in self._per_edge(rates, RESPONSE_BYTES).values():
            if value > 0:
                edge.throughput = value

    def _per_edge(self, rates: Rates, metric: str) -> dict[int, tuple[Edge, float]]:
        found: dict[int, tuple[Edge, float]] = {}
        for edge, _, value in self._of_edges(rates, metric):
            found[id(edge)] = (edge, found.get(id(edge), (edge, 0.0))[1] + value)
        return found

    def _of_edges(self, rates: Rates, metric: str) -> Iterator[tuple[Edge, Labels, float]]:
        """The series that belong to edges of the graph, by the reporter that tells of such an edge."""
        for labels, value in rates.get(metric, ()):
            if self._belongs(labels):
                for edge in self._existing(labels):
                    yield edge, labels, value

    def _belongs(self, labels: Labels) -> bool:
        """Whether it is in one of the three questions that Kiali asks Prometheus."""
        namespaces = self._options.namespaces
        outside = labels["source_workload"] == UNKNOWN
        if labels["reporter"] == "destination":
            belongs = outside and labels["destination_workload_namespace"] in namespaces
        else:
            belongs = labels["source_workload_namespace"] in namespaces or (
                not outside and labels["destination_service_namespace"] in namespaces
            )
        # A client's namespace is known by its certificate, the client is not: its own proxy tells of it.
        half_known = outside and is_known(labels["source_workload_namespace"])
        return belongs and not half_known

    def _hops(self, labels: Labels) -> Iterator[tuple[Identity, Identity]]:
        """Source and target, or both halves of the way through the service."""
        kind = self._options.graph_type
        source, target = (
            {
                "cluster": labels[f"{side}_cluster"],
                "namespace": labels[f"{side}_workload_namespace"],
                "workload": labels[f"{side}_workload"],
                "app": labels[f"{side}_canonical_service"],
                "version": labels[f"{side}_canonical_revision"],
            }
            for side in ("source", "destination")
        )
        namespace, name = labels["destination_service_namespace"], labels["destination_service_name"]
        if not is_known(target["cluster"]) and is_known(namespace):
            target["cluster"] = source["cluster"]
        origin, goal = identify(source, "", "", kind), identify(target, namespace, name, kind)
        if self._options.inject_services and is_known(name) and goal.node_type != "service":
            middle = identify({"cluster": target["cluster"]}, namespace, name, kind)
            yield origin, middle
            yield middle, goal
        else:
            yield origin, goal

    def _existing(self, labels: Labels) -> Iterator[Edge]:
        protocol = labels.get("request_protocol", "tcp")
        for source, target in self._hops(labels):
            node = self.nodes.get(source.key)
            edge = node.edges.get((target.key, protocol)) if node is not None else None
            if edge is not None:
                yield edge

    def _node(self, identity: Identity) -> Node:
        return self.nodes.setdefault(identity.key, Node(identity))


def _code(labels: Labels, protocol: str) -> str:
    """The response code that an edge shows: gRPC's own if the call as such went through."""
    code = labels.get("response_code", "0") if protocol != "tcp" else "-"
    if code == "0":
        return "-"
    status = labels.get("grpc_response_status")
    return status if protocol == "grpc" and code[:1] not in ("4", "5") and status else code


def _kind(protocol: str, code: str) -> str:
    if protocol == "http" and code[:1] in ("3", "4", "5"):
        return f"{code[0]}xx"
    if protocol == "grpc":
        failed = code[:1] in ("4", "5") if len(code) == 3 else code != "0"
        return "Err" if failed else ""
    return ""


def _mark(nodes: TrafficMap, options: GraphOptions, accessible: set[str]) -> None:
    targets = {target for node in nodes.values() for target, _ in node.edges}
    for key, node in nodes.items():
        identity = node.identity
        node.is_root = bool(node.edges) and key not in targets
        nobody = identity.namespace == UNKNOWN and identity.service in ("", UNKNOWN, *EGRESS_CLUSTERS)
        node.is_inaccessible = identity.node_type == "unknown" or nobody
        if identity.namespace not in (UNKNOWN, *options.namespaces) and not node.is_inaccessible:
            node.is_outside = True
            node.is_inaccessible = identity.namespace not in accessible
