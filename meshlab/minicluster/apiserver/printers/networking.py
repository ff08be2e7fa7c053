"""Services, endpoints and what leads traffic to them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from meshlab.minicluster.apiserver.printers.columns import (
    NONE,
    UNSET,
    Cells,
    Printer,
    at,
    columns,
    joined,
    label_selector,
    labels,
    name,
    object_age,
    truncated,
)
from meshlab.minicluster.kubeapi import Obj


def _service(obj: Obj, now: datetime) -> Cells:
    spec = obj.get("spec") or {}
    ips = spec.get("clusterIPs") or ([spec["clusterIP"]] if spec.get("clusterIP") else [])
    return [
        name(obj),
        spec.get("type") or "ClusterIP",
        ips[0] if ips else NONE,
        _external_ip(obj),
        joined(map(_service_port, spec.get("ports") or ())),
        object_age(obj, now),
        labels(spec.get("selector")),
    ]


def _external_ip(obj: Obj) -> str:
    spec = obj.get("spec") or {}
    external = list(spec.get("externalIPs") or ())
    match spec.get("type"):
        case "ExternalName":
            return spec.get("externalName") or NONE
        case "LoadBalancer":
            assigned = _load_balancer(at(obj, "status.loadBalancer.ingress", []))
            return ",".join([*assigned, *external]) or "<pending>"
        case _:
            return joined(external)


def _load_balancer(ingress: Iterable[Mapping[str, Any]]) -> list[str]:
    return sorted({address for item in ingress if (address := item.get("ip") or item.get("hostname"))})


def _service_port(port: Mapping[str, Any]) -> str:
    node_port = f":{port['nodePort']}" if port.get("nodePort") else ""
    return f"{port.get('port')}{node_port}/{port.get('protocol') or 'TCP'}"


def _endpoints(obj: Obj, now: datetime) -> Cells:
    listed: list[str] = []
    for subset in obj.get("subsets") or ():
        ips = [item.get("ip", "") for item in subset.get("addresses") or ()]
        ports = [item.get("port") for item in subset.get("ports") or ()]
        listed += [_host_port(ip, port) for port in ports for ip in ips] if ports else ips
    return [name(obj), truncated(listed, 3), object_age(obj, now)]


def _host_port(ip: str, port: Any) -> str:
    return f"[{ip}]:{port}" if ":" in ip else f"{ip}:{port}"


def _endpoint_slice(obj: Obj, now: datetime) -> Cells:
    ports = [str(item["port"]) if item.get("port") is not None else "*" for item in obj.get("ports") or ()]
    addresses = [address for item in obj.get("endpoints") or () for address in item.get("addresses") or ()]
    return [
        name(obj),
        obj.get("addressType", ""),
        truncated(ports, 3, UNSET),
        truncated(addresses, 3, UNSET),
        object_age(obj, now),
    ]


def _ingress(obj: Obj, now: datetime) -> Cells:
    spec = obj.get("spec") or {}
    hosts = [rule["host"] for rule in spec.get("rules") or () if rule.get("host")]
    return [
        name(obj),
        spec.get("ingressClassName") or NONE,
        truncated(hosts, 3, "*"),
        ",".join(_load_balancer(at(obj, "status.loadBalancer.ingress", []))),
        "80, 443" if spec.get("tls") else "80",
        object_age(obj, now),
    ]


def _ingress_class(obj: Obj, now: datetime) -> Cells:
    parameters = at(obj, "spec.parameters")
    shown = NONE
    if parameters:
        group = f".{parameters['apiGroup']}" if parameters.get("apiGroup") else ""
        shown = f"{parameters.get('kind')}{group}/{parameters.get('name')}"
    return [name(obj), at(obj, "spec.controller", ""), shown, object_age(obj, now)]


def _network_policy(obj: Obj, now: datetime) -> Cells:
    return [name(obj), label_selector(at(obj, "spec.podSelector")), object_age(obj, now)]


PRINTERS = {
    "services": Printer(
        columns("Name|Type|Cluster-IP|External-IP|Port(s)|Age|Selector*"),
        _service,
    ),
    "endpoints": Printer(columns("Name|Endpoints|Age"), _endpoints),
    "discovery.k8s.io/endpointslices": Printer(columns("Name|AddressType|Ports|Endpoints|Age"), _endpoint_slice),
    "networking.k8s.io/ingresses": Printer(columns("Name|Class|Hosts|Address|Ports|Age"), _ingress),
    "networking.k8s.io/ingressclasses": Printer(columns("Name|Controller|Parameters|Age"), _ingress_class),
    "networking.k8s.io/networkpolicies": Printer(columns("Name|Pod-Selector|Age"), _network_policy),
}
