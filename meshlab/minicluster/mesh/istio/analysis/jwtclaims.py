"""IST0149: who routes by claims at a gateway needs a RequestAuthentication for the gateway's pods."""

from __future__ import annotations

from collections.abc import Iterator

from meshlab.minicluster.kubeapi import matches_labels
from meshlab.minicluster.mesh.istio.analysis.gatewayconflicts import GATEWAYS, selector
from meshlab.minicluster.mesh.istio.analysis.mesh import root_namespace
from meshlab.minicluster.mesh.istio.analysis.model import Message, Resource, Snapshot, message
from meshlab.minicluster.mesh.istio.hosts import resolve_gateway

CLAIM = "@request.auth.claims"


def analyze(snapshot: Snapshot) -> Iterator[Message]:
    """Check the pods of every gateway that a VirtualService with such a match is bound to."""
    root = root_namespace(snapshot)
    gateways = {gateway.full_name: gateway for gateway in snapshot.of(GATEWAYS)}
    for resource in snapshot.of("virtualservices.networking.istio.io"):
        key = _claim(resource)
        for name in resource.spec.get("gateways") or [] if key else []:
            gateway = gateways.get(resolve_gateway(str(name), resource.namespace))
            if gateway is None:
                continue
            for pod in snapshot.of("pods"):
                labels = dict(selector(gateway))
                if (not labels or matches_labels(labels, dict(pod.labels))) and not _authenticated(pod, snapshot, root):
                    yield message("IST0149", resource, key, gateway.full_name, pod.name)


def _authenticated(pod: Resource, snapshot: Snapshot, root: str) -> bool:
    return any(
        policy.namespace in (root, pod.namespace)
        and (not policy.selector or matches_labels(dict(policy.selector), dict(pod.labels)))
        for policy in snapshot.of("requestauthentications.security.istio.io")
    )


def _claim(virtual_service: Resource) -> str:
    """The first header match that stands for a claim; empty if there is none."""
    for rule in virtual_service.spec.get("http") or []:
        for match in (rule or {}).get("match") or []:
            for field in ("headers", "withoutHeaders"):
                for key in (match or {}).get(field) or {}:
                    if str(key).startswith(CLAIM):
                        return str(key)
    return ""
