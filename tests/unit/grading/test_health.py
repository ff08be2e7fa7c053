"""The probes that tell a sick lab from a well one."""

from __future__ import annotations

from typing import Any, cast

import pytest

from meshlab.cluster.facade import Cluster, NotFoundError, RefusedError
from meshlab.errors import ClusterUnreachable
from meshlab.grading.health import sickness
from tests.fakes.grading import NO_CLUSTER, SICK_CLUSTER, ProbedCluster


class Answering(ProbedCluster):
    """Answers one path in its own way."""

    def __init__(self, path: str, answer: Any) -> None:
        super().__init__()
        self.path, self.answer = path, answer

    def request(self, method: str, path: str, *, timeout_s: float = 0) -> Any:
        if path != self.path:
            return super().request(method, path, timeout_s=timeout_s)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def test_a_well_lab_is_well_and_one_without_a_ready_node_is_not() -> None:
    assert (sickness(NO_CLUSTER), sickness(SICK_CLUSTER)) == ("", "no node is Ready")


@pytest.mark.parametrize(
    ("path", "answer", "finding"),
    [
        ("/readyz", ClusterUnreachable("gone"), "gone"),
        ("/readyz", RefusedError("etcd failed", 500, ""), "etcd failed"),
        ("/api/v1/nodes", {"items": []}, "no node is Ready"),
        ("/api/v1/nodes", RefusedError("not yours to see", 403, "Forbidden"), ""),
        ("/api/v1/namespaces/default", NotFoundError("no default"), "no default"),
        ("/api/v1/namespaces/default", {"status": {"phase": "Terminating"}}, "namespace default is Terminating"),
    ],
)
def test_what_each_probe_finds(path: str, answer: Any, finding: str) -> None:
    assert sickness(cast(Cluster, Answering(path, answer))) == finding
