"""A lab for one test: with a mesh if wanted, gone afterwards with all its state."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from meshlab.cluster.facade import Cluster
from meshlab.cluster.providers import embedded, meshes
from meshlab.labs import LabPaths


@contextmanager
def throwaway_lab(mesh: str) -> Iterator[Cluster]:
    """An embedded lab of its own.

    Args:
        mesh: ``istio/demo``, or empty for none.
    """
    lab = LabPaths(f"test-{secrets.token_hex(4)}")
    info = embedded.start(lab)
    try:
        cluster = Cluster(Path(info.kubeconfig))
        if mesh:
            meshes.install(cluster, mesh)
        yield cluster
    finally:
        embedded.stop(lab, delete=True)
