"""Gateways: their selector finds pods, their ports are on a Service, their credentials exist (IST0101, IST0162)."""

from __future__ import annotations

from collections.abc import Iterator

from meshlab.minicluster.kubeapi import matches_labels
from meshlab.minicluster.mesh.istio.analysis.messages import quoted
from meshlab.minicluster.mesh.istio.analysis.model import Message, Path, Resource, Snapshot, message


def analyze(snapshot: Snapshot) -> Iterator[Message]:
    """Check every Istio Gateway."""
    for gateway in snapshot.of("gateways.networking.istio.io"):
        selector = {str(key): str(value) for key, value in (gateway.spec.get("selector") or {}).items()}
        if not selector:
            continue
        text = ",".join(f"{key}={value}" for key, value in sorted(selector.items()))
        pods = [pod for pod in snapshot.of("pods") if matches_labels(selector, dict(pod.labels))]
        if not pods:
            yield message("IST0101", gateway, "selector", quoted(text), path=("spec", "selector"))
            continue
        ports = _service_ports(snapshot, pods)
        for index, server in enumerate(gateway.spec.get("servers") or []):
            number = (server.get("port") or {}).get("number")
            path: Path = ("spec", "servers", index, "port", "number")
            if ports and isinstance(number, int) and number not in ports:
                yield message("IST0162", gateway, number, text, path=path)
        yield from _credentials(snapshot, gateway, {pod.namespace for pod in pods})


def _service_ports(snapshot: Snapshot, pods: list[Resource]) -> set[int]:
    ports: set[int] = set()
    for service in snapshot.of("services"):
        selected = [
            pod
            for pod in pods
            if pod.namespace == service.namespace and matches_labels(service.spec.get("selector"), dict(pod.labels))
        ]
        if selected:
            for port in service.spec.get("ports") or []:
                ports |= {value for value in (port.get("port"), port.get("targetPort")) if isinstance(value, int)}
    return ports


def _credentials(snapshot: Snapshot, gateway: Resource, namespaces: set[str]) -> Iterator[Message]:
    secrets = {secret.full_name for secret in snapshot.of("secrets")}
    for index, server in enumerate(gateway.spec.get("servers") or []):
        name = (server.get("tls") or {}).get("credentialName")
        if name and not any(f"{namespace}/{name}" in secrets for namespace in namespaces):
            path: Path = ("spec", "servers", index, "tls", "credentialName")
            yield message("IST0101", gateway, "credentialName", quoted(str(name)), path=path)
