"""https://istio.io/latest/docs/tasks/traffic-management/egress/egress-control/, with a server of the lab as outside."""

from __future__ import annotations

import pytest

from tests.support.lab import Lab, eventually
from tests.support.samples import apply, available, curl, inject

pytestmark = pytest.mark.full

ENTRY = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: httpbin-ext}
spec:
  hosts: [httpbin.example.org]
  ports: [{number: 80, name: http, protocol: HTTP, targetPort: 8080}]
  resolution: STATIC
  location: MESH_EXTERNAL
  endpoints: [{address: ADDRESS}]
"""
TIMEOUT = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: httpbin-ext}
spec:
  hosts: [httpbin.example.org]
  http:
  - timeout: 1s
    route: [{destination: {host: httpbin.example.org}, weight: 100}]
"""
URL = "http://httpbin.example.org"


@pytest.fixture(scope="module")
def outside(mesh: Lab) -> str:
    """The address of a server without a sidecar, in a namespace that the mesh does not know."""
    inject(mesh)
    apply(mesh, "curl/curl.yaml")
    mesh.kubectl("create", "namespace", "outside")
    apply(mesh, "httpbin/httpbin.yaml", namespace="outside")
    available(mesh)
    available(mesh, "outside")
    path = "jsonpath={.items[0].status.podIP}"
    return mesh.kubectl("get", "pod", "-n", "outside", "-l", "app=httpbin", "-o", path)


def status(lab: Lab, url: str) -> str:
    return curl(lab, "-o", "/dev/null", "-w", "%{http_code}", url, check=False)


def set_mode(lab: Lab, mode: str, *further: str) -> None:
    settings = ["profile=demo", f"meshConfig.outboundTrafficPolicy.mode={mode}", *further]
    lab.run("istioctl", "install", *(word for each in settings for word in ("--set", each)), "-y")


def test_unknown_hosts_are_passed_through_by_default(mesh: Lab, outside: str) -> None:
    assert status(mesh, f"http://{outside}:8080/get") == "200"


def test_the_registry_may_be_all_there_is(mesh: Lab, outside: str) -> None:
    set_mode(mesh, "REGISTRY_ONLY")
    eventually(lambda: status(mesh, f"http://{outside}:8080/get") == "502")
    done = mesh.run(
        "kubectl", "exec", "deploy/curl", "-c", "curl", "--", "curl", "-sSI", "https://www.example.org", check=False
    )
    assert done.returncode == 35, done.stderr
    assert "command terminated with exit code 35" in done.stderr


def test_a_service_entry_opens_the_way_and_can_be_routed(mesh: Lab, outside: str) -> None:
    assert status(mesh, f"{URL}/get") == "502"
    mesh.kubectl("apply", "-f", "-", stdin=ENTRY.replace("ADDRESS", outside))
    eventually(lambda: status(mesh, f"{URL}/get") == "200")
    assert "X-Envoy-Peer-Metadata" not in curl(mesh, f"{URL}/headers")
    assert status(mesh, f"{URL}/delay/3") == "200"
    mesh.kubectl("apply", "-f", "-", stdin=TIMEOUT)
    eventually(lambda: status(mesh, f"{URL}/delay/3") == "504")


def test_ranges_may_be_left_out_of_the_mesh(mesh: Lab, outside: str) -> None:
    """The task's third approach: only the cluster's own addresses are captured, so the registry counts for no others."""
    service = mesh.kubectl("get", "service", "kubernetes", "-o", "jsonpath={.spec.clusterIP}")
    services = f"{'.'.join(service.split('.')[:2])}.64.0/19"
    assert status(mesh, f"http://{outside}:8080/get") == "502"
    set_mode(mesh, "REGISTRY_ONLY", f"values.global.proxy.includeIPRanges={services}")
    mesh.kubectl("rollout", "restart", "deployment/curl")
    mesh.kubectl("rollout", "status", "deployment/curl", "--timeout=60s")
    eventually(lambda: status(mesh, f"http://{outside}:8080/get") == "200")
    raw = ["kubectl", "exec", "deploy/curl", "-c", "curl", "--", "nc", "-zv", outside, "8080"]
    assert "open" in mesh.run(*raw).stderr
