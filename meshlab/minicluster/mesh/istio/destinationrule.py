"""DestinationRule: subsets and traffic policies, merged per host and namespace."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Literal

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.istio.hosts import resolve_host
from meshlab.minicluster.mesh.istio.reading import (
    Problems,
    boolean,
    created,
    exported_to,
    integer,
    mapping,
    match_labels,
    number,
    objects,
    seconds,
    string_map,
    text,
    texts,
)
from meshlab.minicluster.mesh.model import ConfigRef
from meshlab.minicluster.mesh.policy import (
    ClientTls,
    ConnectionPool,
    HashKey,
    LoadBalancing,
    LocalityPolicy,
    OutlierDetection,
    RetryBudget,
    ServicePolicy,
    Subset,
    TrafficPolicy,
    Tunnel,
    WarmUp,
)

Algorithm = Literal["LEAST_REQUEST", "ROUND_ROBIN", "RANDOM", "PASSTHROUGH"]

ALGORITHMS: dict[str, Algorithm] = {
    "LEAST_REQUEST": "LEAST_REQUEST",
    "LEAST_CONN": "LEAST_REQUEST",
    "ROUND_ROBIN": "ROUND_ROBIN",
    "RANDOM": "RANDOM",
    "PASSTHROUGH": "PASSTHROUGH",
}

TLS_MODES: dict[str, Literal["DISABLE", "SIMPLE", "MUTUAL", "MESH_MUTUAL"]] = {
    "DISABLE": "DISABLE",
    "SIMPLE": "SIMPLE",
    "MUTUAL": "MUTUAL",
    "ISTIO_MUTUAL": "MESH_MUTUAL",
}


def translate_destination_rules(
    rules: Iterable[Obj], domain: str, default_export: frozenset[str], problems: Problems
) -> list[ServicePolicy]:
    """All rules, those for the same host, namespace and clients merged, oldest first.

    Merging appends subsets (a name that is there already is ignored); the first traffic policy at the top wins.
    """

    def translate(obj: Obj, ref: ConfigRef) -> list[ServicePolicy]:
        return [_rule(obj, ref, domain, default_export, problems)]

    translated = [policy for rule in rules for policy in problems.guard(rule, translate)]
    merged: dict[tuple[str, str, tuple[tuple[str, str], ...]], ServicePolicy] = {}
    for policy in sorted(translated, key=lambda p: (p.created, p.ref.name, p.ref.namespace)):
        if not policy.host:
            problems.add("destinationrule.host", policy.ref, f"{policy.ref} names no host", "error")
            continue
        key = (policy.namespace, policy.host, tuple(policy.selector.items()))
        merged[key] = _merge(merged[key], policy, problems) if key in merged else policy
    return list(merged.values())


def _merge(older: ServicePolicy, newer: ServicePolicy, problems: Problems) -> ServicePolicy:
    names = {subset.name for subset in older.subsets}
    for subset in newer.subsets:
        if subset.name in names:
            problems.add(
                "destinationrule.subset",
                newer.ref,
                f"{newer.ref}: subset {subset.name} is ignored, {older.ref} has one of that name",
            )
    added = tuple(subset for subset in newer.subsets if subset.name not in names)
    policy = older.policy if older.policy != TrafficPolicy() else newer.policy
    if older.policy != TrafficPolicy() and newer.policy != TrafficPolicy():
        problems.add("destinationrule.policy", newer.ref, f"{newer.ref}: trafficPolicy is ignored, {older.ref} has one")
    return replace(older, policy=policy, subsets=older.subsets + added)


def _rule(obj: Obj, ref: ConfigRef, domain: str, default_export: frozenset[str], problems: Problems) -> ServicePolicy:
    spec = mapping(obj.get("spec"))
    subsets: dict[str, Subset] = {}
    for item in objects(spec.get("subsets")):
        name = text(item.get("name"))
        policy = traffic_policy(item["trafficPolicy"]) if isinstance(item.get("trafficPolicy"), dict) else None
        if not name or name in subsets:
            problems.add("destinationrule.subset", ref, f"{ref}: subset {name!r} is ignored: no name, or a second one")
            continue
        subsets[name] = Subset(name, string_map(item.get("labels")), policy)
    return ServicePolicy(
        host=resolve_host(text(spec.get("host")), ref.namespace, domain),
        namespace=ref.namespace,
        policy=traffic_policy(spec.get("trafficPolicy")),
        subsets=tuple(subsets.values()),
        export_to=exported_to(spec.get("exportTo"), ref.namespace, default_export),
        ref=ref,
        selector=string_map(mapping(spec.get("workloadSelector")).get("matchLabels")) or match_labels(spec),
        created=created(obj),
    )


def traffic_policy(value: Any) -> TrafficPolicy:
    """A traffic policy; ``portLevelSettings`` become policies of their own, as Istio does not inherit into them."""
    item = mapping(value)
    ports: dict[int, TrafficPolicy] = {}
    for setting in objects(item.get("portLevelSettings")):
        port = integer(mapping(setting.get("port")).get("number"))
        if port is not None:
            ports.setdefault(port, traffic_policy({k: v for k, v in setting.items() if k != "portLevelSettings"}))
    return TrafficPolicy(
        load_balancing=_load_balancing(item.get("loadBalancer")),
        connection_pool=connection_pool(item.get("connectionPool")),
        outlier_detection=_outlier_detection(item.get("outlierDetection")),
        tls=client_tls(item.get("tls")),
        retry_budget=_retry_budget(item.get("retryBudget")),
        proxy_protocol=_proxy_protocol(item.get("proxyProtocol")),
        tunnel=_tunnel(item.get("tunnel")),
        ports=ports,
    )


def _load_balancing(value: Any) -> LoadBalancing | None:
    if not isinstance(value, dict):
        return None
    locality = value.get("localityLbSetting")
    return LoadBalancing(
        algorithm=ALGORITHMS.get(text(value.get("simple"))),
        hash_key=_hash_key(value.get("consistentHash")),
        locality=locality_policy(locality) if isinstance(locality, dict) else None,
        warm_up=_warm_up(value),
    )


def _warm_up(value: Mapping[str, Any]) -> WarmUp | None:
    item = mapping(value.get("warmup"))
    duration = seconds(item.get("duration")) or seconds(value.get("warmupDurationSecs"))
    if not duration:
        return None
    minimum, aggression = number(item.get("minimumPercent")), number(item.get("aggression"))
    return WarmUp(duration, 10.0 if minimum is None else minimum, 1.0 if aggression is None else aggression)


def _retry_budget(value: Any) -> RetryBudget | None:
    if not isinstance(value, dict):
        return None
    percent = number(value.get("percent"))
    return RetryBudget(0.2 if percent is None else percent, integer(value.get("minRetryConcurrency")) or 3)


def _proxy_protocol(value: Any) -> Literal["V1", "V2"] | None:
    if not isinstance(value, dict):
        return None
    return "V2" if value.get("version") == "V2" else "V1"


def _tunnel(value: Any) -> Tunnel | None:
    item = mapping(value)
    host, port = text(item.get("targetHost")), integer(item.get("targetPort"))
    return Tunnel(host, port, text(item.get("protocol")).upper() == "POST") if host and port else None


def locality_policy(value: Mapping[str, Any]) -> LocalityPolicy:
    """A ``localityLbSetting``, of a rule or of the mesh configuration."""
    enabled = boolean(value.get("enabled"))
    return LocalityPolicy(
        enabled=enabled is not False,
        failover=tuple((text(i.get("from")), text(i.get("to"))) for i in objects(value.get("failover"))),
        distribute=tuple(
            (
                text(item.get("from")),
                tuple((to, integer(share) or 0) for to, share in sorted(mapping(item.get("to")).items())),
            )
            for item in objects(value.get("distribute"))
        ),
        failover_priority=texts(value.get("failoverPriority")),
    )


def _hash_key(value: Any) -> HashKey | None:
    if not isinstance(value, dict):
        return None
    cookie = mapping(value.get("httpCookie"))
    maglev = value.get("maglev")
    key = HashKey(
        header=text(value.get("httpHeaderName")),
        cookie=text(cookie.get("name")),
        source_ip=boolean(value.get("useSourceIp")) or False,
        query_parameter=text(value.get("httpQueryParameterName")),
        cookie_path=text(cookie.get("path")),
        cookie_ttl_s=seconds(cookie.get("ttl")),
        minimum_ring_size=integer(mapping(value.get("ringHash")).get("minimumRingSize"))
        or integer(value.get("minimumRingSize"))
        or 1024,
        maglev_table_size=(integer(maglev.get("tableSize")) or 65537) if isinstance(maglev, dict) else None,
    )
    return key if key.header or key.cookie or key.source_ip or key.query_parameter else None


def connection_pool(value: Any) -> ConnectionPool | None:
    """How connections are made and kept."""
    if not isinstance(value, dict):
        return None
    tcp, http = mapping(value.get("tcp")), mapping(value.get("http"))
    keepalive = mapping(tcp.get("tcpKeepalive"))
    return ConnectionPool(
        max_connections=positive(tcp.get("maxConnections")),
        connect_timeout_s=seconds(tcp.get("connectTimeout")),
        idle_timeout_s=seconds(http.get("idleTimeout")),
        tcp_idle_timeout_s=seconds(tcp.get("idleTimeout")),
        max_connection_duration_s=seconds(tcp.get("maxConnectionDuration")),
        keepalive_probes=positive(keepalive.get("probes")),
        keepalive_time_s=seconds(keepalive.get("time")),
        keepalive_interval_s=seconds(keepalive.get("interval")),
        max_pending_requests=positive(http.get("http1MaxPendingRequests")),
        max_requests=positive(http.get("http2MaxRequests")),
        max_requests_per_connection=positive(http.get("maxRequestsPerConnection")),
        max_retries=positive(http.get("maxRetries")),
        max_concurrent_streams=positive(http.get("maxConcurrentStreams")),
        http2={"UPGRADE": True, "DO_NOT_UPGRADE": False}.get(text(http.get("h2UpgradePolicy"))),
        use_client_protocol=boolean(http.get("useClientProtocol")) or False,
    )


def positive(value: Any) -> int | None:
    """A whole number above 0; Istio reads 0 as "not set"."""
    found = integer(value)
    return found if found is not None and 0 < found < 2**32 else None


def _outlier_detection(value: Any) -> OutlierDetection | None:
    if not isinstance(value, dict):
        return None
    return OutlierDetection(
        # The old consecutiveErrors counts gateway errors.
        consecutive_5xx=integer(value.get("consecutive5xxErrors")),
        consecutive_gateway_errors=integer(value.get("consecutiveGatewayErrors", value.get("consecutiveErrors"))),
        consecutive_local_origin_failures=integer(value.get("consecutiveLocalOriginFailures")),
        split_local_origin=boolean(value.get("splitExternalLocalOriginErrors")) or False,
        interval_s=seconds(value.get("interval")),
        base_ejection_s=seconds(value.get("baseEjectionTime")),
        max_ejection_percent=positive(value.get("maxEjectionPercent")),
        min_health_percent=integer(value.get("minHealthPercent")),
    )


def client_tls(value: Any) -> ClientTls | None:
    """Client TLS settings."""
    if not isinstance(value, dict):
        return None
    return ClientTls(
        mode=TLS_MODES.get(text(value.get("mode")) or "DISABLE", "DISABLE"),
        sni=text(value.get("sni")),
        subject_alt_names=texts(value.get("subjectAltNames")),
        ca_file=text(value.get("caCertificates")),
        certificate_file=text(value.get("clientCertificate")),
        key_file=text(value.get("privateKey")),
        credential=text(value.get("credentialName")),
        insecure_skip_verify=boolean(value.get("insecureSkipVerify")) or False,
    )
