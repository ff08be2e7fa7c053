"""Who speaks to whom, in the words of the mesh's standard metrics.

A proxy knows itself; of the other side it learns a `Peer`: from the endpoint it chose, or from a header that the other
proxy sends (Istio's metadata exchange). Envoy counts with that one text as a tag, so that it formats few tags per
request; whoever serves the counters takes it apart again (`mesh.istio.agent_metrics`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import astuple, dataclass

APP_LABELS = ("service.istio.io/canonical-name", "app.kubernetes.io/name", "app")
"""Labels that name a workload's canonical service, the first one counts."""
VERSION_LABELS = ("service.istio.io/canonical-revision", "app.kubernetes.io/version", "version")
"""Labels that name its canonical revision."""
LATEST = "latest"
"""The canonical revision of a workload that names none."""
UNKNOWN = "unknown"
CLUSTER = "Kubernetes"
"""Istio's name for the one cluster of a mesh."""

PEER_HEADER = "x-envoy-peer-metadata"
"""Carries a `Peer` from the client's proxy to the server's, which takes it away."""
PEER_VARIABLE = "ISTIO_PEER"
"""Environment variable in which an Envoy finds its own `Peer`."""
METADATA = "meshlab"
"""Namespace of the metadata below, on endpoints, clusters, routes and requests."""
PEER_KEY = "peer"
SERVICE_KEY = "service"
"""On clusters: host, name and namespace of the service behind them."""
VIA_KEY = "via"
"""On routes to no service: what stands as the service's name instead (``PassthroughCluster``)."""
SEPARATOR = ";"

WITHOUT_TAG = "without"
"""Tag of a counter that tells which labels are left out, with `SEPARATOR` between them.

As it travels with the counter, whoever serves it needs to know nothing else, and counters of before a change keep their
labels.
"""
TAG_PREFIX = "tag_"
"""Begin of the tags that give labels other values than the standard's, or further labels theirs."""
PEER_MARK = "@{peer.%s}"
"""In such a value: what a field of the peer says."""
PEER_FIELDS = {
    "workload": "workload",
    "namespace": "namespace",
    "service": "canonical_service",
    "revision": "canonical_revision",
    "app": "app",
    "version": "version",
    "cluster": "cluster",
}
"""Istio's names for what expressions may ask of a peer -> ours."""


@dataclass(frozen=True, slots=True)
class Peer:
    """One side of a connection."""

    workload: str = UNKNOWN
    """Name of the Deployment (or other controller), not of the pod."""
    namespace: str = UNKNOWN
    canonical_service: str = UNKNOWN
    canonical_revision: str = LATEST
    app: str = UNKNOWN
    """The label ``app``."""
    version: str = UNKNOWN
    """The label ``version``."""
    cluster: str = UNKNOWN

    @classmethod
    def of(cls, workload: str, namespace: str, labels: Mapping[str, str]) -> Peer:
        """The peer that a pod of a workload is."""
        return cls(
            workload=workload,
            namespace=namespace,
            canonical_service=_first(labels, APP_LABELS) or workload,
            canonical_revision=_first(labels, VERSION_LABELS) or LATEST,
            app=labels.get("app") or UNKNOWN,
            version=labels.get("version") or UNKNOWN,
            cluster=CLUSTER,
        )

    @classmethod
    def decode(cls, text: str) -> Peer:
        """What `encode` wrote; nobody known for anything else."""
        parts = text.split(SEPARATOR)
        return cls(*(part or UNKNOWN for part in parts)) if len(parts) == len(cls.__slots__) else cls()

    def encode(self) -> str:
        """As one text; no name or label of Kubernetes has a semicolon."""
        return SEPARATOR.join(astuple(self))


def encode_service(host: str, name: str, namespace: str) -> str:
    """A service as one text, for a cluster's metadata."""
    return SEPARATOR.join((host, name, namespace))


def _first(labels: Mapping[str, str], names: tuple[str, ...]) -> str:
    return next((labels[name] for name in names if labels.get(name)), "")
