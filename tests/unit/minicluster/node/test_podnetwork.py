from __future__ import annotations

from pathlib import Path
from typing import Any

from meshlab.minicluster.images.catalogue import Image
from meshlab.minicluster.network.addresses import LabNetwork, PortMap
from meshlab.minicluster.node import listening, podfiles
from meshlab.minicluster.node.podnetwork import PodNetwork, declared_ports

IMAGES = {"app": Image(("app",)), "proxy": Image(("proxy",), sidecar=True)}


def allocate(tmp_path: Path, **spec: Any) -> PodNetwork:
    network = LabNetwork("127.201")
    return PodNetwork.allocate({"spec": spec}, network, PortMap(tmp_path / "ports", network.node_address), IMAGES.get)


def app(name: str, **fields: Any) -> dict[str, Any]:
    return {"name": name, "image": "app", **fields}


def test_without_a_sidecar(tmp_path: Path) -> None:
    found = allocate(tmp_path, containers=[app("a")])
    assert found.app_ip == found.pod_ip == found.bind_ip("a") == "127.201.1.1"
    assert found.proxy_variables("a") == {}


def test_a_native_sidecar_serves_what_comes_after_it(tmp_path: Path) -> None:
    inits = [app("before"), {"name": "mesh", "image": "proxy", "restartPolicy": "Always"}, app("after")]
    found = allocate(tmp_path, initContainers=inits, containers=[app("a")])
    assert (found.pod_ip, found.app_ip) == ("127.201.1.1", "127.201.129.1")
    assert found.bind_ip("mesh") == found.pod_ip and found.bind_ip("a") == found.app_ip
    assert found.proxied == {"after", "a"}
    assert found.proxy_variables("a")["http_proxy"] == "http://127.201.1.1:15001"
    assert found.proxy_variables("mesh") == found.proxy_variables("before") == {}
    assert found.address("a", 8080)[0] == found.app_ip
    assert found.address("a", 15020)[0] == found.address("mesh", 15021)[0] == found.pod_ip


def test_a_proxy_that_is_a_plain_init_container_owns_nothing(tmp_path: Path) -> None:
    found = allocate(tmp_path, initContainers=[{"name": "validate", "image": "proxy"}], containers=[app("a")])
    assert found.app_ip == found.pod_ip


def test_a_proxy_among_the_main_containers(tmp_path: Path) -> None:
    containers = [{"name": "mesh", "image": "proxy", "ports": [{"containerPort": 9999}]}, app("a")]
    found = allocate(tmp_path, initContainers=[app("i")], containers=containers)
    assert found.proxied == {"a"}
    assert found.address("a", 9999)[0] == found.pod_ip


def test_declared_ports() -> None:
    container = {
        "ports": [{"containerPort": 80}],
        "livenessProbe": {"httpGet": {"port": 8081}, "periodSeconds": 5},
        "readinessProbe": {"tcpSocket": {"port": "named"}},
        "lifecycle": {"preStop": {"httpGet": {"port": "8082"}}},
    }
    assert declared_ports([container]) == [80, 8081, 8082]


def test_etc_files(tmp_path: Path) -> None:
    pod = {
        "metadata": {"name": "p", "namespace": "ns"},
        "spec": {"hostAliases": [{"ip": "1.2.3.4", "hostnames": ["x", "y"]}], "subdomain": "sub", "hostname": "h"},
    }
    files = podfiles.etc_files(pod, allocate(tmp_path, containers=[app("a")]), "127.201.0.1")
    assert "127.201.1.1\tlocalhost\n" in files["hosts"]
    assert "127.201.1.1\th.sub.ns.svc.cluster.local\th\n" in files["hosts"]
    assert files["hosts"].endswith("1.2.3.4\tx\ty\n")
    assert files["resolv.conf"] == (
        "search ns.svc.cluster.local svc.cluster.local cluster.local\nnameserver 127.201.0.1\noptions ndots:5\n"
    )


TABLE = """  sl  local_address rem_address   st tx_queue rx_queue
   0: 0101C97F:1F90 00000000:0000 0A 00000000:00000000
   1: 00000000:0050 00000000:0000 0A 00000000:00000000
   2: 0201C97F:1F90 0101C97F:1234 01 00000000:00000000
"""


def test_listening() -> None:
    assert listening.all_listening([("127.201.1.1", 8080), ("127.201.1.9", 80)], TABLE)
    assert not listening.all_listening([("127.201.1.2", 8080)], TABLE)
    assert not listening.all_listening([("127.201.1.1", 8080), ("127.201.1.1", 8081)], TABLE)
