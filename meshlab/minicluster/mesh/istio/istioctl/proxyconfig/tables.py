"""The tables of ``proxy-config``: pure functions from a dump to rows. Columns and words are upstream's."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.istio.istioctl.proxyconfig.dump import ClusterName, address_port, field

Rows = list[list[str]]

HTTP_FILTER = "envoy.filters.network.http_connection_manager"
TCP_FILTER = "envoy.filters.network.tcp_proxy"
PROTOCOL_GROUPS = (
    ("App: HTTP TLS", ["http/1.0", "http/1.1", "h2c", "istio-http/1.0", "istio-http/1.1", "istio-h2"]),
    ("App: Istio HTTP Plain", ["istio", "istio-http/1.0", "istio-http/1.1", "istio-h2"]),
    ("App: TCP TLS", ["istio-peer-exchange", "istio"]),
    ("App: HTTP", ["http/1.0", "http/1.1", "h2c"]),
)


@dataclass(frozen=True, slots=True)
class Filters:
    """What the flags select; an empty field selects everything."""

    fqdn: str = ""
    port: int = 0
    subset: str = ""
    direction: str = ""
    name: str = ""
    address: str = ""
    type: str = ""
    cluster: str = ""
    status: str = ""

    def cluster_matches(self, cluster: Obj) -> bool:
        """For clusters: parts of the name."""
        name = str(cluster["name"])
        return (
            self.fqdn in name
            and self.direction in name
            and self.subset in name
            and (not self.port or f"|{self.port}|" in name)
        )

    def listener_matches(self, listener: Obj) -> bool:
        """For listeners: address, port and type, exactly."""
        address, port = address_port(listener)
        return (
            (not self.address or address.lower() == self.address.lower())
            and (not self.port or port == self.port)
            and (not self.type or listener_type(listener).lower() == self.type.lower())
        )

    def endpoint_matches(self, endpoint: Endpoint) -> bool:
        """For endpoints: address, port, cluster and status, exactly."""
        return (
            (not self.address or endpoint.address == self.address)
            and (not self.port or endpoint.port == self.port)
            and (not self.cluster or endpoint.cluster == self.cluster)
            and (not self.status or endpoint.status.lower() == self.status.lower())
        )


def clusters(items: Sequence[Obj]) -> Rows:
    """SERVICE FQDN, PORT, SUBSET, DIRECTION, TYPE, DESTINATION RULE."""
    rows = [["SERVICE FQDN", "PORT", "SUBSET", "DIRECTION", "TYPE", "DESTINATION RULE"]]
    for cluster in items:
        rule = managed_by(cluster.get("metadata"))
        kind = cluster.get("type") or str((field(cluster, "cluster_type") or {}).get("name") or "STATIC")
        name = ClusterName.parse(cluster["name"])
        if name is None:
            rows.append([cluster["name"], "-", "-", "-", kind, rule])
        else:
            rows.append([name.fqdn, name.port, name.subset or "-", name.direction, kind, rule])
    return rows


def listeners(items: Sequence[Obj], *, verbose: bool) -> Rows:
    """ADDRESSES, PORT, MATCH, DESTINATION with a row per filter chain; or ADDRESSES, PORT, TYPE."""
    if not verbose:
        rows = [["ADDRESSES", "PORT", "TYPE"]]
        for listener in items:
            address, port = _addresses(listener)
            rows.append([address, port, listener_type(listener)])
        return rows
    rows = [["ADDRESSES", "PORT", "MATCH", "DESTINATION"]]
    for listener in items:
        address, port = _addresses(listener)
        chains = [(destination(chain), chain_match(chain)) for chain in _chains(listener)]
        for target, match in sorted(chains, key=lambda chain: chain[0], reverse=True):
            rows.append([address, port, match, target])
    return rows


def _addresses(listener: Obj) -> tuple[str, str]:
    address, port = address_port(listener)
    more = [
        str(field(field(entry, "address"), "socket_address").get("address"))
        for entry in field(listener, "additional_addresses") or []
        if field(field(entry, "address"), "socket_address")
    ]
    return ",".join([address, *more]), str(port)


def _chains(listener: Obj) -> list[Obj]:
    default = field(listener, "default_filter_chain")
    return [*(field(listener, "filter_chains") or []), *([default] if default else [])]


def listener_type(listener: Obj) -> str:
    """HTTP, TCP, HTTP+TCP or UNKNOWN, by the filters; black holes do not count."""
    kinds = set()
    for chain in _chains(listener):
        for item in chain.get("filters") or []:
            if item["name"] == HTTP_FILTER:
                kinds.add("HTTP")
            elif item["name"] == TCP_FILTER and _config(item).get("cluster") != "BlackHoleCluster":
                kinds.add("TCP")
    return "+".join(sorted(kinds)) or "UNKNOWN"


def _config(item: Obj) -> Obj:
    config: Obj = field(item, "typed_config") or {}
    return config


def chain_match(chain: Obj) -> str:
    """What a filter chain matches, in words."""
    match: Obj = field(chain, "filter_chain_match") or {}
    words = []
    if names := field(match, "server_names"):
        words.append(f"SNI: {','.join(names)}")
    if transport := field(match, "transport_protocol"):
        words.append(f"Trans: {transport}")
    if protocols := field(match, "application_protocols"):
        known = next((word for word, group in PROTOCOL_GROUPS if group == list(protocols)), None)
        words.append(known or f"App: {','.join(protocols)}")
    port = field(match, "destination_port")
    suffix = f":{port}" if port else ""
    if ranges := field(match, "prefix_ranges"):
        prefixes = [f"{field(item, 'address_prefix')}/{_length(item)}" for item in ranges]
        words.append(f"Addr: {','.join(prefixes)}{suffix}")
    elif suffix:
        words.append(f"Addr: *{suffix}")
    return "; ".join(words) or "ALL"


def _length(prefix: Obj) -> int:
    length = field(prefix, "prefix_len")
    return int(length.get("value", 0) if isinstance(length, dict) else length or 0)


def destination(chain: Obj) -> str:
    """Where a filter chain leads: a route configuration, a cluster, or inline routes."""
    for item in chain.get("filters") or []:
        config = _config(item)
        if item["name"] == HTTP_FILTER:
            inline = field(config, "route_config")
            if inline:
                return _inline(inline)
            name = field(field(config, "rds"), "route_config_name")
            return f"Route: {name}" if name else "HTTP"
        if item["name"] == TCP_FILTER:
            cluster = config.get("cluster") or ""
            if not cluster:
                weighted = field(field(config, "weighted_clusters"), "clusters") or []
                cluster = ",".join(str(entry.get("name")) for entry in weighted)
            return cluster if "Cluster" in cluster else f"Cluster: {cluster}"
    return "Non-HTTP/Non-TCP"


def _inline(route: Obj) -> str:
    hosts = field(route, "virtual_hosts") or []
    if len(hosts) == 1 and hosts[0].get("domains") == ["*"] and len(hosts[0].get("routes") or []) == 1:
        only = hosts[0]["routes"][0]
        cluster = (only.get("route") or {}).get("cluster")
        if cluster and (only.get("match") or {}).get("prefix") == "/":
            return cluster if "Cluster" in cluster else f"Cluster: {cluster}"
    described = []
    for host in hosts:
        domains = "" if host.get("domains") == ["*"] else "/".join(host.get("domains") or []) + " "
        described.append(domains + ", ".join(route_match(item.get("match") or {}) for item in host.get("routes") or []))
    return f"Inline Route: {'; '.join(described)}"


def route_match(match: Obj) -> str:
    """The path of a route's match: ``/*``, ``/status``, ``regex ...``; headers are not shown."""
    words = []
    if prefix := match.get("prefix"):
        words.append(f"{prefix}*")
    if separated := field(match, "path_separated_prefix"):
        words.append(f"PathPrefix:{separated}")
    if path := match.get("path"):
        words.append(path)
    if regex := field(match, "safe_regex"):
        words.append(f"regex {regex.get('regex', '')}")
    if field(match, "connect_matcher") is not None:
        words.append("CONNECT")
    return " ".join(words)


