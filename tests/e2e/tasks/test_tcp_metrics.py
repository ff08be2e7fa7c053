"""https://istio.io/latest/docs/tasks/observability/metrics/tcp-metrics/, with both of Bookinfo's databases."""

from __future__ import annotations

import pytest

from tests.support.lab import Lab, eventually
from tests.support.samples import STAR, apply, available, deploy_bookinfo, page

pytestmark = pytest.mark.full

PLATFORM = "bookinfo/platform/kube"


@pytest.fixture(scope="module")
def bookinfo(mesh: Lab) -> Lab:
    deploy_bookinfo(mesh)
    return mesh


def series(lab: Lab, workload: str, metric: str, **labels: str) -> list[float]:
    """The values of a metric's series that have some labels, in a workload's sidecar."""
    text = lab.kubectl(
        "exec", f"deploy/{workload}", "-c", "istio-proxy", "--", "pilot-agent", "request", "GET", "stats/prometheus"
    )
    lines = [line for line in text.splitlines() if line.startswith(f"{metric}{{")]
    return [float(line.split()[-1]) for line in lines if all(f'{k}="{v}"' in line for k, v in labels.items())]


@pytest.mark.parametrize(
    ("manifests", "routes", "ratings", "database", "service"),
    [
        (["bookinfo-ratings-v2.yaml", "bookinfo-db.yaml"], "virtual-service-ratings-db.yaml",
         "ratings-v2", "mongodb-v1", "mongodb"),
        (["bookinfo-ratings-v2-mysql.yaml", "bookinfo-mysql.yaml"], "virtual-service-ratings-mysql.yaml",
         "ratings-v2-mysql", "mysqldb-v1", "mysqldb"),
    ],
)  # fmt: skip
def test_connections_to_a_database_are_counted(
    bookinfo: Lab, manifests: list[str], routes: str, ratings: str, database: str, service: str
) -> None:
    apply(bookinfo, *(f"{PLATFORM}/{name}" for name in manifests), f"bookinfo/networking/{routes}")
    available(bookinfo)
    eventually(lambda: page(bookinfo).count(f'"{STAR}"') == 9, within_s=30, what="stars from the database")
    host = f"{service}.default.svc.cluster.local"
    for workload, reporter in ((ratings, "source"), (database, "destination")):
        labels = {
            "reporter": reporter,
            # Of a connection the server's proxy knows the client's certificate only (meshlab doctor --fidelity).
            **({"source_workload": ratings} if reporter == "source" else {}),
            "destination_workload": database,
            "destination_service": host,
            "connection_security_policy": "mutual_tls" if reporter == "destination" else "unknown",
        }
        for metric in ("opened", "closed"):
            name = f"istio_tcp_connections_{metric}_total"
            eventually(lambda: sum(series(bookinfo, workload, name, **labels)) >= 1, what=f"{name} of {workload}")  # noqa: B023
        assert sum(series(bookinfo, workload, "istio_tcp_received_bytes_total", **labels)) > 0
        assert sum(series(bookinfo, workload, "istio_tcp_sent_bytes_total", **labels)) > 0
