"""A `TrafficPolicy` as members of an Envoy cluster: pools, load balancing, outlier detection, protocol."""

from __future__ import annotations

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.envoy.vocabulary import HTTP_PROTOCOL_OPTIONS, MAX_UINT32, any_of, duration
from meshlab.minicluster.mesh.model import Protocol, Service, Settings
from meshlab.minicluster.mesh.policy import (
    ConnectionPool,
    LoadBalancing,
    LocalityPolicy,
    OutlierDetection,
    RetryBudget,
    TrafficPolicy,
)

ALGORITHMS = {
    "LEAST_REQUEST": "LEAST_REQUEST",
    "ROUND_ROBIN": "ROUND_ROBIN",
    "RANDOM": "RANDOM",
    "PASSTHROUGH": "ROUND_ROBIN",
}
"""PASSTHROUGH wants the caller's own destination address, which an HTTP proxy does not have."""

MAXIMUM_MAGLEV_TABLE = 5000011


def traffic_members(policy: TrafficPolicy, service: Service, settings: Settings) -> Obj:
    """The members of a cluster that a traffic policy decides (all but TLS and protocol)."""
    members: Obj = {
        **pool_members(policy.connection_pool or ConnectionPool(), settings, policy.retry_budget),
        **_load_balancing(policy.load_balancing or LoadBalancing()),
    }
    outlier = policy.outlier_detection
    if outlier is not None:
        members["outlier_detection"] = _outlier_detection(outlier)
    common: Obj = {"healthy_panic_threshold": {"value": 0}}
    if outlier is not None and outlier.min_health_percent:
        common["healthy_panic_threshold"] = {"value": min(outlier.min_health_percent, 100)}
    locality = locality_policy(policy, service, settings)
    if locality is not None and (
        locality.distribute
        or ((outlier is not None or service.failover_priority) and (locality.failover or locality.failover_priority))
    ):
        common["locality_weighted_lb_config"] = {}
    members["common_lb_config"] = common
    return members


def pool_members(pool: ConnectionPool, settings: Settings, budget: RetryBudget | None = None) -> Obj:
    """How many connections and requests there may be, and how connections are made and kept."""
    members: Obj = {
        "connect_timeout": duration(pool.connect_timeout_s or settings.connect_timeout_s),
        "circuit_breakers": {"thresholds": [_thresholds(pool, budget)]},
    }
    if pool.keepalive_probes or pool.keepalive_time_s or pool.keepalive_interval_s:
        keepalive: Obj = {}
        if pool.keepalive_probes:
            keepalive["keepalive_probes"] = pool.keepalive_probes
        if pool.keepalive_time_s:
            keepalive["keepalive_time"] = round(pool.keepalive_time_s)
        if pool.keepalive_interval_s:
            keepalive["keepalive_interval"] = round(pool.keepalive_interval_s)
        members["upstream_connection_options"] = {"tcp_keepalive": keepalive}
    return members


def locality_policy(policy: TrafficPolicy, service: Service, settings: Settings) -> LocalityPolicy | None:
    """The locality policy in force: the traffic policy's, the service's own wish, or the mesh's; None if it is off."""
    own = policy.load_balancing.locality if policy.load_balancing is not None else None
    if own is None and service.failover_priority:
        return LocalityPolicy(failover_priority=service.failover_priority)
    found = own or settings.locality
    return found if found.enabled else None


def _thresholds(pool: ConnectionPool, budget: RetryBudget | None) -> Obj:
    found: Obj = {
        "max_connections": pool.max_connections or MAX_UINT32,
        "max_pending_requests": pool.max_pending_requests or MAX_UINT32,
        "max_requests": pool.max_requests or MAX_UINT32,
        "max_retries": pool.max_retries or MAX_UINT32,
        "track_remaining": True,
    }
    if budget is not None:
        found["retry_budget"] = {
            "budget_percent": {"value": min(budget.percent, 100.0)},
            "min_retry_concurrency": budget.minimum_concurrency,
        }
    return found


