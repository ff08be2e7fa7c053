"""What makes a DestinationRule invalid; its connection pools also occur in Sidecars."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.istio.reading import mapping, objects, seconds, text
from meshlab.minicluster.mesh.istio.validation_common import (
    Caution,
    Messages,
    duration,
    export_to,
    fqdn,
    is_address,
    labels,
    non_negative,
    percent,
    port,
    wildcard_domain,
    workload_selector,
)
from meshlab.minicluster.mesh.istio.validation_locality import locality_setting
from meshlab.minicluster.mesh.istio.validation_route import subset_name

POLICY_FIELDS = ("outlierDetection", "connectionPool", "loadBalancer", "tls")
TOP_POLICY_FIELDS = (*POLICY_FIELDS, "portLevelSettings", "tunnel", "proxyProtocol")
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
    namespace = text(mapping(obj.get("metadata")).get("namespace"))
    yield from wildcard_domain(text(spec.get("host")))
    yield from _traffic_policy(spec.get("trafficPolicy"), namespace)
    seen = set()
    for subset in objects(spec.get("subsets")):
        name = text(subset.get("name"))
        if name in seen:
            yield f"duplicate subset names: {name}"
        seen.add(name)
        # Of a subset upstream keeps the errors and drops the warnings.
        yield from _errors(subset_name(name))
        yield from _errors(labels(subset.get("labels")))
        yield from _errors(_traffic_policy(subset.get("trafficPolicy"), namespace))
    selected = spec.get("workloadSelector") is not None
    yield from export_to(namespace, spec.get("exportTo"), selected=selected)
    yield from workload_selector(spec.get("workloadSelector"))


def _errors(messages: Messages) -> Messages:
    yield from (message for message in messages if not isinstance(message, Caution))


def _traffic_policy(policy: Any, namespace: str) -> Messages:
    if policy is None:
        return
    if all(policy.get(field) is None for field in TOP_POLICY_FIELDS):
        yield "traffic policy must have at least one field"
        return
    if policy.get("tunnel") is not None and policy.get("proxyProtocol") is not None:
        yield "tunnel and proxyProtocol must not be set together"
        return
    yield from _policy(policy, namespace)
    for settings in objects(policy.get("portLevelSettings")):
        if settings.get("port") is None:
            yield "portTrafficPolicy must have valid port"
        if all(settings.get(field) is None for field in POLICY_FIELDS):
            yield "port traffic policy must have at least one field"
        else:
            yield from _errors(_policy(settings, namespace))
    yield from _tunnel(policy.get("tunnel"))


def _tunnel(tunnel: Any) -> Messages:
    if tunnel is None:
        return
    if tunnel.get("protocol") not in (None, "", "CONNECT", "POST"):
        yield 'tunnel protocol must be "CONNECT" or "POST"'
    host = text(tunnel.get("targetHost"))
    no_name = next(fqdn(host), "")
    if no_name and not is_address(host):
        yield f"tunnel target host must be valid FQDN or IP address: {no_name}; {host} is not a valid IP"
    for message in port(tunnel.get("targetPort")):
        yield f"tunnel target port is invalid: {message}"


def _policy(policy: Mapping[str, Any], namespace: str) -> Messages:
    yield from _outlier_detection(policy.get("outlierDetection"))
    yield from connection_pool(policy.get("connectionPool"))
    yield from _load_balancer(policy.get("loadBalancer"), failover=policy.get("outlierDetection") is not None)
    yield from _tls(policy.get("tls"), namespace)


def _outlier_detection(outlier: Any) -> Messages:
    given = mapping(outlier)
    yield from duration(given.get("baseEjectionTime"))
    if given.get("consecutiveErrors"):
        yield Caution(
            "outlier detection consecutive errors is deprecated, use consecutiveGatewayErrors or "
            "consecutive5xxErrors instead"
        )
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
        # Less than a millisecond switches the timeout off.
        if (seconds(tcp.get("idleTimeout")) or 0) >= 0.001:
            yield from duration(tcp.get("idleTimeout"))
        keepalive = mapping(tcp.get("tcpKeepalive"))
        yield from duration(keepalive.get("time"))
        yield from duration(keepalive.get("interval"))


def _load_balancer(settings: Any, *, failover: bool) -> Messages:
    given = mapping(settings)
    hashing = mapping(given.get("consistentHash"))
    if "httpCookie" in hashing and not mapping(hashing["httpCookie"]).get("name"):
        yield "name required for HttpCookie"
    if hashing.get("minimumRingSize"):
        yield Caution(
            "consistent hash MinimumRingSize is deprecated, use ConsistentHashLB's RingHash configuration instead"
        )
        if "maglev" in hashing or "ringHash" in hashing:
            yield "only one of MinimumRingSize or Maglev/Ringhash can be specified"
    if "maglev" in hashing:
        size = mapping(hashing["maglev"]).get("tableSize", 0)
        if size == 0:
            yield "tableSize must be set for maglev"
        if size >= MAXIMUM_MAGLEV:
            yield f"tableSize must be less than {MAXIMUM_MAGLEV} for maglev"
        if not _is_prime(size):
            yield "tableSize must be a prime number for maglev"
    yield from locality_setting(given.get("localityLbSetting"), outlier_detection=failover)
    yield from _warmup(given.get("warmup"))


def _warmup(warmup: Any) -> Messages:
    if warmup is None:
        return
    if warmup.get("duration") is None:
        yield "duration is required"
    yield from duration(warmup.get("duration"))
    if (warmup.get("minimumPercent") or 0) > 100:
        yield "minimumPercent value should be less than or equal to 100"
    if warmup.get("aggression") is not None and warmup["aggression"] < 1:
        yield "aggression should be greater than or equal to 1"


def _is_prime(number: int) -> bool:
    if number < 4:
        return number > 0
    return number % 2 != 0 and all(number % factor for factor in range(3, int(number**0.5) + 1, 2))


CONFIG_MAP = "configmap://"


def _tls(settings: Any, namespace: str) -> Messages:
    given = mapping(settings)
    mode = text(given.get("mode"))
    credential = text(given.get("credentialName"))
    if credential.startswith(CONFIG_MAP):
        owner, slash, _ = credential.removeprefix(CONFIG_MAP).partition("/")
        if slash and owner != namespace:
            yield (
                f'invalid configmap:// credentialName: namespace must match the configuration namespace "{namespace}"'
            )
    if given.get("insecureSkipVerify"):
        names = given.get("subjectAltNames") is not None
        if mode == "SIMPLE" and (given.get("caCertificates") or credential or names):
            yield (
                "cannot specify CaCertificates or CredentialName or SubjectAltNames when InsecureSkipVerify is set true"
            )
        if mode == "MUTUAL" and (given.get("caCertificates") or names):
            yield "cannot specify CaCertificates or SubjectAltNames when InsecureSkipVerify is set true"
    if mode in ("SIMPLE", "MUTUAL") and credential:
        if any(given.get(field) for field in ("clientCertificate", "caCertificates", "privateKey", "caCrl")):
            yield "cannot specify client certificates or CA certificate or CA CRL If credentialName is set"
        return
    if mode == "MUTUAL":
        if not given.get("clientCertificate"):
            yield "client certificate required for mutual tls"
        if not given.get("privateKey"):
            yield "private key required for mutual tls"
