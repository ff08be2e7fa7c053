"""What makes a DestinationRule invalid; its connection pools also occur in Sidecars."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.istio.reading import mapping, objects, text
from meshlab.minicluster.mesh.istio.validation_common import (
    Messages,
    duration,
    export_to,
    labels,
    non_negative,
    percent,
    wildcard_domain,
    workload_selector,
)
from meshlab.minicluster.mesh.istio.validation_route import subset_name

POLICY_FIELDS = ("outlierDetection", "connectionPool", "loadBalancer", "tls")
TOP_POLICY_FIELDS = (*POLICY_FIELDS, "portLevelSettings", "tunnel", "proxyProtocol", "retryBudget")
NON_NEGATIVE_HTTP = {
    "http1MaxPendingRequests": "http1 max pending requests",
    "http2MaxRequests": "http2 max requests",
    "maxRequestsPerConnection": "max requests per connection",
    "maxRetries": "max retries",
    "maxConcurrentStreams": "max concurrent streams",
}
MAXIMUM_MAGLEV = 5000011


def validate_destination_rule(obj: Obj) -> Messages:
    """The messages for one DestinationRule."""
    spec = mapping(obj.get("spec"))
    yield from wildcard_domain(text(spec.get("host")))
    yield from _traffic_policy(spec.get("trafficPolicy"))
    seen = set()
    for subset in objects(spec.get("subsets")):
        name = text(subset.get("name"))
        if name in seen:
            yield f"duplicate subset names: {name}"
        seen.add(name)
        yield from subset_name(name)
        yield from labels(subset.get("labels"))
        yield from _traffic_policy(subset.get("trafficPolicy"))
    yield from export_to(text(mapping(obj.get("metadata")).get("namespace")), spec.get("exportTo"))
    yield from workload_selector(spec.get("workloadSelector"))


def _traffic_policy(policy: Any) -> Messages:
    if policy is None:
        return
    if all(policy.get(field) is None for field in TOP_POLICY_FIELDS):
        yield "traffic policy must have at least one field"
        return
    if policy.get("tunnel") is not None and policy.get("proxyProtocol") is not None:
        yield "tunnel and proxyProtocol must not be set together"
        return
    yield from _policy(policy)
    for settings in objects(policy.get("portLevelSettings")):
        if settings.get("port") is None:
            yield "portTrafficPolicy must have valid port"
        if all(settings.get(field) is None for field in POLICY_FIELDS):
            yield "port traffic policy must have at least one field"
        else:
            yield from _policy(settings)


def _policy(policy: Mapping[str, Any]) -> Messages:
    yield from _outlier_detection(policy.get("outlierDetection"))
    yield from connection_pool(policy.get("connectionPool"))
    yield from _load_balancer(policy.get("loadBalancer"))
    yield from _tls(policy.get("tls"))


def _outlier_detection(outlier: Any) -> Messages:
    given = mapping(outlier)
    yield from duration(given.get("baseEjectionTime"))
    if given.get("consecutiveLocalOriginFailures") and not given.get("splitExternalLocalOriginErrors"):
        yield (
            "outlier detection consecutive local origin failures is specified, "
            "but split external local origin errors is set to false"
        )
    yield from duration(given.get("interval"))
    yield from percent(given.get("maxEjectionPercent"))
    yield from percent(given.get("minHealthPercent"))


def connection_pool(settings: Any) -> Messages:
    """Limits of connections and requests."""
    if settings is None:
        return
    http, tcp = settings.get("http"), settings.get("tcp")
    if http is None and tcp is None:
        yield "connection pool must have at least one field"
        return
    if http is not None:
        for field, what in NON_NEGATIVE_HTTP.items():
            yield from non_negative(http, field, what)
        yield from duration(http.get("idleTimeout"))
        if http.get("h2UpgradePolicy") == "UPGRADE" and http.get("useClientProtocol"):
            yield "use client protocol must not be true when H2UpgradePolicy is UPGRADE"
    if tcp is not None:
        yield from non_negative(tcp, "maxConnections", "max connections")
        yield from duration(tcp.get("connectTimeout"))
        yield from duration(tcp.get("maxConnectionDuration"))
        if tcp.get("idleTimeout") != "0s":
            yield from duration(tcp.get("idleTimeout"))
        keepalive = mapping(tcp.get("tcpKeepalive"))
        yield from duration(keepalive.get("time"))
        yield from duration(keepalive.get("interval"))


def _load_balancer(settings: Any) -> Messages:
    given = mapping(settings)
    hashing = mapping(given.get("consistentHash"))
    if "httpCookie" in hashing and not mapping(hashing["httpCookie"]).get("name"):
        yield "name required for HttpCookie"
    if "maglev" in hashing:
        size = mapping(hashing["maglev"]).get("tableSize", 0)
        if size == 0:
            yield "tableSize must be set for maglev"
        if size >= MAXIMUM_MAGLEV:
            yield f"tableSize must be less than {MAXIMUM_MAGLEV} for maglev"
        if not _is_prime(size):
            yield "tableSize must be a prime number for maglev"
    locality = mapping(given.get("localityLbSetting"))
    ways = [field for field in ("distribute", "failover", "failoverPriority") if locality.get(field)]
    if "distribute" in ways and len(ways) > 1:
        yield "can not simultaneously specify 'distribute' and 'failover/failoverPriority'"


def _is_prime(number: int) -> bool:
    if number < 4:
        return number > 0
    return number % 2 != 0 and all(number % factor for factor in range(3, int(number**0.5) + 1, 2))


def _tls(settings: Any) -> Messages:
    given = mapping(settings)
    mode = text(given.get("mode"))
    credential = given.get("credentialName")
    if mode in ("SIMPLE", "MUTUAL") and credential:
        if given.get("clientCertificate") or given.get("caCertificates") or given.get("privateKey"):
            yield "cannot specify client certificates or CA certificate If credentialName is set"
        return
    if given.get("insecureSkipVerify") and mode in ("SIMPLE", "MUTUAL"):
        if given.get("caCertificates"):
            yield "cannot specify CA certificates if insecureSkipVerify is set"
        if given.get("subjectAltNames"):
            yield "cannot specify SANs if insecureSkipVerify is set"
    if mode == "MUTUAL":
        if not given.get("clientCertificate"):
            yield "client certificate required for mutual tls"
        if not given.get("privateKey"):
            yield "private key required for mutual tls"
