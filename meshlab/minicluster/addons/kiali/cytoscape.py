"""A traffic map as the JSON that Kiali answers: Cytoscape's elements, all figures as strings."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from meshlab.minicluster.addons.kiali.nodes import UNKNOWN, Edge, Node, TrafficMap
from meshlab.minicluster.addons.kiali.options import GraphOptions, GraphType
from meshlab.minicluster.kubeapi import Obj

NODE_RATES = {
    "grpc": ("grpcIn", "grpcInErr", "grpcOut"),
    "http": ("httpIn", "httpIn3xx", "httpIn4xx", "httpIn5xx", "httpOut"),
    "tcp": ("tcpIn", "tcpOut"),
}
EDGE_RATES = {
    "grpc": ("grpc", "grpcErr"),
    "http": ("http", "http3xx", "http4xx", "http5xx"),
    "tcp": ("tcp",),
}
ERRORS = {"grpc": ("grpcErr",), "http": ("http4xx", "http5xx"), "tcp": ()}
BOX_ORDER = {"cluster": 0, "namespace": 1, "app": 2, "": 3}


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What is known of workloads beyond their traffic, by (namespace, workload)."""

    out_of_mesh: frozenset[tuple[str, str]] = frozenset()
    """Workloads whose pods have no sidecar."""
    gateways: Mapping[tuple[str, str], str] = field(default_factory=dict)
    """``ingress`` or ``egress``."""


def to_json(traffic: TrafficMap, options: GraphOptions, around: Surroundings) -> Obj:
    """The body of the answer."""
    nodes = [_node(node, options, around) for node in traffic.values()]
    edges = [_edge(edge) for node in traffic.values() for edge in node.edges.values()]
    by_app = options.graph_type in (GraphType.APP, GraphType.VERSIONED_APP)
    if by_app or "app" in options.box_by:
        nodes += _boxes(nodes, "app", [n for n in nodes if n.get("app", UNKNOWN) != UNKNOWN])
    for name in ("namespace", "cluster"):
        if name in options.box_by:
            nodes += _boxes(nodes, name, [n for n in nodes if "parent" not in n and n[name] != UNKNOWN])
    nodes.sort(key=_order)
    edges.sort(key=lambda edge: (edge["source"], edge["target"], edge["traffic"].get("protocol", "")))
    return {
        "timestamp": int(options.end),
        "duration": int(options.duration_s),
        "graphType": str(options.graph_type),
        "elements": {"nodes": [{"data": node} for node in nodes], "edges": [{"data": edge} for edge in edges]},
    }


def _order(node: Obj) -> tuple[object, ...]:
    names = ("cluster", "namespace", "app", "version", "service", "workload")
    return (BOX_ORDER[node.get("isBox", "")], *(node.get(name, "") for name in names))


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _node(node: Node, options: GraphOptions, around: Surroundings) -> Obj:
    identity = node.identity
    place = (identity.namespace, identity.workload)
    services = [
        {"cluster": cluster, "namespace": namespace, "name": name} for cluster, namespace, name in sorted(node.services)
    ]
    traffic = []
    for protocol, names in NODE_RATES.items():
        rates = {name: format_rate(node.rates[name]) for name in names if node.rates.get(name, 0.0) > 0}
        if rates:
            traffic.append({"protocol": protocol, "rates": rates})
    optional: Obj = {
        "workload": identity.workload,
        "app": identity.app,
        "version": identity.version,
        "service": identity.service,
        "destServices": services,
        "traffic": traffic,
        "isGateway": {f"{around.gateways[place]}Info": {}} if place in around.gateways else None,
        "isInaccessible": node.is_inaccessible,
        "isOutOfMesh": "sidecarsCheck" in options.appenders and place in around.out_of_mesh,
        "isOutside": node.is_outside,
        "isRoot": node.is_root,
    }
    return {
        "id": _hash(identity.key),
        "nodeType": identity.node_type,
        "cluster": identity.cluster,
        "namespace": identity.namespace,
        "healthData": None,
        **{key: value for key, value in optional.items() if value},
    }


def _edge(edge: Edge) -> Obj:
    source, target = _hash(edge.source.identity.key), _hash(edge.target.identity.key)
    data: Obj = {"id": _hash(f"{source}.{target}.{edge.protocol}"), "source": source, "target": target}
    if edge.principals is not None:
        data["sourcePrincipal"], data["destPrincipal"] = edge.principals
    secured = edge.security.get("mutual_tls", 0.0)
    if secured > 0:
        data["isMTLS"] = f"{100 * secured / sum(edge.security.values()):.0f}"
    if edge.response_time_ms is not None:
        data["responseTime"] = f"{edge.response_time_ms:.0f}"
    if edge.throughput is not None:
        data["throughput"] = f"{edge.throughput:.0f}"
    data["traffic"] = _traffic(edge)
    return data


def _traffic(edge: Edge) -> Obj:
    protocol = edge.protocol
    total = edge.rates.get(protocol, 0.0)
    if total <= 0:
        return {"protocol": protocol}
    rates = {n: format_rate(edge.rates[n]) for n in EDGE_RATES[protocol] if edge.rates.get(n, 0.0) > 0}
    failed = sum(edge.rates.get(name, 0.0) for name in ERRORS[protocol])
    if failed > 0:
        rates[f"{protocol}PercentErr"] = f"{100 * failed / total:.1f}"
    sent = edge.source.rates.get(f"{protocol}Out", 0.0)
    if protocol != "tcp" and sent > 0:
        rates[f"{protocol}PercentReq"] = f"{100 * total / sent:.1f}"
    responses = {
        code: {
            "flags": {name: f"{100 * value / total:.1f}" for name, value in sorted(edge.flags[code].items())},
            "hosts": {name: f"{100 * value / total:.1f}" for name, value in sorted(edge.hosts[code].items())},
        }
        for code in sorted(edge.flags)
    }
    return {"protocol": protocol, "rates": rates, "responses": responses}


def format_rate(value: float) -> str:
    """With two decimals, or as many as one significant digit needs, five at most."""
    precision, scaled = 0, value
    while 0 < scaled < 1 and precision < 5:
        scaled *= 10
        precision += 1
    return f"{value:.{max(2, precision)}f}"


def _boxes(nodes: Iterable[Obj], kind: str, members: Iterable[Obj]) -> list[Obj]:
    """Boxes around nodes that belong together, where there are at least two of them."""
    names = {"app": ("cluster", "namespace", "app"), "namespace": ("cluster", "namespace"), "cluster": ("cluster",)}
    groups: dict[str, list[Obj]] = defaultdict(list)
    for node in members:
        groups["_".join(("box", *(node[name] for name in names[kind])))].append(node)
    found: list[Obj] = []
    for key, group in groups.items():
        if len(group) < 2 or (kind != "app" and len(groups) < 2):
            continue
        box: Obj = {
            "id": _hash(key),
            "nodeType": "box",
            "cluster": group[0]["cluster"],
            "namespace": group[0]["namespace"] if kind != "cluster" else "",
            "healthData": None,
            "isBox": kind,
        }
        if kind == "app":
            box["app"] = group[0]["app"]
            flags = ("isInaccessible", "isOutOfMesh", "isOutside")
            box |= {flag: True for flag in flags if any(node.get(flag) for node in group)}
        for node in group:
            node["parent"] = box["id"]
        found.append(box)
    return found