def routes(items: Sequence[Obj], *, verbose: bool) -> Rows:
    """NAME, VHOST NAME, DOMAINS, MATCH, VIRTUAL SERVICE; or NAME and the number of virtual hosts."""
    if not verbose:
        return [["NAME", "VIRTUAL HOSTS"]] + [
            [str(route.get("name", "")), str(len(field(route, "virtual_hosts") or []))] for route in items
        ]
    rows = [["NAME", "VHOST NAME", "DOMAINS", "MATCH", "VIRTUAL SERVICE"]]
    for route in items:
        name = str(route.get("name", ""))
        for host in field(route, "virtual_hosts") or []:
            head = [name, str(host.get("name", "")), domains(host.get("domains") or [])]
            entries = host.get("routes") or []
            for entry in entries:
                if str((entry.get("route") or {}).get("cluster", "")).startswith("PassthroughCluster"):
                    continue
                rows.append([*head, route_match(entry.get("match") or {}), managed_by(entry.get("metadata"))])
            if not entries:
                rows.append([*head, "/*", "404"])
    return rows


def domains(names: Sequence[str]) -> str:
    """The two shortest domains, leaving out longer forms of another, and how many more there are."""
    if len(names) <= 1:
        return "".join(names)
    plain = [name for name in names if ":" not in name or (name.count(":") > 2 and name.endswith("]"))]
    plain = plain or list(names)
    kept = [name for name in plain if not any(short != name and short in plain for short in _shorter(name))]
    kept.sort(key=len)
    if len(kept) > 2:
        return f"{', '.join(kept[:2])} + {len(kept) - 2} more..."
    return ", ".join(kept)


