"""A small world of Kubernetes objects for tests of the mesh: pods, services with their slices, and manifests as YAML."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any

import yaml

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh import envoy
from meshlab.minicluster.mesh.istio.translate import IstioSnapshot, Translation, translate
from meshlab.minicluster.mesh.model import Mesh, ProxyNode
from meshlab.minicluster.network.addresses import hidden_address

PLURALS = {
    "Pod": "pods",
    "Service": "services",
    "Node": "nodes",
    "EndpointSlice": "endpointslices.discovery.k8s.io",
    "VirtualService": "virtualservices.networking.istio.io",
    "DestinationRule": "destinationrules.networking.istio.io",
    "Gateway": "gateways.networking.istio.io",
    "ServiceEntry": "serviceentries.networking.istio.io",
    "WorkloadEntry": "workloadentries.networking.istio.io",
    "Sidecar": "sidecars.networking.istio.io",
    "PeerAuthentication": "peerauthentications.security.istio.io",
    "RequestAuthentication": "requestauthentications.security.istio.io",
    "AuthorizationPolicy": "authorizationpolicies.security.istio.io",
    "Ingress": "ingresses.networking.k8s.io",
    "IngressClass": "ingressclasses.networking.k8s.io",
    "Namespace": "namespaces",
    "Secret": "secrets",
    "GatewayClass": "gatewayclasses.gateway.networking.k8s.io",
    "HTTPRoute": "httproutes.gateway.networking.k8s.io",
    "GRPCRoute": "grpcroutes.gateway.networking.k8s.io",
    "TCPRoute": "tcproutes.gateway.networking.k8s.io",
    "TLSRoute": "tlsroutes.gateway.networking.k8s.io",
    "ReferenceGrant": "referencegrants.gateway.networking.k8s.io",
    "EnvoyFilter": "envoyfilters.networking.istio.io",
    "Telemetry": "telemetries.telemetry.istio.io",
    "ProxyConfig": "proxyconfigs.networking.istio.io",
    "WasmPlugin": "wasmplugins.extensions.istio.io",
}


def resource_of(obj: Obj) -> str:
    """The resource of an object; two API groups have a kind Gateway."""
    if obj["kind"] == "Gateway" and str(obj.get("apiVersion")).startswith("gateway.networking.k8s.io/"):
        return "gateways.gateway.networking.k8s.io"
    return PLURALS[obj["kind"]]


def same_port(port: int) -> int:
    """Every port is really bound where it says."""
    return port


class World:
    """Objects, added one by one; `mesh` translates what is there.

    Args:
        prefix: the first two octets of its addresses.
    """

    def __init__(self, prefix: str = "127.77") -> None:
        self.prefix = prefix
        self.objects: dict[str, list[Obj]] = defaultdict(list)
        self.mesh_config: Obj = {}
        self.proxy_metadata: dict[str, str] = {}
        self._seconds = 0

    def add(self, obj: Obj) -> Obj:
        """Add an object; it is a second younger than the one before."""
        metadata = obj.setdefault("metadata", {})
        metadata.setdefault("namespace", "default")
        self._seconds += 1
        metadata.setdefault("creationTimestamp", f"2026-01-01T00:{self._seconds // 60:02}:{self._seconds % 60:02}Z")
        self.objects[resource_of(obj)].append(obj)
        return obj

    def apply(self, manifests: str) -> None:
        """Add the objects of a YAML stream."""
        for obj in yaml.safe_load_all(manifests):
            if obj:
                self.add(obj)

    def pod(
        self,
        name: str,
        labels: dict[str, str],
        *,
        namespace: str = "default",
        account: str = "default",
        injected: bool = True,
        ports: tuple[tuple[str, int], ...] = (),
        node: str = "meshlab",
    ) -> Obj:
        """Add a running pod with the next address."""
        number = len(self.objects["pods"]) + 2
        labels = {**labels, **({"security.istio.io/tlsMode": "istio"} if injected else {})}
        app: Obj = {"name": "app", "ports": [{"name": n, "containerPort": p} for n, p in ports]}
        sidecar: Obj = {"name": "istio-proxy", "restartPolicy": "Always", "ports": [{"containerPort": 15090}]}
        return self.add(
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": name, "namespace": namespace, "labels": labels},
                "spec": {
                    "serviceAccountName": account,
                    "nodeName": node,
                    "containers": [app],
                    "initContainers": [sidecar] if injected else [],
                },
                "status": {"phase": "Running", "podIP": f"{self.prefix}.1.{number}"},
            }
        )

    def service(
        self,
        name: str,
        selector: dict[str, str],
        ports: list[Obj],
        *,
        namespace: str = "default",
        headless: bool = False,
        ready: Callable[[Obj], bool] = lambda pod: True,
    ) -> Obj:
        """Add a service and a slice of the pods that it selects now."""
        number = len(self.objects["services"]) + 1
        service = self.add(
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {"name": name, "namespace": namespace},
                "spec": {
                    "clusterIP": "None" if headless else f"{self.prefix}.64.{number}",
                    "selector": selector,
                    "ports": ports,
                },
            }
        )
        pods = [
            pod
            for pod in self.objects["pods"]
            if pod["metadata"]["namespace"] == namespace
            and all(pod["metadata"]["labels"].get(k) == v for k, v in selector.items())
        ]
        self.add(
            {
                "apiVersion": "discovery.k8s.io/v1",
                "kind": "EndpointSlice",
                "metadata": {
                    "name": f"{name}-abc",
                    "namespace": namespace,
                    "labels": {"kubernetes.io/service-name": name},
                },
                "ports": [{"name": p.get("name", ""), "port": _numeric_target(p, pods)} for p in ports],
                "endpoints": [
                    {"addresses": [pod["status"]["podIP"]], "conditions": {"ready": ready(pod)}} for pod in pods
                ],
            }
        )
        return service

    def translate(self) -> Translation:
        """Model and problems of what is there."""
        secrets = {(s["metadata"]["namespace"], s["metadata"]["name"]): s for s in self.objects.get("secrets", [])}
        return translate(IstioSnapshot(dict(self.objects), self.mesh_config, secrets=secrets))

    def mesh(self) -> Mesh:
        """The model of what is there."""
        return self.translate().model

    def proxy(self, pod: Obj | str, kind: str = "sidecar") -> ProxyNode:
        """The proxy of a pod."""
        if isinstance(pod, str):
            pod = next(p for p in self.objects["pods"] if p["metadata"]["name"] == pod)
        metadata, ip = pod["metadata"], pod["status"]["podIP"]
        name, namespace = metadata["name"], metadata["namespace"]
        return ProxyNode(
            id=f"{kind}~{ip}~{name}.{namespace}~{namespace}.svc.cluster.local",
            type="router" if kind == "router" else "sidecar",
            namespace=namespace,
            pod=name,
            ip=ip,
            hidden_ip=hidden_address(ip),
            service_account=pod["spec"]["serviceAccountName"],
            labels=metadata["labels"],
            version="1.31.0",
            cluster=f"{name}.{namespace}",
            metadata=self.proxy_metadata,
        )

    def build(
        self, pod: Obj | str, kind: str = "sidecar", ports: Callable[[int], int] = same_port
    ) -> dict[str, dict[str, Obj]]:
        """The configuration of a pod's proxy."""
        return envoy.build(self.mesh(), self.proxy(pod, kind), ports)


def _numeric_target(port: Obj, pods: list[Obj]) -> int:
    target: Any = port.get("targetPort", port["port"])
    if isinstance(target, int):
        return target
    declared = [p for pod in pods for c in pod["spec"]["containers"] for p in c["ports"]]
    return int(next(p["containerPort"] for p in declared if p["name"] == target))
