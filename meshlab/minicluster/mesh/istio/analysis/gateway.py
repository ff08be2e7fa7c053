"""Gateways: their selector finds pods, and their ports are on a Service (IST0101, IST0162)."""

from __future__ import annotations

from collections.abc import Iterator

from meshlab.minicluster.kubeapi import matches_labels
from meshlab.minicluster.mesh.istio.analysis.messages import quoted, selector_text
from meshlab.minicluster.mesh.istio.analysis.model import Message, Path, Resource, Snapshot, message


def analyze(snapshot: Snapshot) -> Iterator[Message]:
    """Check every Istio Gateway."""
    for gateway in snapshot.of("gateways.networking.istio.io"):
        selector = {str(key): str(value) for key, value in (gateway.spec.get("selector") or {}).items()}
        if not selector:
            continue
        text = selector_text(selector)
        pods = [pod for pod in snapshot.of("pods") if matches_labels(selector, dict(pod.labels))]
        if not pods:
            yield message("IST0101", gateway, "selector", quoted(text), path=("spec", "selector"))
            continue
        ports = _service_ports(snapshot, pods)
        for index, server in enumerate(gateway.spec.get("servers") or []):
            number = (server.get("port") or {}).get("number")
            path: Path = ("spec", "servers", index, "port", "number")
            if isinstance(number, int) and number not in ports:
                yield message("IST0162", gateway, number, text, path=path)


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
                if port.get("protocol", "TCP") != "TCP":
                    continue
                ports |= {value for value in (port.get("port"), port.get("targetPort")) if isinstance(value, int)}
    return ports
