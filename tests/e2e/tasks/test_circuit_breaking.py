"""https://istio.io/latest/docs/tasks/traffic-management/circuit-breaking/."""

from __future__ import annotations

import re

import pytest

from tests.support.lab import Lab, eventually
from tests.support.samples import apply, available, inject

pytestmark = pytest.mark.full

RULE = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: httpbin}
spec:
  host: httpbin
  trafficPolicy:
    connectionPool:
      tcp: {maxConnections: 1}
      http: {http1MaxPendingRequests: 1, maxRequestsPerConnection: 1}
    outlierDetection:
      consecutive5xxErrors: 1
      interval: 1s
      baseEjectionTime: 3m
      maxEjectionPercent: 100
"""
URL = "http://httpbin:8000/get"


@pytest.fixture(scope="module")
def httpbin(mesh: Lab) -> Lab:
    inject(mesh)
    apply(mesh, "httpbin/httpbin.yaml", "httpbin/sample-client/fortio-deploy.yaml")
    available(mesh)
    mesh.kubectl("apply", "-f", "-", stdin=RULE)
    return mesh


def fortio(lab: Lab, *arguments: str) -> str:
    done = lab.run("kubectl", "exec", "deploy/fortio-deploy", "-c", "fortio", "--", "/usr/bin/fortio", *arguments)
    return done.stdout + done.stderr


def codes(output: str) -> dict[str, int]:
    return {code: int(count) for code, count in re.findall(r"^Code +(\d+) : (\d+) \(", output, re.MULTILINE)}


def test_one_call_succeeds(httpbin: Lab) -> None:
    assert "HTTP/1.1 200 OK" in fortio(httpbin, "curl", "-quiet", URL)


def test_more_connections_trip_the_breaker(httpbin: Lab) -> None:
    def tripped() -> dict[str, int] | None:
        found = codes(fortio(httpbin, "load", "-c", "3", "-qps", "0", "-n", "30", "-loglevel", "Warning", URL))
        assert sum(found.values()) == 30
        return found if set(found) == {"200", "503"} else None

    assert eventually(tripped)


def test_the_proxys_statistics_count_the_overflow(httpbin: Lab) -> None:
    stats = httpbin.kubectl(
        "exec", "deploy/fortio-deploy", "-c", "istio-proxy", "--", "pilot-agent", "request", "GET", "stats"
    )
    prefix = "cluster.outbound|8000||httpbin.default.svc.cluster.local"
    for name in (
        "circuit_breakers.default.rq_pending_open",
        "circuit_breakers.high.rq_pending_open",
        "upstream_rq_pending_active",
        "upstream_rq_pending_failure_eject",
        "upstream_rq_pending_total",
    ):
        assert f"{prefix}.{name}: " in stats
    overflow = re.search(re.escape(prefix) + r"\.upstream_rq_pending_overflow: (\d+)", stats)
    assert overflow is not None
    assert int(overflow[1]) > 0
