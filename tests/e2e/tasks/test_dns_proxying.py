"""https://istio.io/latest/docs/ops/configuration/traffic-management/dns-proxy/, with servers of the lab as outside."""

from __future__ import annotations

import json

import pytest

from tests.support.lab import Lab, eventually
from tests.support.samples import apply, available, inject

pytestmark = pytest.mark.full

CAPTURE = "meshConfig.defaultConfig.proxyMetadata.ISTIO_META_DNS_CAPTURE=true"
ADDRESSED = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: external-address}
spec:
  addresses: [198.51.100.1]
  hosts: [address.internal]
  ports: [{name: http, number: 80, protocol: HTTP}]
  resolution: STATIC
  endpoints: [{address: 198.51.100.7}]
"""
AUTO = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata:
  name: NAME
  labels: {networking.istio.io/enable-autoallocate-ip: "ALLOCATE"}
spec:
  hosts: [NAME.internal]
  ports: [{name: tcp, number: 9000, protocol: TCP}]
  resolution: STATIC
  location: MESH_EXTERNAL
  endpoints: [{address: ADDRESS}]
"""


@pytest.fixture(scope="module")
def outside(mesh: Lab) -> dict[str, str]:
    """The addresses of two servers without a sidecar, by name; the mesh has been told to answer for names."""
    mesh.run("istioctl", "install", "--set", "profile=demo", "--set", CAPTURE, "-y")
    inject(mesh)
    apply(mesh, "curl/curl.yaml")
    mesh.kubectl("create", "namespace", "outside")
    apply(mesh, "tcp-echo/tcp-echo-services.yaml", namespace="outside")
    available(mesh)
    available(mesh, "outside")
    pods = json.loads(mesh.kubectl("get", "pod", "-n", "outside", "-l", "app=tcp-echo", "-o", "json"))["items"]
    return {pod["metadata"]["labels"]["version"]: pod["status"]["podIP"] for pod in pods}


def shell(lab: Lab, script: str) -> str:
    return lab.run("kubectl", "exec", "deploy/curl", "-c", "curl", "--", "sh", "-c", script, check=False).stdout


def add(lab: Lab, name: str, address: str, *, allocate: bool = True) -> None:
    text = AUTO.replace("NAME", name).replace("ADDRESS", address).replace("ALLOCATE", str(allocate).lower())
    lab.kubectl("apply", "-f", "-", stdin=text)


def test_an_entrys_own_address_is_what_its_host_means(mesh: Lab, outside: dict[str, str]) -> None:
    mesh.kubectl("apply", "-f", "-", stdin=ADDRESSED)
    eventually(lambda: "198.51.100.1" in shell(mesh, "nslookup address.internal"))


def test_entries_without_addresses_are_told_apart(mesh: Lab, outside: dict[str, str]) -> None:
    add(mesh, "first", outside["v1"])
    add(mesh, "second", outside["v2"])
    path = "jsonpath={.status.addresses[?(@.host=='first.internal')].value}"
    eventually(lambda: mesh.kubectl("get", "serviceentry", "first", "-o", path).split() == ["240.240.0.1", "2001:2::1"])
    eventually(lambda: "240.240.0.2" in shell(mesh, "nslookup second.internal"))
    eventually(lambda: shell(mesh, "echo hi | nc -w 5 first.internal 9000").startswith("one"))
    eventually(lambda: shell(mesh, "echo hi | nc -w 5 second.internal 9000").startswith("two"))
    listeners = mesh.run("istioctl", "proxy-config", "listeners", "deploy/curl").stdout
    rows = [line.split() for line in listeners.splitlines()]
    assert ["240.240.0.1", "9000", "ALL", "Cluster:", "outbound|9000||first.internal"] in rows


def test_a_label_opts_out(mesh: Lab, outside: dict[str, str]) -> None:
    add(mesh, "none", outside["v1"], allocate=False)
    add(mesh, "later", outside["v1"])
    eventually(lambda: "240.240.0." in shell(mesh, "nslookup later.internal"))
    assert "240.240" not in shell(mesh, "nslookup none.internal")


def test_services_are_reached_by_connections_as_they_are(mesh: Lab, outside: dict[str, str]) -> None:
    """No proxy is asked for, so the sidecar has the address only; the server's sidecar sees who it was."""
    apply(mesh, "tcp-echo/tcp-echo-services.yaml")
    available(mesh)
    mesh.kubectl(
        "apply",
        "-f",
        "-",
        stdin="{apiVersion: security.istio.io/v1, kind: PeerAuthentication, metadata: {name: strict}, "
        "spec: {mtls: {mode: STRICT}}}",
    )
    eventually(lambda: shell(mesh, "echo hi | nc -w 5 tcp-echo 9000").endswith("hi\n"))
    plain = mesh.run("kubectl", "get", "pod", "-l", "app=tcp-echo", "-o", "jsonpath={.items[0].status.podIP}").stdout
    excluded = "traffic.sidecar.istio.io/excludeOutboundPorts=9000"
    mesh.kubectl(
        "patch",
        "deploy/curl",
        "-p",
        json.dumps({"spec": {"template": {"metadata": {"annotations": dict([excluded.split("=")])}}}}),
    )
    mesh.kubectl("rollout", "status", "deploy/curl", "--timeout=60s")
    eventually(lambda: shell(mesh, f"echo hi | nc -w 5 {plain} 9000; echo ended") == "ended\n")
