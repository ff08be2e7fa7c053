"""What a traffic policy says of connections that are no HTTP: members of the TCP proxy that sends them on.

Among it is the tunnel: the server is an HTTP proxy, which is asked for another target. Tunnels that programs themselves
ask for, by CONNECT, cannot go into one directly; they take a way around through an internal listener, a relay.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.envoy.filters import tcp_proxy
from meshlab.minicluster.mesh.envoy.telemetry import GATEWAY_CONNECTIONS
from meshlab.minicluster.mesh.envoy.vocabulary import cluster_name, duration, internal_cluster
from meshlab.minicluster.mesh.policy import ServicePolicy, Tunnel
from meshlab.minicluster.mesh.scope import Scope


def connection_members(scope: Scope, clusters: Sequence[tuple[str, int]]) -> Obj:
    """Members of a TCP proxy.

    Args:
        scope: what the client sees.
        clusters: where connections go, with weights; policies count where there is only one.
    """
    parts = clusters[0][0].split("|") if len(clusters) == 1 else []
    if len(parts) != 4:
        return {}
    _, port, subset, host = parts
    service = scope.services.get(host)
    namespace = service.namespace if service is not None else ""
    policy = scope.service_policy(host, namespace)
    if policy is None:
        return {}
    found: Obj = {}
    traffic = scope.traffic_policy(host, namespace, int(port), subset)
    pool, balancing = traffic.connection_pool, traffic.load_balancing
    if pool is not None and pool.tcp_idle_timeout_s is not None:
        found["idle_timeout"] = duration(pool.tcp_idle_timeout_s)
    if pool is not None and pool.max_connection_duration_s:
        found["max_downstream_connection_duration"] = duration(pool.max_connection_duration_s)
    if balancing is not None and balancing.hash_key is not None and balancing.hash_key.source_ip:
        found["hash_policy"] = [{"source_ip": {}}]
    tunnel = _tunnel(policy, subset)
    if tunnel is not None:
        host = f"[{tunnel.host}]" if ":" in tunnel.host else tunnel.host
        found["tunneling_config"] = {"hostname": f"{host}:{tunnel.port}", "use_post": tunnel.use_post}
    return found


def _tunnel(policy: ServicePolicy, subset: str) -> Tunnel | None:
    """The tunnel of a service or of a subset, which does not inherit it; ports have none of their own."""
    if not subset:
        return policy.policy.tunnel
    found = policy.subset(subset)
    return found.policy.tunnel if found is not None and found.policy is not None else None


def relayed(scope: Scope, clusters: Sequence[tuple[str, int]]) -> Sequence[tuple[str, int]]:
    """The clusters for a program's own tunnel: a relay where connections to the server go into another one."""
    if "tunneling_config" in connection_members(scope, clusters):
        return [(relay_name(clusters[0][0]), 1)]
    return clusters


def relay_name(cluster: str) -> str:
    """The name of the listener and cluster that stand for a server behind a tunnel."""
    return f"tunnel|{cluster}"


def relays(scope: Scope) -> Iterator[tuple[Obj, Obj]]:
    """The listener and the cluster of each relay that there may be."""
    for service in scope.services.values():
        policy = scope.service_policy(service.host, service.namespace)
        if policy is None or all(part.tunnel is None for part in policy.parts()):
            continue
        for port in service.ports:
            for subset in ("", *(subset.name for subset in policy.subsets)):
                target = cluster_name("outbound", port.number, subset, service.host)
                members = connection_members(scope, [(target, 1)])
                if "tunneling_config" not in members:
                    continue
                proxy = tcp_proxy(target, scope.mesh.settings, [(target, 1)], GATEWAY_CONNECTIONS, **members)
                listener = {
                    "name": relay_name(target),
                    "internal_listener": {},
                    "traffic_direction": "OUTBOUND",
                    "filter_chains": [{"filters": [proxy]}],
                }
                yield listener, internal_cluster(relay_name(target))
