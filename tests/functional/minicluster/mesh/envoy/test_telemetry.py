"""Istio's standard metrics as real sidecars count them and the agent serves them."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping

import pytest

from meshlab.minicluster.mesh.istio.agent_metrics import standard_metrics
from tests.functional.minicluster.mesh.envoy.conftest import StaticMesh, fetch

HTTP80 = [{"name": "http", "port": 80, "targetPort": 5678}]
TCP9 = [{"name": "tcp", "port": 9000, "targetPort": 9000}]
NO_SUCH_SUBSET = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: myapp}
spec:
  hosts: [myapp]
  http:
  - route: [{destination: {host: myapp, subset: v9}}]
"""
CLIENT = "spiffe://cluster.local/ns/default/sa/client"
SERVER = "spiffe://cluster.local/ns/default/sa/myapp"
MESHED = {
    "source_workload": "client",
    "source_workload_namespace": "default",
    "source_canonical_service": "client",
    "source_canonical_revision": "latest",
    "source_app": "client",
    "source_version": "unknown",
    "source_principal": CLIENT,
    "source_cluster": "Kubernetes",
    "destination_workload": "myapp",
    "destination_workload_namespace": "default",
    "destination_canonical_service": "myapp",
    "destination_canonical_revision": "v1",
    "destination_app": "myapp",
    "destination_version": "v1",
    "destination_principal": SERVER,
    "destination_cluster": "Kubernetes",
    "destination_service": "myapp.default.svc.cluster.local",
    "destination_service_name": "myapp",
    "destination_service_namespace": "default",
    "request_protocol": "http",
    "response_code": "200",
    "response_flags": "-",
    "grpc_response_status": "",
}


def series(mesh: StaticMesh, pod: str, name: str) -> list[tuple[dict[str, str], float]]:
    """The series of a standard metric on the pod's page."""
    page = standard_metrics(mesh.admin(pod, "/stats/prometheus"), mesh.peer(pod))
    found = re.findall(rf"^{name}\{{(.*)\}} (\S+)$", page, re.MULTILINE)
    return [(dict(re.findall(r'(\w+)="([^"]*)"', labels)), float(value)) for labels, value in found]


async def counted(mesh: StaticMesh, pod: str, name: str, wanted: Mapping[str, str], value: float) -> dict[str, str]:
    """Wait until the series with these labels has the value; all of its labels."""
    async with asyncio.timeout(15):
        while True:
            for labels, number in series(mesh, pod, name):
                if labels.items() >= wanted.items() and number == value:
                    return labels
            await asyncio.sleep(0.05)


async def client_and_server(mesh: StaticMesh, *manifests: str) -> None:
    mesh.world.pod("client", {"app": "client"}, account="client")
    mesh.world.pod("myapp", {"app": "myapp", "version": "v1"}, account="myapp")
    mesh.world.service("myapp", {"app": "myapp"}, HTTP80)
    for manifest in manifests:
        mesh.world.apply(manifest)
    await mesh.serve("myapp", 5678)
    await mesh.start("client", "myapp")


async def test_both_reporters_count_a_request_with_all_labels(static_mesh: StaticMesh) -> None:
    await client_and_server(static_mesh)
    for _ in range(3):
        assert (await static_mesh.get("client", "http://myapp/")).status == 200

    source = await counted(static_mesh, "client", "istio_requests_total", {"reporter": "source"}, 3)
    destination = await counted(static_mesh, "myapp", "istio_requests_total", {"reporter": "destination"}, 3)

    assert source == {**MESHED, "reporter": "source", "connection_security_policy": "unknown"}
    assert destination == {**MESHED, "reporter": "destination", "connection_security_policy": "mutual_tls"}


@pytest.mark.full
async def test_duration_and_sizes_are_histograms(static_mesh: StaticMesh) -> None:
    await client_and_server(static_mesh)
    static_mesh.delays_s["myapp"] = 0.12
    await static_mesh.get("client", "http://myapp/")

    wanted = {"reporter": "destination", "source_workload": "client"}
    name = "istio_request_duration_milliseconds"
    await counted(static_mesh, "myapp", f"{name}_count", wanted, 1)
    await counted(static_mesh, "myapp", f"{name}_bucket", {**wanted, "le": "100"}, 0)
    await counted(static_mesh, "myapp", f"{name}_bucket", {**wanted, "le": "1000"}, 1)
    for size in ("istio_request_bytes", "istio_response_bytes"):
        await counted(static_mesh, "myapp", f"{size}_count", wanted, 1)
        assert [value > 0 for _, value in series(static_mesh, "myapp", f"{size}_sum")] == [True]


async def test_neither_program_nor_caller_sees_the_exchange(static_mesh: StaticMesh) -> None:
    await client_and_server(static_mesh)
    reply = await static_mesh.get("client", "http://myapp/", headers={"x-envoy-peer-metadata": "somebody;else"})

    _, seen = static_mesh.requests[-1]
    assert "x-envoy-peer-metadata" not in seen
    assert "x-envoy-peer-metadata" not in reply.headers
    await counted(static_mesh, "myapp", "istio_requests_total", {"source_workload": "client"}, 1)