def _load_balancing(balancing: LoadBalancing) -> Obj:
    key = balancing.hash_key
    if key is not None:
        if key.maglev_table_size is not None:
            return {
                "lb_policy": "MAGLEV",
                "maglev_lb_config": {"table_size": min(key.maglev_table_size, MAXIMUM_MAGLEV_TABLE)},
            }
        return {"lb_policy": "RING_HASH", "ring_hash_lb_config": {"minimum_ring_size": key.minimum_ring_size}}
    algorithm = ALGORITHMS[balancing.algorithm or "LEAST_REQUEST"]
    members: Obj = {"lb_policy": algorithm}
    warm_up = balancing.warm_up
    if warm_up is not None and algorithm in ("LEAST_REQUEST", "ROUND_ROBIN"):
        members[f"{algorithm.lower()}_lb_config"] = {
            "slow_start_config": {
                "slow_start_window": duration(warm_up.duration_s),
                "aggression": {"default_value": warm_up.aggression, "runtime_key": "warmup.aggression"},
                "min_weight_percent": {"value": min(warm_up.minimum_percent, 100.0)},
            }
        }
    return members


def _outlier_detection(outlier: OutlierDetection) -> Obj:
    """Istio's reading: a counter that is not given is not enforced, success rates never are."""
    members: Obj = {"enforcing_success_rate": 0}
    for count, name in ((outlier.consecutive_5xx, "5xx"), (outlier.consecutive_gateway_errors, "gateway_failure")):
        if count is not None:
            members[f"consecutive_{name}"] = max(count, 0)
            members[f"enforcing_consecutive_{name}"] = 100 if count > 0 else 0
    if outlier.interval_s:
        members["interval"] = duration(outlier.interval_s)
    if outlier.base_ejection_s:
        members["base_ejection_time"] = duration(outlier.base_ejection_s)
        # Envoy refuses a base time above its default maximum of 300 s.
        if outlier.base_ejection_s > 300:
            members["max_ejection_time"] = duration(outlier.base_ejection_s)
    if outlier.max_ejection_percent is not None:
        members["max_ejection_percent"] = min(outlier.max_ejection_percent, 100)
    if outlier.split_local_origin:
        members["split_external_local_origin_errors"] = True
        if (outlier.consecutive_local_origin_failures or 0) > 0:
            members["consecutive_local_origin_failure"] = outlier.consecutive_local_origin_failures
            members["enforcing_consecutive_local_origin_failure"] = 100
        members["enforcing_local_origin_success_rate"] = 0
    return members


def follows_client(pool: ConnectionPool | None) -> bool:
    """Whether connections use the HTTP version that the client used."""
    return pool is not None and pool.use_client_protocol


def speaks_http2(protocol: Protocol, pool: ConnectionPool | None, settings: Settings) -> bool:
    """Whether connections to a port of that protocol always use HTTP/2."""
    if follows_client(pool):
        return False
    if protocol.is_http2:
        return True
    if pool is not None and pool.http2 is not None:
        return pool.http2
    return settings.upgrade_to_http2 and protocol is Protocol.HTTP


def protocol_members(protocol: Protocol, pool: ConnectionPool | None, settings: Settings) -> Obj:
    """The HTTP side of a cluster: version, idle time, requests per connection."""
    pool = pool or ConnectionPool()
    http: Obj = {}
    if follows_client(pool):
        http["use_downstream_protocol_config"] = {"http_protocol_options": {}, "http2_protocol_options": {}}
    elif speaks_http2(protocol, pool, settings):
        options: Obj = {"max_concurrent_streams": pool.max_concurrent_streams} if pool.max_concurrent_streams else {}
        http["explicit_http_config"] = {"http2_protocol_options": options}
    else:
        http["explicit_http_config"] = {"http_protocol_options": {}}
    common: Obj = {}
    idle = pool.tcp_idle_timeout_s if pool.idle_timeout_s is None else pool.idle_timeout_s
    if idle is not None:
        common["idle_timeout"] = duration(idle)
    if pool.max_requests_per_connection:
        common["max_requests_per_connection"] = pool.max_requests_per_connection
    if pool.max_connection_duration_s:
        common["max_connection_duration"] = duration(pool.max_connection_duration_s)
    if common:
        http["common_http_protocol_options"] = common
    return {"typed_extension_protocol_options": {HTTP_PROTOCOL_OPTIONS: any_of(HTTP_PROTOCOL_OPTIONS, **http)}}
