"""What makes a ServiceEntry, a WorkloadEntry or a WorkloadGroup invalid."""

from __future__ import annotations

import re
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
    export_to,
    fqdn,
    is_address,
    labels,
    partial_wildcard,
    port,
    port_name,
    protocol_name,
    protocol_of,
    quote,
    subnet,
    unix_address,
    wildcard_domain,
    workload_selector,
)

PLAIN_TCP = ("TCP", "MONGO", "REDIS", "MYSQL", *TLS_PROTOCOLS)
NO_ADDRESS = "addresses are required for ports serving TCP (or unset) protocol when IP Autoallocation is not enabled"
PROBE_HEADER = re.compile(r"[-A-Za-z0-9]+")
PROBE_NUMBERS = ("periodSeconds", "initialDelaySeconds", "timeoutSeconds", "successThreshold", "failureThreshold")


def validate_service_entry(obj: Obj) -> Messages:
    """The messages for one ServiceEntry."""
    spec = mapping(obj.get("spec"))
    selected = list(workload_selector(spec.get("workloadSelector"), "labels"))
    if wrong := [message for message in selected if not isinstance(message, Caution)]:
        yield from wrong
        return
    for message in selected:
        yield Caution(f"service entry: {message}, will be applied to all services in namespace")
    if spec.get("workloadSelector") is not None and spec.get("endpoints") is not None:
        yield "only one of WorkloadSelector or Endpoints is allowed in Service Entry"
    resolution = text(spec.get("resolution")) or "NONE"
    addresses, ports = texts(spec.get("addresses")), objects(spec.get("ports"))
    yield from _entry_hosts(texts(spec.get("hosts")))
    for address in addresses:
        yield from subnet(address)
    if any("/" in address for address in addresses) and resolution not in ("NONE", "STATIC"):
        yield "CIDR addresses are allowed only for NONE/STATIC resolution types"
    yield from _entry_ports(ports, addressed=bool(addresses) or _gets_address(obj, spec))
    yield from _resolved(spec, resolution)
    hosts = texts(spec.get("hosts"))
    plain = [given for given in ports if protocol_of(given) not in HTTP_PROTOCOLS | TLS_PROTOCOLS]
    if resolution != "NONE" and len(hosts) > 1 and plain:
        yield "multiple hosts provided with non-HTTP, non-TLS ports"
    namespace = text(mapping(obj.get("metadata")).get("namespace"))
    yield from export_to(namespace, spec.get("exportTo"), service_entry=True)


def _entry_hosts(hosts: Sequence[str]) -> Messages:
    if not hosts:
        yield "service entry must have at least one host"
    for host in hosts:
        if host == "*":
            yield f"invalid host {host}"
        else:
            yield from wildcard_domain(host)
            yield from map(Caution, partial_wildcard(host))


def _gets_address(obj: Obj, spec: Mapping[str, Any]) -> bool:
    """Whether istiod's controller gives the hosts addresses of their own."""
    found = mapping(mapping(obj.get("metadata")).get("labels"))
    return (
        text(found.get("networking.istio.io/enable-autoallocate-ip")).lower() != "false"
        and text(spec.get("resolution")) not in ("", "NONE")
        and not all("*" in host for host in texts(spec.get("hosts")))
    )


def _entry_ports(ports: Sequence[Mapping[str, Any]], *, addressed: bool) -> Messages:
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
        if not addressed and text(given.get("protocol")) in ("", "TCP"):
            yield Caution(NO_ADDRESS)
        yield from port_name(name)
        yield from protocol_name(given.get("protocol"))
        yield from port(number)


def _resolved(spec: Mapping[str, Any], resolution: str) -> Messages:
    """What the way of resolving asks of hosts and endpoints."""
    hosts, endpoints, ports = texts(spec.get("hosts")), objects(spec.get("endpoints")), objects(spec.get("ports"))
    names = {text(given.get("name")) for given in ports}
    if resolution == "NONE":
        if endpoints:
            yield "no endpoints should be provided for resolution type none"
        if spec.get("workloadSelector") is not None:
            yield Caution("workloadSelector should not be set when resolution mode is NONE")
    elif resolution == "STATIC":
        for endpoint in endpoints:
            yield from workload_entry(endpoint, names, names_allowed=False)
    elif resolution in ("DNS", "DNS_ROUND_ROBIN"):
        if not endpoints:
            for _ in filter(None, (list(fqdn(host)) for host in hosts)):
                yield f"hosts must be FQDN if no endpoints are provided for resolution mode {resolution}"
        if resolution == "DNS_ROUND_ROBIN" and len(endpoints) > 1:
            yield f"there must only be 0 or 1 endpoint for resolution mode {resolution}"
        for endpoint in endpoints:
            yield from _named_endpoint(endpoint, names)
        if texts(spec.get("addresses")) and len(hosts) > 1 and any(protocol_of(given) in PLAIN_TCP for given in ports):
            yield Caution(
                "service entry can not have more than one host specified simultaneously with address and tcp port"
            )


