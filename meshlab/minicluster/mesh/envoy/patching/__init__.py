"""Configuration patches on what was built for one proxy: resources and patches flow in, patched resources flow out.

Nothing is changed in place: proxies share most of their resources. `selection` says which patches a proxy gets, in
which order and in which context; `sequences` does what is alike for all ordered lists; `listeners`, `routes` and
`clusters` know their own resources. The order of operations is upstream's.
"""

from __future__ import annotations

from collections.abc import Callable

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.envoy.gateways import bound_servers
from meshlab.minicluster.mesh.envoy.patching.clusters import patch_clusters
from meshlab.minicluster.mesh.envoy.patching.listeners import patch_listeners
from meshlab.minicluster.mesh.envoy.patching.routes import patch_routes
from meshlab.minicluster.mesh.envoy.patching.selection import Patches
from meshlab.minicluster.mesh.envoy.vocabulary import CLUSTER, EXTENSION, LISTENER, ROUTE
from meshlab.minicluster.mesh.model import Labels, ProxyNode
from meshlab.minicluster.mesh.scope import Scope

__all__ = ["patched"]


def patched(
    resources: dict[str, dict[str, Obj]], scope: Scope, proxy: ProxyNode, labels: Labels, ports: Callable[[int], int]
) -> dict[str, dict[str, Obj]]:
    """The resources with every patch that applies to the proxy.

    Args:
        resources: what was built, by type URL and name.
        scope: what the proxy sees.
        proxy: the proxy.
        labels: its workload's labels.
        ports: the real port behind a nominal one.
    """
    patches = Patches.of(scope.mesh, proxy, labels)
    if not patches:
        return resources
    found = dict(resources)
    found[CLUSTER] = patch_clusters(found[CLUSTER], patches, scope, proxy, ports)
    found[LISTENER] = patch_listeners(found[LISTENER], patches, scope)
    servers = bound_servers(scope.mesh, proxy) if proxy.type == "router" else []
    behind = {bound.port: frozenset(b.server.port for b in servers if b.port == bound.port) for bound in servers}
    found[ROUTE] = patch_routes(found[ROUTE], patches, behind)
    extensions = {str(patch.value["name"]): dict(patch.value) for patch in patches.additions("EXTENSION_CONFIG")}
    if extensions:
        found[EXTENSION] = {**found.get(EXTENSION, {}), **extensions}
    return found
