"""IST0118, IST0150: does a service port's name tell its protocol?"""

from __future__ import annotations

from collections.abc import Iterator

from meshlab.minicluster.mesh.istio.analysis.model import SYSTEM_NAMESPACES, Message, Path, Snapshot, message
from meshlab.minicluster.mesh.istio.protocol import port_protocol
from meshlab.minicluster.mesh.model import Protocol


def analyze(snapshot: Snapshot) -> Iterator[Message]:
    """Check the ports of every service outside the system namespaces; Istio's own (label ``istio``) are left out."""
    for service in snapshot.of("services"):
        if service.namespace in SYSTEM_NAMESPACES or "istio" in service.labels:
            continue
        external = service.spec.get("type") == "ExternalName"
        for index, port in enumerate(service.spec.get("ports") or []):
            name, number = str(port.get("name") or ""), int(port.get("port") or 0)
            protocol = port_protocol(number, name, port.get("appProtocol"), port.get("protocol") or "TCP")
            path: Path = ("spec", "ports", index)
            if external and (name == "tcp" or protocol is Protocol.AUTO):
                yield message("IST0150", service, path=path)
            elif protocol is Protocol.AUTO:
                yield message("IST0118", service, name, number, port.get("targetPort") or number, path=path)
