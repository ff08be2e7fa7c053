"""The service graph: a graph of workloads with their services in between, reduced to the services."""

from __future__ import annotations

from meshlab.minicluster.addons.kiali.nodes import Edge, Node, TrafficMap


def services_only(nodes: TrafficMap) -> TrafficMap:
    """Services and what stands at the beginning: the edges of a workload become those of its services."""
    kept: TrafficMap = {}
    for key, node in nodes.items():
        if node.identity.node_type == "service":
            beyond: dict[tuple[str, str], Edge] = {}
            for edge in node.edges.values():
                for onward in edge.target.edges.values():
                    if onward.target.identity.node_type == "service":
                        place = (onward.target.identity.key, onward.protocol)
                        beyond[place] = _joined(node, onward, beyond.get(place))
            kept[key] = Node(node.identity, node.rates, node.services, beyond, node.is_root)
        elif node.is_root:
            reached = {p: e for p, e in node.edges.items() if e.target.identity.node_type == "service"}
            kept[key] = Node(node.identity, node.rates, node.services, reached, node.is_root)
        else:
            continue
        kept[key].is_outside, kept[key].is_inaccessible = node.is_outside, node.is_inaccessible
    return kept


def _joined(source: Node, edge: Edge, other: Edge | None) -> Edge:
    """An edge that begins at the service, added to what is there; times cannot be added."""
    if other is None:
        result = Edge(source, edge.target, edge.protocol)
        result.response_time_ms, result.throughput, result.principals = (
            edge.response_time_ms,
            edge.throughput,
            edge.principals,
        )
    else:
        result = other
    for mine, theirs in ((result.rates, edge.rates), (result.security, edge.security)):
        for name, value in theirs.items():
            mine[name] += value
    for mine_by, theirs_by in ((result.flags, edge.flags), (result.hosts, edge.hosts)):
        for code, found in theirs_by.items():
            for name, value in found.items():
                mine_by[code][name] += value
    return result
