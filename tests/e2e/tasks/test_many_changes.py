"""Two hundred changes of a route, in a mesh of fifteen sidecars and a hundred Services: no request fails meanwhile."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from benchmarks.workloads import CANARY, echo, service, set_weights
from meshlab.cluster.facade import Cluster
from tests.support.lab import Lab, eventually

pytestmark = pytest.mark.full

CHANGES = 200
CLIENT = """
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: client}
spec:
  selector: {matchLabels: {app: client}}
  template:
    metadata: {labels: {app: client, sidecar.istio.io/inject: "true"}}
    spec: {containers: [{name: curl, image: curlimages/curl, command: [sleep, infinity]}]}
"""


def test_no_request_fails(mesh: Lab, tmp_path: Path) -> None:
    mesh.kubectl(
        "apply", "-f", "-",
        stdin=CANARY + CLIENT
        + echo("myapp-v1", app="myapp", version="v1", inject=True)
        + echo("myapp-v2", app="myapp", version="v2", inject=True)
        + echo("more", app="more", version="v1", inject=True, replicas=12)
        + "".join(service(f"service-{number}", app="more") for number in range(99)),
    )  # fmt: skip
    for name in ("client", "myapp-v1", "myapp-v2", "more"):
        mesh.kubectl("rollout", "status", f"deployment/{name}", "--timeout=60s")
    curl = ["kubectl", "exec", "deploy/client", "-c", "curl", "--", "curl", "-s", "-w", r"|%{http_code}\n"]
    answers = tmp_path / "answers"
    with answers.open("w") as output:
        load = mesh.popen(*curl, "http://myapp:8080/?n=[1-1000000]", stdout=output)
        try:
            eventually(lambda: answers.stat().st_size > 1000)
            cluster = Cluster(Path(mesh.environment["KUBECONFIG"]))
            for number in range(CHANGES):
                set_weights(cluster, number % 101, 100 - number % 101)
            # The last change is in force: the load ends where its weights do.
            set_weights(cluster, 0, 100)
            eventually(lambda: _last(answers, 20) == {"v2": 20}, within_s=20)
        finally:
            load.terminate()
            load.wait(20)
    counts = _count(answers.read_text())
    assert set(counts) == {"v1", "v2"}, counts
    assert counts.total() > CHANGES


def _last(answers: Path, number: int) -> Counter[str]:
    return _count(answers.read_text(), number)


def _count(text: str, last: int = 0) -> Counter[str]:
    """The bodies of answers with status 200, the statuses of the others; a cut-off last line is left out."""
    found = [line.strip() for line in text.replace("\n|", "|").split("\n")[:-1]]
    pairs = [line.partition("|") for line in found if "|" in line]
    return Counter(body if status == "200" else status for body, _, status in pairs[-last:])
