"""What makes a Sidecar invalid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.istio.reading import mapping, objects, text, texts
from meshlab.minicluster.mesh.istio.validation_common import (
    HTTP_PROTOCOLS,
    TLS_PROTOCOLS,
    UNIX,
    Caution,
    Messages,
    fqdn,
    ip_address,
    namespaced_host,
    port,
    port_name,
    protocol_name,
    protocol_of,
    quote,
    unix_address,
    workload_selector,
)
from meshlab.minicluster.mesh.istio.validation_destinationrule import connection_pool
from meshlab.minicluster.mesh.istio.validation_gateway import server_tls
from meshlab.minicluster.mesh.istio.validation_route import destination

LOOPBACK = ("", "127.0.0.1", "0.0.0.0", "::1", "::")
NOT_IN_INGRESS_TLS = {
    "subjectAltNames": "subjectAltNames is not supported in ingress tls",
    "httpsRedirect": "httpsRedirect is not supported",
    "credentialName": "credentialName is not currently supported",
    "credentialNames": "credentialNames is not currently supported",
    "tlsCertificates": "tls_certificates is not currently supported",
}
TARGET_PORT = "targetPort has no impact on Sidecars"
NOT_UNIQUE = "sidecar: ports on IP bound listeners must be unique"


def validate_sidecar(obj: Obj) -> Messages:
    """The messages for one Sidecar."""
    spec = mapping(obj.get("spec"))
    ingress, egress = objects(spec.get("ingress")), objects(spec.get("egress"))
    selected = list(workload_selector(spec.get("workloadSelector"), "labels"))
    if wrong := [message for message in selected if not isinstance(message, Caution)]:
        yield from wrong
        return
    others = (spec.get("outboundTrafficPolicy"), spec.get("inboundConnectionPool"))
    if not ingress and not egress and all(other is None for other in others):
        yield "sidecar: empty configuration provided"
        return
    for message in selected:
        yield Caution(f"sidecar: {message}, will be applied to all services in namespace")
    yield from _ingress(ingress)
    yield from connection_pool(spec.get("inboundConnectionPool"))
    yield from _egress(egress, text(mapping(obj.get("metadata")).get("namespace")))
    yield from _outbound_policy(spec.get("outboundTrafficPolicy"))


def _ingress(listeners: Sequence[Mapping[str, Any]]) -> Messages:
    used = set()
    for listener in listeners:
        given = listener.get("port")
        if given is None:
            yield "sidecar: port is required for ingress listeners"
            continue
        if given.get("targetPort"):
            yield TARGET_PORT
        yield from _bound_port(given, text(listener.get("bind")))
        if given.get("number") in used:
            yield NOT_UNIQUE
        used.add(given.get("number"))
        yield from _default_endpoint(text(listener.get("defaultEndpoint")))
        yield from _ingress_tls(listener.get("tls"), protocol_of(given))
        pool = listener.get("connectionPool")
        yield from connection_pool(pool)
        if mapping(pool).get("http") is not None and protocol_of(given) not in HTTP_PROTOCOLS:
            yield Caution(
                f"sidecar: HTTP connection pool settings are configured for port {given.get('number', 0)} "
                f"({quote(text(given.get('name')))}) but its protocol is not HTTP ({text(given.get('protocol'))}); "
                "only TCP settings will apply"
            )


def _bound_port(given: Mapping[str, Any], bind: str) -> Messages:
    if given.get("name"):
        yield from port_name(text(given["name"]))
    yield from protocol_name(given.get("protocol"))
    yield from port(given.get("number"))
    if bind:
        yield from ip_address(bind)


def _default_endpoint(endpoint: str) -> Messages:
    """Where the application listens: ``127.0.0.1:port``, ``[::1]:port``, ``:port`` or a Unix domain socket."""
    if not endpoint:
        return
    if endpoint.startswith(UNIX):
        yield from unix_address(endpoint.removeprefix(UNIX))
        return
    host, colon, number = endpoint.rpartition(":")
    if not colon:
        yield f"address {endpoint}: missing port in address"
        host, number = "", ""
    elif ":" in host and not (host.startswith("[") and host.endswith("]")):
        yield f"address {endpoint}: too many colons in address"
        host, number = "", ""
    if host.strip("[]") not in LOOPBACK:
        yield (
            "sidecar: defaultEndpoint must be of form 127.0.0.1:<port>,0.0.0.0:<port>,[::1]:port,[::]:port,"
            "unix://filepath or unset"
        )
    if not number.removeprefix("-").isdecimal():
        yield (
            f"sidecar: defaultEndpoint port ({number}) is not a number: "
            f"strconv.Atoi: parsing {quote(number)}: invalid syntax"
        )
    else:
        yield from port(int(number))


def _ingress_tls(tls: Any, protocol: str) -> Messages:
    if tls is None:
        return
    for field, message in NOT_IN_INGRESS_TLS.items():
        if tls.get(field):
            yield f"sidecar: {message}"
    if tls.get("mode") in ("ISTIO_MUTUAL", "AUTO_PASSTHROUGH"):
        yield f"configuration is invalid: cannot set mode to {tls['mode']} in sidecar ingress tls"
    if protocol not in TLS_PROTOCOLS:
        yield "server cannot have TLS settings for non HTTPS/TLS ports"
    yield from server_tls(tls)


def _egress(listeners: Sequence[Mapping[str, Any]], namespace: str) -> Messages:
    numbers, sockets = set(), set()
    for index, listener in enumerate(listeners):
        given, bind = listener.get("port"), text(listener.get("bind"))
        if given is None:
            if index != len(listeners) - 1:
                yield "sidecar: the egress listener with empty port should be the last listener in the list"
        elif given.get("number"):
            if given.get("targetPort"):
                yield TARGET_PORT
            yield from _bound_port(given, bind)
            if given["number"] in numbers:
                yield NOT_UNIQUE
            numbers.add(given["number"])
        else:
            yield from _socket_port(given, bind, text(listener.get("captureMode")))
            if bind in sockets:
                yield "sidecar: unix domain socket values for listeners must be unique"
            sockets.add(bind)
        yield from _egress_hosts(texts(listener.get("hosts")), namespace)


def _socket_port(given: Mapping[str, Any], bind: str, capture: str) -> Messages:
    if given.get("targetPort"):
        yield TARGET_PORT
    if given.get("name"):
        yield from port_name(text(given["name"]))
    yield from protocol_name(given.get("protocol"))
    if bind.startswith(UNIX):
        yield from unix_address(bind.removeprefix(UNIX))
    else:
        yield "sidecar: ports with 0 value must have a unix domain socket bind address"
    if capture not in ("", "DEFAULT", "NONE"):
        yield "sidecar: captureMode must be DEFAULT/NONE for unix domain socket listeners"


def _egress_hosts(hosts: Sequence[str], namespace: str) -> Messages:
    if not hosts:
        yield "sidecar: egress listener must contain at least one host"
        return
    seen: dict[str, set[str]] = {}
    for host in hosts:
        owner, slash, name = host.partition("/")
        if slash:
            known = seen.setdefault(namespace if owner == "." else owner, set())
            if known if name == "*" else known & {name, "*"}:
                yield Caution(f"duplicated egress host: {host}")
            known.add(name)
        yield from namespaced_host(host, gateway=False)
    if "*" in seen.get("*", ()) and len(seen) != 1:
        yield Caution("`*/*` host select all resources, no other hosts can be added")


def _outbound_policy(policy: Any) -> Messages:
    proxy = mapping(policy).get("egressProxy")
    if proxy is None:
        return
    if policy.get("mode") != "ALLOW_ANY":
        yield "sidecar: egress_proxy must be set only with ALLOW_ANY outbound_traffic_policy mode"
        return
    yield from fqdn(text(proxy.get("host")))
    if proxy.get("port") is None:
        yield "sidecar: egress_proxy port must be non-nil"
        return
    yield from destination(proxy)
