"""Pods as workloads: identity, labels, ports and place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.istio.reading import integer, mapping, objects, string_map, text
from meshlab.minicluster.mesh.model import ContainerPort, Locality, Workload
from meshlab.minicluster.network.capture import inbound_annotations

SIDECAR_CONTAINER = "istio-proxy"
TLS_MODE_LABEL = "security.istio.io/tlsMode"
LOCALITY_LABEL = "istio-locality"
REGION_LABEL = "topology.kubernetes.io/region"
ZONE_LABEL = "topology.kubernetes.io/zone"
SUB_ZONE_LABEL = "topology.istio.io/subzone"


def translate_workload(pod: Obj, nodes: Mapping[str, Locality]) -> Workload | None:
    """The workload of a pod; None for one that has ended."""
    metadata, spec, status = (mapping(pod.get(part)) for part in ("metadata", "spec", "status"))
    if status.get("phase") in ("Succeeded", "Failed"):
        return None
    labels = string_map(metadata.get("labels"))
    return Workload(
        namespace=text(metadata.get("namespace")),
        name=text(metadata.get("name")),
        ip=text(status.get("podIP")),
        labels=labels,
        service_account=text(spec.get("serviceAccountName")) or "default",
        owner=owner_name(metadata, labels),
        ports=tuple(container_ports(spec)),
        locality=workload_locality(labels, nodes.get(text(spec.get("nodeName")), Locality())),
        mesh_tls=labels.get(TLS_MODE_LABEL) == "istio",
        inbound_rules=inbound_annotations(string_map(metadata.get("annotations"))),
    )


def container_ports(spec: Mapping[str, Any]) -> list[ContainerPort]:
    """The ports that a pod's own containers declare, native sidecars' included, the proxy's left out."""
    sidecars = [c for c in objects(spec.get("initContainers")) if c.get("restartPolicy") == "Always"]
    found: list[ContainerPort] = []
    for container in (*objects(spec.get("containers")), *sidecars):
        if container.get("name") == SIDECAR_CONTAINER:
            continue
        for port in objects(container.get("ports")):
            number = integer(port.get("containerPort"))
            if number is not None:
                found.append(ContainerPort(text(port.get("name")), number, text(port.get("protocol")) or "TCP"))
    return found


def owner_name(metadata: Mapping[str, Any], labels: Mapping[str, str]) -> str:
    """The name of the workload behind a pod: its controller, or the Deployment behind its ReplicaSet."""
    for owner in objects(metadata.get("ownerReferences")):
        name = text(owner.get("name"))
        if not owner.get("controller") or not name:
            continue
        template_hash = labels.get("pod-template-hash", "")
        if owner.get("kind") == "ReplicaSet" and template_hash:
            return name.removesuffix(f"-{template_hash}")
        return name
    return text(metadata.get("name"))


def node_localities(nodes: Sequence[Obj]) -> dict[str, Locality]:
    """The place of each node, by name, from the well-known topology labels."""
    found: dict[str, Locality] = {}
    for node in nodes:
        metadata = mapping(node.get("metadata"))
        labels = string_map(metadata.get("labels"))
        found[text(metadata.get("name"))] = Locality(
            labels.get(REGION_LABEL, ""), labels.get(ZONE_LABEL, ""), labels.get(SUB_ZONE_LABEL, "")
        )
    return found


def workload_locality(labels: Mapping[str, str], node: Locality) -> Locality:
    """A pod's place: its own label ``istio-locality`` (parts separated by dots or slashes), else its node's."""
    own = labels.get(LOCALITY_LABEL, "")
    if not own:
        return node
    return parse_locality(own if "/" in own else own.replace(".", "/"))


def parse_locality(path: str) -> Locality:
    """``region/zone/subzone``, the end of which may be missing."""
    parts = [*path.split("/", 2), "", ""]
    return Locality(parts[0], parts[1], parts[2])
