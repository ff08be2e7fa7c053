"""What makes a Gateway, a ServiceEntry or a Sidecar invalid."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.istio.reading import mapping, objects, text, texts
from meshlab.minicluster.mesh.istio.validation_common import (
    HTTP_PROTOCOLS,
    PROTOCOLS,
    TLS_PROTOCOLS,
    Messages,
    export_to,
    fqdn,
    is_address,
    is_label,
    labels,
    namespaced_host,
    port,
    port_name,
    protocol_of,
    quote,
    wildcard_domain,
    workload_selector,
)
from meshlab.minicluster.mesh.istio.validation_destinationrule import connection_pool

PASS_THROUGH = ("PASSTHROUGH", "AUTO_PASSTHROUGH")
NOT_WITH_ISTIO_MUTUAL = {
    "serverCertificate": "server certificate",
    "privateKey": "private key",
    "caCertificates": "CA bundle",
    "tlsCertificates": "tlsCertificates",
    "credentialName": "credentialName",
    "credentialNames": "credentialNames",
}


def validate_gateway(obj: Obj) -> Messages:
    """The messages for one Gateway."""
    name = text(mapping(obj.get("metadata")).get("name"))
    if not is_label(name):
        yield f"invalid gateway name: {quote(name)}"
    servers = objects(mapping(obj.get("spec")).get("servers"))
    if not servers:
        yield "gateway must have at least one server"
    for server in servers:
        yield from _server(server)
    seen = set()
    for server in servers:
        if server.get("port") is None:
            continue
        port_named = text(mapping(server["port"]).get("name"))
        if port_named in seen:
            yield f"port names in servers must be unique: duplicate name {port_named}"
        seen.add(port_named)


def _server(server: Mapping[str, Any]) -> Messages:
    hosts = texts(server.get("hosts"))
    if not hosts:
        yield "server config must contain at least one host"
    for host in hosts:
        yield from namespaced_host(host, allow_any_namespace=True)
    wrong_port = list(_server_port(server.get("port")))
    yield from wrong_port
    if server.get("bind") and not text(server["bind"]).startswith("unix://") and not is_address(text(server["bind"])):
        yield f"{server['bind']} is not a valid IP"
    tls = server.get("tls")
    yield from server_tls(tls)
    if wrong_port:
        return
    protocol = protocol_of(server["port"])
    if protocol in TLS_PROTOCOLS and tls is None:
        yield "server must have TLS settings for HTTPS/TLS protocols"
    elif protocol not in TLS_PROTOCOLS and tls is not None:
        if protocol not in HTTP_PROTOCOLS:
            yield "server cannot have TLS settings for non HTTPS/TLS ports"
        elif text(tls.get("mode")) not in ("", *PASS_THROUGH) or any(
            tls.get(field) for field in ("caCertificates", "privateKey", "serverCertificate")
        ):
            yield "server cannot have TLS settings for plain text HTTP ports"


def _server_port(given: Any) -> Messages:
    if given is None:
        yield "port is required"
        return
    if protocol_of(given) not in PROTOCOLS:
        yield (
            f"invalid protocol {quote(text(given.get('protocol')))}, supported protocols are "
            "HTTP, HTTP2, GRPC, GRPC-WEB, MONGO, REDIS, MYSQL, TCP"
        )
    yield from port(given.get("number"))
    if given.get("targetPort"):
        yield "targetPort has no impact on Gateways"
    if not given.get("name"):
        number, protocol = given.get("number", 0), text(given.get("protocol"))
        yield f'port name must be set: number:{number} protocol:"{protocol}"'


def server_tls(tls: Any) -> Messages:
    """TLS settings of a server."""
    if tls is None:
        return
    mode = text(tls.get("mode"))
    if mode == "ISTIO_MUTUAL":
        for field, what in NOT_WITH_ISTIO_MUTUAL.items():
            if tls.get(field):
                has = "associated " + what
                yield f"ISTIO_MUTUAL TLS cannot have {has}"
        return
    sources = [
        bool(tls.get("serverCertificate") and tls.get("privateKey")),
        bool(tls.get("credentialName")),
        bool(tls.get("credentialNames")),
        bool(tls.get("tlsCertificates")),
    ]
    if sum(sources) > 1:
        yield (
            "only one of credential_name, credential_names, server_certificate/private_key, "
            "tls_certificates should be specified"
        )
    terminates = mode in ("SIMPLE", "MUTUAL", "OPTIONAL_MUTUAL")
    if not terminates or tls.get("credentialName") or tls.get("credentialNames"):
        return
    words = "SIMPLE TLS" if mode == "SIMPLE" else "MUTUAL TLS"
    if mode != "SIMPLE" and not tls.get("caCertificates"):
        yield f"{words} requires a client CA bundle"
    for certificate in objects(tls.get("tlsCertificates")) or [tls]:
        if not certificate.get("serverCertificate"):
            yield f"{words} requires a server certificate"
        if not certificate.get("privateKey"):
            yield f"{words} requires a private key"


def validate_service_entry(obj: Obj) -> Messages:
    """The messages for one ServiceEntry."""
    spec = mapping(obj.get("spec"))
    hosts, ports = texts(spec.get("hosts")), objects(spec.get("ports"))
    addresses, endpoints = texts(spec.get("addresses")), objects(spec.get("endpoints"))
    resolution = text(spec.get("resolution")) or "NONE"
    yield from workload_selector(spec.get("workloadSelector"), "labels")
    if spec.get("workloadSelector") is not None and spec.get("endpoints") is not None:
        yield "only one of WorkloadSelector or Endpoints is allowed in Service Entry"
    if not hosts:
        yield "service entry must have at least one host"
    for host in hosts:
        if host == "*":
            yield f"invalid host {host}"
        else:
            yield from wildcard_domain(host)
    for address in addresses:
        yield from _subnet(address)
    if any("/" in address for address in addresses) and resolution not in ("NONE", "STATIC"):
        yield "CIDR addresses are allowed only for NONE/STATIC resolution types"
    yield from _entry_ports(ports)
    names = {text(given.get("name")) for given in ports}
    if resolution == "NONE" and endpoints:
        yield "no endpoints should be provided for resolution type none"
    if resolution in ("DNS", "DNS_ROUND_ROBIN"):
        if not endpoints and any(list(fqdn(host)) for host in hosts):
            yield f"hosts must be FQDN if no endpoints are provided for resolution mode {resolution}"
        if resolution == "DNS_ROUND_ROBIN" and len(endpoints) > 1:
            yield f"there must only be 0 or 1 endpoint for resolution mode {resolution}"
    for endpoint in endpoints:
        yield from _endpoint(endpoint, names, dns=resolution != "STATIC")
    plain = [given for given in ports if protocol_of(given) not in HTTP_PROTOCOLS | TLS_PROTOCOLS]
    if resolution != "NONE" and len(hosts) > 1 and plain:
        yield "multiple hosts provided with non-HTTP, non-TLS ports"
    yield from export_to(text(mapping(obj.get("metadata")).get("namespace")), spec.get("exportTo"), allow_nobody=True)


def _entry_ports(ports: list[Mapping[str, Any]]) -> Messages:
    names, numbers = set(), set()
    for given in ports:
        name, number = text(given.get("name")), given.get("number", 0)
        if name in names:
            yield f"service entry port name {quote(name)} already defined"
        if number in numbers:
            yield f"service entry port {number} already defined"
        names.add(name)
        numbers.add(number)
        if given.get("targetPort"):
            yield from port(given["targetPort"])
        yield from port_name(name)
        if given.get("protocol") and protocol_of(given) not in PROTOCOLS:
            yield f"unsupported protocol: {given['protocol']}"
        yield from port(number)


def _subnet(address: str) -> Messages:
    try:
        ipaddress.ip_network(address, strict=False)
    except ValueError:
        yield f"{address} is not a valid CIDR block" if "/" in address else f"{address} is not a valid IP"


def _endpoint(endpoint: Mapping[str, Any], ports: set[str], *, dns: bool) -> Messages:
    address = text(endpoint.get("address"))
    if not address and not endpoint.get("network"):
        yield "address is required"
    elif address.startswith("unix://"):
        if endpoint.get("ports"):
            yield f"unix endpoint {address} must not include ports"
    elif address and not is_address(address):
        if not dns:
            yield f"endpoint address {quote(address)} is not a valid IP address"
        elif list(fqdn(address)):
            yield f"endpoint address {quote(address)} is not a valid FQDN or an IP address"
    for name, number in mapping(endpoint.get("ports")).items():
        if name not in ports:
            yield f"endpoint port {number} is not defined by the service entry"
        yield from port_name(name)
        yield from port(number)
    yield from labels(endpoint.get("labels"))


def validate_sidecar(obj: Obj) -> Messages:
    """The messages for one Sidecar."""
    spec = mapping(obj.get("spec"))
    ingress, egress = objects(spec.get("ingress")), objects(spec.get("egress"))
    yield from workload_selector(spec.get("workloadSelector"), "labels")
    others = (spec.get("outboundTrafficPolicy"), spec.get("inboundConnectionPool"))
    if not ingress and not egress and all(other is None for other in others):
        yield "sidecar: empty configuration provided"
        return
    used = set()
    for listener in ingress:
        given = listener.get("port")
        if given is None:
            yield "sidecar: port is required for ingress listeners"
            continue
        yield from port(given.get("number"))
        if given.get("number") in used:
            yield "sidecar: ports on IP bound listeners must be unique"
        used.add(given.get("number"))
        yield from connection_pool(listener.get("connectionPool"))
    yield from connection_pool(spec.get("inboundConnectionPool"))
    for index, listener in enumerate(egress):
        if listener.get("port") is None and index != len(egress) - 1:
            yield "sidecar: the egress listener with empty port should be the last listener in the list"
        hosts = texts(listener.get("hosts"))
        if not hosts:
            yield "sidecar: egress listener must contain at least one host"
        for host in hosts:
            yield from namespaced_host(host, allow_any_namespace=False)
