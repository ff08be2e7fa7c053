"""Patches on clusters; new ones find the lab's services by name.

Envoy asks the host's DNS, which knows nothing of the cluster. So a name of a service in a new cluster becomes the
service's address, with the port that is really bound.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.envoy.clusters import ANY_SOURCE
from meshlab.minicluster.mesh.envoy.patching.selection import GATEWAY, INBOUND, OUTBOUND, Patches
from meshlab.minicluster.mesh.envoy.patchvalues import MESSAGES, merged, merged_extension
from meshlab.minicluster.mesh.envoy.virtualhosts import service_names
from meshlab.minicluster.mesh.model import ProxyNode
from meshlab.minicluster.mesh.patches import ClusterMatch, ConfigPatch
from meshlab.minicluster.mesh.scope import Scope

LOOPBACK = ("127.0.0.1", "localhost")


def patch_clusters(
    clusters: dict[str, Obj], patches: Patches, scope: Scope, proxy: ProxyNode, ports: Callable[[int], int]
) -> dict[str, Obj]:
    """The clusters, patched; new ones at the end."""
    found: dict[str, Obj] = {}
    for name, cluster in clusters.items():
        context = GATEWAY if patches.gateway else INBOUND if name.startswith("inbound|") else OUTBOUND
        after = _cluster(cluster, list(patches.of_kind("CLUSTER", context)))
        if after is not None:
            found[name] = after
    addresses: dict[str, str] = {}
    for patch in patches.additions("CLUSTER"):
        if not addresses:
            addresses = _addresses(scope)
        cluster = _resolved(dict(patch.value), addresses, proxy, ports)
        found[str(cluster.get("name", ""))] = cluster
    return found


def _cluster(cluster: Obj, patches: list[ConfigPatch]) -> Obj | None:
    found = cluster
    for patch in patches:
        if not _matches(found, patch.cluster):
            continue
        if patch.operation == "REMOVE":
            return None
        if patch.operation == "MERGE":
            found = _merged(found, patch.value)
    return found


def _merged(cluster: Obj, value: Mapping[str, object]) -> Obj:
    socket = value.get("transport_socket")
    if not isinstance(socket, dict):
        return merged(MESSAGES["CLUSTER"], cluster, value)
    choices = cluster.get("transport_socket_matches")
    if choices:
        # The first one of that kind; both members at once are not valid.
        position = next((i for i, c in enumerate(choices) if c["transport_socket"]["name"] == socket["name"]), None)
        if position is None:
            return cluster
        changed = {
            **choices[position],
            "transport_socket": merged_extension(choices[position]["transport_socket"], socket),
        }
        return {**cluster, "transport_socket_matches": [*choices[:position], changed, *choices[position + 1 :]]}
    mine = cluster.get("transport_socket")
    if mine is not None and mine["name"] == socket.get("name"):
        return {**cluster, "transport_socket": merged_extension(mine, socket)}
    return {**cluster, "transport_socket": socket}


def _matches(cluster: Obj, match: ClusterMatch | None) -> bool:
    if match is None:
        return True
    if match.name:
        return bool(match.name == cluster["name"])
    direction, port, subset, host = ([*str(cluster["name"]).split("|"), "", "", ""])[:4]
    hosts = [host]
    if direction == "inbound":
        metadata = cluster.get("metadata", {}).get("filter_metadata", {}).get("istio", {})
        hosts = [service["host"] for service in metadata.get("services", ())] or hosts
    return (
        match.subset in ("", subset)
        and (not match.service or match.service in hosts)
        and (not match.port or str(match.port) == port)
    )


def _addresses(scope: Scope) -> dict[str, str]:
    """The services' addresses by every name that a pod of the namespace may use."""
    found: dict[str, str] = {}
    for service in scope.services.values():
        if service.addresses:
            for name in service_names(service, scope):
                found.setdefault(name.rstrip("."), service.addresses[0])
    return found


def _resolved(cluster: Obj, addresses: Mapping[str, str], proxy: ProxyNode, ports: Callable[[int], int]) -> Obj:
    assignment = cluster.get("load_assignment")
    if not isinstance(assignment, dict):
        return cluster
    outside = False

    def resolve(socket: Obj) -> Obj:
        nonlocal outside
        name = str(socket.get("address", "")).rstrip(".")
        address = proxy.hidden_ip if name in LOOPBACK else addresses.get(name, name)
        if not address.startswith("127."):
            outside = True
            return socket
        return {**socket, "address": address, "port_value": ports(int(socket.get("port_value", 0)))}

    def endpoint(found: Obj) -> Obj:
        socket = found.get("endpoint", {}).get("address", {}).get("socket_address")
        if socket is None:
            return found
        return {**found, "endpoint": {**found["endpoint"], "address": {"socket_address": resolve(socket)}}}

    groups = [
        {**group, "lb_endpoints": [endpoint(item) for item in group.get("lb_endpoints", ())]}
        for group in assignment.get("endpoints", ())
    ]
    found = {**cluster, "load_assignment": {**assignment, "endpoints": groups}}
    if outside and "upstream_bind_config" not in found:
        found["upstream_bind_config"] = ANY_SOURCE
    return found
