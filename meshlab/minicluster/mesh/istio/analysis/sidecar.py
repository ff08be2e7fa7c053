"""Sidecars: every selector finds a pod, and no pod has two of them (IST0101, IST0110, IST0111)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from meshlab.minicluster.mesh.istio.analysis import workloads
from meshlab.minicluster.mesh.istio.analysis.model import Message, Resource, Snapshot

SIDECARS = "sidecars.networking.istio.io"


def analyze(snapshot: Snapshot) -> Iterator[Message]:
    """Check the Sidecars of every namespace."""
    sidecars = snapshot.of(SIDECARS)
    yield from workloads.overlaps(snapshot, sidecars, _selector, "IST0110")
    yield from workloads.without_selector(sidecars, _selector, "IST0111")


def _selector(sidecar: Resource) -> Mapping[str, str]:
    return (sidecar.spec.get("workloadSelector") or {}).get("labels") or {}