def _named_endpoint(endpoint: Mapping[str, Any], ports: set[str]) -> Messages:
    address = text(endpoint.get("address"))
    if not is_address(address) and list(fqdn(address)):
        yield f"endpoint address {quote(address)} is not a valid FQDN or an IP address"
    yield from labels(endpoint.get("labels"))
    yield from _endpoint_ports(endpoint, ports)


def _endpoint_ports(endpoint: Mapping[str, Any], ports: set[str] | None) -> Messages:
    for name, number in mapping(endpoint.get("ports")).items():
        if ports is not None and name not in ports:
            yield f"endpoint port {number} is not defined by the service entry"
        yield from port_name(name)
        yield from port(number)


def workload_entry(entry: Mapping[str, Any], ports: set[str] | None, *, names_allowed: bool) -> Messages:
    """One endpoint.

    Args:
        entry: a WorkloadEntry's spec, or an endpoint of a ServiceEntry.
        ports: the names of the ServiceEntry's ports; None where there is no ServiceEntry around.
        names_allowed: whether the address may be a name.
    """
    address = text(entry.get("address"))
    if not address:
        if not entry.get("network"):
            yield "address is required"
            return
        yield Caution(f"address is unset with network {quote(text(entry['network']))}")
    elif address.startswith(UNIX):
        yield from unix_address(address.removeprefix(UNIX))
        if entry.get("ports"):
            yield f"unix endpoint {address} must not include ports"
    elif not is_address(address):
        if not names_allowed:
            yield f"endpoint address {quote(address)} is not a valid IP address"
        elif list(fqdn(address)):
            yield f"endpoint address {quote(address)} is not a valid FQDN or an IP address"
    yield from _endpoint_ports(entry, ports)
    yield from labels(entry.get("labels"))
    if address.startswith(UNIX) and ports is not None and len(ports) != 1:
        yield "exactly 1 service port required for unix endpoints"


def validate_workload_entry(obj: Obj) -> Messages:
    """The messages for one WorkloadEntry."""
    yield from workload_entry(mapping(obj.get("spec")), None, names_allowed=True)


def validate_workload_group(obj: Obj) -> Messages:
    """The messages for one WorkloadGroup."""
    spec = mapping(obj.get("spec"))
    if spec.get("template") is None:
        yield "template is required"
        return
    if wrong := list(labels(mapping(spec.get("metadata")).get("labels"))):
        listed = "".join(f"\t* {message}\n" for message in wrong)
        yield f"invalid labels: {len(wrong)} error{'s' if len(wrong) > 1 else ''} occurred:\n{listed}\n"
        return
    yield from _probe(spec.get("probe"))


def _probe(probe: Any) -> Messages:
    if probe is None:
        return
    for field in PROBE_NUMBERS:
        if (probe.get(field) or 0) < 0:
            yield f"{field} must be non-negative"
    if (request := probe.get("httpGet")) is not None:
        yield from port(request.get("port"))
        if request.get("scheme") not in (None, "", "HTTP", "HTTPS"):
            yield 'httpGet.scheme must be one of "HTTPS", "HTTP"'
        for header in objects(request.get("httpHeaders")):
            name = text(header.get("name"))
            if not name:
                yield "header name cannot be empty"
            elif PROBE_HEADER.fullmatch(name) is None:
                yield f"header name {name} is not a valid header name"
    elif (socket := probe.get("tcpSocket")) is not None:
        yield from port(socket.get("port"))
    elif (command := probe.get("exec")) is not None:
        if not command.get("command"):
            yield "exec.command is required"
    elif "grpc" not in probe:
        yield "unknown health check method <nil>"