def _shorter(name: str) -> tuple[str, str, str]:
    return name.removesuffix("."), name.removesuffix(".svc.cluster.local"), name.removesuffix(".svc")


def managed_by(metadata: Obj | None) -> str:
    """``name.namespace`` of the resource that a cluster or route came from, out of Istio's metadata."""
    config = ((field(metadata, "filter_metadata") or {}).get("istio") or {}).get("config")
    if not config:
        return ""
    parts = str(config).split("/")
    return f"{parts[7]}.{parts[5]}" if len(parts) == 8 and parts[1] == "apis" else "<unknown>"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One host of one cluster, from Envoy's ``/clusters?format=json``."""

    address: str
    port: int
    status: str
    outlier: str
    cluster: str

    @property
    def text(self) -> str:
        """``address:port``, or the path of a pipe."""
        return f"{self.address}:{self.port}" if self.port else self.address


def endpoints(cluster_statuses: Sequence[Obj]) -> list[Endpoint]:
    """The hosts of ``/clusters?format=json``, ordered by address, port and cluster."""
    found = []
    for cluster in cluster_statuses:
        for host in field(cluster, "host_statuses") or []:
            address = host.get("address") or {}
            socket = field(address, "socket_address") or {}
            pipe = (field(address, "pipe") or {}).get("path", "")
            health = field(host, "health_status") or {}
            internal = field(address, "envoy_internal_address") or {}
            found.append(
                Endpoint(
                    f"unix://{pipe}"
                    if pipe
                    else str(socket.get("address") or field(internal, "server_listener_name") or ""),
                    int(field(socket, "port_value") or 0),
                    str(field(health, "eds_health_status") or "UNKNOWN"),
                    "FAILED" if field(health, "failed_outlier_check") else "OK",
                    str(cluster["name"]),
                )
            )
    return sorted(found, key=lambda item: (item.address, item.port, item.cluster))


def endpoint_rows(items: Sequence[Endpoint]) -> Rows:
    """ENDPOINT, STATUS, OUTLIER CHECK, CLUSTER."""
    rows = [["ENDPOINT", "STATUS", "OUTLIER CHECK", "CLUSTER"]]
    return rows + [[item.text, item.status, item.outlier, item.cluster] for item in items]


def secrets(items: Sequence[tuple[str, Obj]], now: datetime) -> Rows:
    """RESOURCE NAME, TYPE, STATUS, VALID CERT, SERIAL NUMBER, NOT AFTER, NOT BEFORE."""
    rows = [["RESOURCE NAME", "TYPE", "STATUS", "VALID CERT", "SERIAL NUMBER", "NOT AFTER", "NOT BEFORE"]]
    for state, entry in items:
        rows.append([str(entry.get("name", "")), *_certificate(field(entry, "secret") or {}, state, now)])
    return rows


def _certificate(secret: Obj, state: str, now: datetime) -> list[str]:
    chain = field(field(secret, "tls_certificate"), "certificate_chain")
    root = field(field(secret, "validation_context"), "trusted_ca")
    pem = _pem(chain) or _pem(root)
    if pem is None:
        return ["", state, "false", "", "", ""]
    from cryptography import x509

    try:
        certificate = x509.load_pem_x509_certificate(pem)
    except ValueError:
        return ["", state, "false", "", "", ""]
    try:
        authority = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        authority = False
    after, before = certificate.not_valid_after_utc, certificate.not_valid_before_utc
    return [
        "CA" if authority else "Cert Chain",
        state,
        str(before < now < after).lower(),
        f"{certificate.serial_number:x}",
        _rfc3339(after),
        _rfc3339(before),
    ]


def _pem(source: Obj | None) -> bytes | None:
    text = field(source, "inline_string")
    if text:
        return str(text).encode()
    data = field(source, "inline_bytes")
    return base64.b64decode(data) if data else None


def _rfc3339(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
