"""Labs for tests: with a mesh if wanted, gone afterwards with all their state."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from meshlab.cluster.facade import Cluster
from meshlab.cluster.providers import embedded, meshes
from meshlab.errors import LabError
from meshlab.labs import LabPaths


class ThrowawayLabs:
    """Embedded labs that live no longer than what opened them; threads may share it.

    Leaving it takes away at once what is still open, so that a thread that works on such a lab fails and ends soon.
    """

    def __init__(self) -> None:
        self._open: set[LabPaths] = set()
        self._closed = False
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._closed = True
        with self._lock:
            for lab in self._open:
                embedded.stop(lab, delete=True)
            self._open.clear()

    @contextmanager
    def open(self, mesh: str) -> Iterator[Cluster]:
        """A lab of its own.

        Args:
            mesh: ``istio/demo``, or empty for none.

        Raises:
            LabError: it did not come up, or nobody wants it any more.
        """
        lab = LabPaths(f"test-{secrets.token_hex(4)}")
        info = embedded.start(lab)
        with self._lock:
            self._open.add(lab)
        try:
            if self._closed:
                raise LabError("the labs were taken away while this one came up")
            cluster = Cluster(Path(info.kubeconfig))
            if mesh:
                meshes.install(cluster, mesh)
            yield cluster
        finally:
            with self._lock:
                if lab in self._open:
                    self._open.remove(lab)
                    embedded.stop(lab, delete=True)
