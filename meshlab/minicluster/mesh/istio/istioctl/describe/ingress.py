"""At which ingress gateways a service is reached, and by which VirtualService."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from meshlab.minicluster.kubeapi import matches_labels
from meshlab.minicluster.mesh.istio.analysis.model import Resource, Snapshot
from meshlab.minicluster.mesh.istio.hosts import resolve_gateway
from meshlab.minicluster.mesh.istio.istioctl.describe import lookup, rules
from meshlab.minicluster.mesh.istio.istioctl.describe.lookup import View, full_host

RULE = "-" * 20
GATEWAYS = "gateways.networking.istio.io"
INGRESS = {"istio": "ingressgateway"}
PORT_NAMES = ("http2", "http")
"""What of a gateway's service is shown: the other ports answer only after more has been set up."""


@dataclass(frozen=True, slots=True)
class Ingress:
    """A service of ingress gateway pods."""

    service: Resource
    pods: tuple[Resource, ...]

    @property
    def address(self) -> str:
        """The load balancer's, else the node's."""
        balanced = ((self.service.obj.get("status") or {}).get("loadBalancer") or {}).get("ingress") or []
        if balanced:
            return str(balanced[0].get("ip") or "")
        return str((self.pods[0].obj.get("status") or {}).get("hostIP") or "unknown")

    def lines(self) -> Iterator[str]:
        """``Exposed on Ingress Gateway http://127.1.96.1``."""
        for port in self.service.spec.get("ports") or []:
            if port.get("protocol", "TCP") != "TCP" or port.get("name") not in PORT_NAMES:
                continue
            if lookup.target_port(port, self.pods) is not None:
                number = port["port"]
                suffix = "" if number == 80 else f":{number}"
                yield f"Exposed on Ingress Gateway http://{self.address}{suffix}"


def ingress(services: Sequence[Resource], pods_labels: Sequence[Mapping[str, str]], view: View) -> Iterator[str]:
    """The lines about gateways for some services and their pods."""
    gateways = [
        pod
        for pod in view.snapshot.of("pods")
        if matches_labels(INGRESS, dict(pod.labels)) and (pod.obj.get("status") or {}).get("phase") == "Running"
    ]
    if not gateways:
        yield "Skipping Gateway information (no ingress gateway pods)"
        return
    exposing = _ingresses(gateways, view.snapshot)
    if not exposing:
        yield "Skipping Gateway information (no ingress gateway service)"
    known = {gateway.full_name: gateway for gateway in view.snapshot.of(GATEWAYS)}
    seen: set[str] = set()
    for service in services:
        for port in service.spec.get("ports") or []:
            rule = lookup.destination_rule(service, gateways[0].namespace, view.snapshot)
            subsets = rules.Subsets.of(rule, view.name(rule), pods_labels) if rule else rules.Subsets()
            for resource in lookup.at_gateways(service, port, view.snapshot):
                for name in resource.spec.get("gateways") or []:
                    full = resolve_gateway(str(name), resource.namespace)
                    gateway = known.get(full)
                    if full == "mesh" or full in seen or gateway is None:
                        continue
                    seen.add(full)
                    selector = gateway.spec.get("selector")
                    matching = [
                        item for item in exposing if any(matches_labels(selector, dict(p.labels)) for p in item.pods)
                    ]
                    if not selector:
                        yield f"Ingress Gateway {full} be applyed all workloads"
                    elif matching:
                        yield RULE
                        for item in sorted(matching, key=lambda found: found.address):
                            yield from item.lines()
                        yield from rules.virtual_service(resource, view.name(resource), full_host(service), subsets)


def _ingresses(pods: Sequence[Resource], snapshot: Snapshot) -> list[Ingress]:
    found = []
    for service in snapshot.of("services"):
        selected = tuple(
            pod
            for pod in pods
            if pod.namespace == service.namespace and matches_labels(service.spec.get("selector"), dict(pod.labels))
        )
        if selected:
            found.append(Ingress(service, selected))
    return found
