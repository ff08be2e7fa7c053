"""What stands behind a Service: its pods, and what EndpointSlices and Endpoints say of each. Pure functions."""

from __future__ import annotations

from meshlab.minicluster.controllers.ownership import is_being_deleted
from meshlab.minicluster.controllers.pods import is_finished, is_ready
from meshlab.minicluster.kubeapi import Obj, matches_labels

ZONE_LABEL = "topology.kubernetes.io/zone"
LAST_CHANGE = "endpoints.kubernetes.io/last-change-trigger-time"
HEADLESS_LABEL = "service.kubernetes.io/headless"

Ports = tuple[tuple[tuple[str, str | int], ...], ...]
"""Endpoint ports in a form that can be compared and be a dictionary key; see `endpoint_ports`."""


def is_selected(service: Obj, pod: Obj) -> bool:
    """Whether the Service's selector selects the pod."""
    return matches_labels(service["spec"].get("selector"), pod["metadata"].get("labels"))


def is_headless(service: Obj) -> bool:
    """Whether ``clusterIP: None`` was asked for."""
    return bool(service["spec"].get("clusterIP") == "None")


def has_backends(service: Obj) -> bool:
    """Whether the control plane derives the Service's endpoints (it has a selector and is no ExternalName)."""
    return bool(service["spec"].get("selector")) and service["spec"].get("type") != "ExternalName"


def backend_facts(pod: Obj) -> tuple[object, ...]:
    """Everything about a pod that may change an endpoint."""
    status, spec, metadata = pod.get("status") or {}, pod["spec"], pod["metadata"]
    return (
        status.get("podIP"),
        status.get("phase") in ("Succeeded", "Failed"),
        is_ready(pod),
        is_being_deleted(pod),
        metadata.get("labels"),
        metadata.get("uid"),
        spec.get("nodeName"),
        spec.get("hostname"),
        spec.get("subdomain"),
    )


def belongs(pod: Obj, *, include_terminating: bool) -> bool:
    """Whether a selected pod has an endpoint at all."""
    if is_finished(pod) or not (pod.get("status") or {}).get("podIP"):
        return False
    return include_terminating or not is_being_deleted(pod)


def target_port(service_port: Obj, pod: Obj) -> int | None:
    """The number of the port on this pod; None if the pod has no container port of that name."""
    target = service_port.get("targetPort") or service_port["port"]
    if isinstance(target, int):
        return target
    spec = pod["spec"]
    sidecars = (c for c in spec.get("initContainers") or () if c.get("restartPolicy") == "Always")
    protocol = service_port.get("protocol") or "TCP"
    for container in (*(spec.get("containers") or ()), *sidecars):
        for port in container.get("ports") or ():
            if port.get("name") == target and (port.get("protocol") or "TCP") == protocol:
                return int(port["containerPort"])
    return None


def endpoint_ports(service: Obj, pod: Obj) -> Ports:
    """The Service's ports as this pod serves them, sorted."""
    ports = []
    for service_port in service["spec"].get("ports") or ():
        number = target_port(service_port, pod)
        if number is None:
            continue
        port: Obj = {
            "name": service_port.get("name", ""),
            "port": number,
            "protocol": service_port.get("protocol") or "TCP",
        }
        if service_port.get("appProtocol"):
            port["appProtocol"] = service_port["appProtocol"]
        ports.append(tuple(port.items()))
    return tuple(sorted(ports, key=str))


def target_reference(pod: Obj) -> Obj:
    """The ``targetRef`` of an endpoint."""
    metadata = pod["metadata"]
    return {"kind": "Pod", "namespace": metadata["namespace"], "name": metadata["name"], "uid": metadata["uid"]}


def endpoint(service: Obj, pod: Obj, zone: str) -> Obj:
    """The endpoint of a pod in an EndpointSlice."""
    serving, terminating = is_ready(pod), is_being_deleted(pod)
    anyway = bool(service["spec"].get("publishNotReadyAddresses"))
    result: Obj = {
        "addresses": [pod["status"]["podIP"]],
        "conditions": {
            "ready": anyway or (serving and not terminating),
            "serving": serving,
            "terminating": terminating,
        },
        "targetRef": target_reference(pod),
    }
    if pod["spec"].get("nodeName"):
        result["nodeName"] = pod["spec"]["nodeName"]
    if zone:
        result["zone"] = zone
    if names_host(service, pod):
        result["hostname"] = pod["spec"]["hostname"]
    return result


def names_host(service: Obj, pod: Obj) -> bool:
    """Whether the pod has a DNS name of its own below the Service's."""
    spec = pod["spec"]
    return bool(spec.get("hostname")) and spec.get("subdomain") == service["metadata"]["name"]
