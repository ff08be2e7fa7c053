"""Which mesh a cluster has, told by its objects alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from meshlab.cluster.facade import Cluster

ISTIO_NAMESPACE = "istio-system"
GATEWAYS = ("istio-ingressgateway", "istio-egressgateway")


@dataclass(frozen=True, slots=True)
class MeshInfo:
    """The mesh of a cluster.

    Attributes:
        name: ``istio``.
        version: of its control plane, from the image's tag.
        ready: whether the control plane's Deployment is available.
        gateways: gateways that exist.
    """

    name: str
    version: str
    ready: bool
    gateways: tuple[str, ...]

    @property
    def text(self) -> str:
        """``istio 1.31.0``."""
        return f"{self.name} {self.version}".strip()


def detect_mesh(cluster: Cluster) -> MeshInfo | None:
    """The cluster's mesh, or None."""
    deployments = cluster.list_objects("deployments.apps", ISTIO_NAMESPACE)
    control_planes = [
        deployment for deployment in deployments if (deployment["metadata"].get("labels") or {}).get("app") == "istiod"
    ]
    if not control_planes:
        return None
    image = control_planes[0]["spec"]["template"]["spec"]["containers"][0]["image"]
    names = {deployment["metadata"]["name"] for deployment in deployments}
    return MeshInfo(
        name="istio",
        version=image.rpartition(":")[2],
        ready=any((entry.get("status") or {}).get("availableReplicas") for entry in control_planes),
        gateways=tuple(name for name in GATEWAYS if name in names),
    )