async def test_a_host_outside_of_the_mesh_is_not_told(static_mesh: StaticMesh) -> None:
    await client_and_server(static_mesh)
    static_mesh.world.pod("stranger", {}, injected=False)
    await static_mesh.serve("stranger", 8080, direct=True)
    address = static_mesh.world.proxy("stranger").ip

    assert (await static_mesh.get("client", f"http://{address}:8080/")).status == 200

    _, seen = static_mesh.requests[-1]
    assert "x-envoy-peer-metadata" not in seen
    labels = await counted(
        static_mesh, "client", "istio_requests_total", {"destination_service_name": "PassthroughCluster"}, 1
    )
    assert labels["destination_service"] == f"{address}:8080"
    assert labels["destination_workload"] == labels["destination_service_namespace"] == "unknown"


async def test_a_caller_without_sidecar_is_unknown(static_mesh: StaticMesh) -> None:
    await client_and_server(static_mesh)
    assert (await fetch(f"http://{static_mesh.world.proxy('myapp').ip}:5678/")).status == 200

    labels = await counted(static_mesh, "myapp", "istio_requests_total", {"reporter": "destination"}, 1)

    assert {key: value for key, value in labels.items() if key.startswith("source_")} == {
        "source_workload": "unknown",
        "source_workload_namespace": "unknown",
        "source_canonical_service": "unknown",
        "source_canonical_revision": "latest",
        "source_app": "unknown",
        "source_version": "unknown",
        "source_principal": "unknown",
        "source_cluster": "unknown",
    }
    assert labels["connection_security_policy"] == "none"
    assert labels["destination_workload"] == "myapp"


async def test_undefined_subset_is_counted_at_the_source_with_nc(static_mesh: StaticMesh) -> None:
    await client_and_server(static_mesh, NO_SUCH_SUBSET)
    assert (await static_mesh.get("client", "http://myapp/")).status == 503

    labels = await counted(static_mesh, "client", "istio_requests_total", {"response_flags": "NC"}, 1)

    assert labels["response_code"] == "503"
    assert labels["destination_service"] == labels["destination_service_name"] == "myapp"
    assert labels["destination_workload"] == labels["destination_service_namespace"] == "unknown"


async def test_service_without_endpoints_is_counted_at_the_source_with_uh(static_mesh: StaticMesh) -> None:
    await client_and_server(static_mesh)
    static_mesh.world.service("empty", {"app": "nobody"}, HTTP80)
    await static_mesh.start("client")
    assert (await static_mesh.get("client", "http://empty/")).status == 503

    labels = await counted(static_mesh, "client", "istio_requests_total", {"response_flags": "UH"}, 1)

    assert labels["destination_service"] == "empty.default.svc.cluster.local"
    assert labels["destination_service_namespace"] == "default"


@pytest.mark.full
async def test_connections_are_counted_on_both_sides(static_mesh: StaticMesh) -> None:
    await client_and_server(static_mesh)
    static_mesh.world.service("myapp-tcp", {"app": "myapp"}, TCP9)
    await static_mesh.serve("myapp", 9000)
    await static_mesh.start("client", "myapp")
    reader, writer = await asyncio.open_connection(static_mesh.world.proxy("client").ip, 15001)
    writer.write(b"CONNECT myapp-tcp:9000 HTTP/1.1\r\nhost: myapp-tcp:9000\r\n\r\n")
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
    writer.write(b"GET / HTTP/1.1\r\nhost: any\r\nconnection: close\r\n\r\n")
    assert b"myapp" in await reader.read()
    writer.close()

    wanted = {"request_protocol": "tcp", "destination_service_name": "myapp-tcp", "destination_workload": "myapp"}
    for pod, reporter in (("client", "source"), ("myapp", "destination")):
        labels = await counted(
            static_mesh, pod, "istio_tcp_connections_opened_total", {**wanted, "reporter": reporter}, 1
        )
        assert "response_code" not in labels
        assert all(value > 0 for _, value in series(static_mesh, pod, "istio_tcp_sent_bytes_total"))
    assert labels["connection_security_policy"] == "mutual_tls"
    assert (labels["source_workload"], labels["source_workload_namespace"]) == ("unknown", "default")
    assert series(static_mesh, "client", "istio_requests_total") == []


@pytest.mark.full
async def test_http_in_a_tunnel_is_counted_as_requests(static_mesh: StaticMesh) -> None:
    await client_and_server(static_mesh)
    reader, writer = await asyncio.open_connection(static_mesh.world.proxy("client").ip, 15001)
    writer.write(b"CONNECT myapp:80 HTTP/1.1\r\nhost: myapp:80\r\n\r\n")
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
    writer.write(b"GET / HTTP/1.1\r\nhost: myapp:80\r\nconnection: close\r\n\r\n")
    assert b"myapp" in await reader.read()
    writer.close()

    await counted(static_mesh, "client", "istio_requests_total", {"destination_workload": "myapp"}, 1)
    await counted(static_mesh, "myapp", "istio_requests_total", {"source_workload": "client"}, 1)
    assert series(static_mesh, "client", "istio_tcp_connections_opened_total") == []
