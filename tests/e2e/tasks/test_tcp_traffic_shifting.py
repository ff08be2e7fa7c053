"""https://istio.io/latest/docs/tasks/traffic-management/tcp-traffic-shifting/."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.support.lab import Lab, eventually
from tests.support.samples import apply, available, inject

pytestmark = pytest.mark.full

NAMESPACE = "istio-io-tcp-traffic-shifting"
GATEWAY = "istio-ingressgateway.istio-system"


@pytest.fixture(scope="module")
def tcp_echo(mesh: Lab) -> Lab:
    mesh.kubectl("create", "namespace", NAMESPACE)
    inject(mesh, NAMESPACE)
    apply(mesh, "curl/curl.yaml", "tcp-echo/tcp-echo-services.yaml", namespace=NAMESPACE)
    available(mesh, NAMESPACE)
    return mesh


def answers(lab: Lab, connections: int, target: str = f"{GATEWAY} 31400") -> Counter[str]:
    script = f"for i in $(seq {connections}); do (date; sleep 0.1) | nc {target}; done"
    out = lab.kubectl("exec", "-n", NAMESPACE, "deploy/curl", "-c", "curl", "--", "sh", "-c", script)
    return Counter(line.split()[0] for line in out.splitlines() if line)


def test_connections_move_from_one_version_to_the_other(tcp_echo: Lab) -> None:
    apply(tcp_echo, "tcp-echo/tcp-echo-all-v1.yaml", namespace=NAMESPACE)
    eventually(lambda: answers(tcp_echo, 2) == {"one": 2})
    assert answers(tcp_echo, 5) == {"one": 5}
    apply(tcp_echo, "tcp-echo/tcp-echo-20-v2.yaml", namespace=NAMESPACE)
    eventually(lambda: answers(tcp_echo, 5)["two"])
    found = answers(tcp_echo, 30)
    assert set(found) == {"one", "two"}
    assert 1 <= found["two"] <= 17


def test_with_the_gateway_api_whatever_version_its_manifests_name(tcp_echo: Lab) -> None:
    apply(tcp_echo, "tcp-echo/gateway-api/tcp-echo-all-v1.yaml", namespace=NAMESPACE)
    wait = ("wait", "-n", NAMESPACE, "--for=condition=programmed", "gtw", "tcp-echo-gateway", "--timeout=60s")
    tcp_echo.kubectl(*wait)
    place = ("gtw", "tcp-echo-gateway", "-o", "jsonpath={.status.addresses[0].value}")
    address = tcp_echo.kubectl("get", "-n", NAMESPACE, *place)
    eventually(lambda: answers(tcp_echo, 2, f"{address} 31400") == {"one": 2})
    sample = Path(tcp_echo.environment["MESHLAB_SAMPLES"]) / "tcp-echo/gateway-api/tcp-echo-20-v2.yaml"
    older = sample.read_text().replace("k8s.io/v1\n", "k8s.io/v1alpha2\n")
    done = tcp_echo.run("kubectl", "apply", "-n", NAMESPACE, "-f", "-", stdin=older)
    assert "Warning: The v1alpha2 version of TCPRoute has been deprecated" in done.stderr
    eventually(lambda: answers(tcp_echo, 5, f"{address} 31400")["two"])
