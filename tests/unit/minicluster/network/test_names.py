from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.network.addresses import PortMap
from meshlab.minicluster.network.l4 import frontends, ready_backends
from meshlab.minicluster.network.names import NameTable, NameTableWriter
from tests.fakes.kube_api import FakeKubeApi

RECORD = {"headless": False, "ports": [], "endpoints": [], "hosts": {}, "externalName": ""}


@pytest.fixture
def table(tmp_path: Path) -> NameTable:
    services: dict[str, Obj] = {
        "default/web": {
            **RECORD,
            "ip": "127.9.64.2",
            "ports": [{"name": "http", "port": 80}, {"name": "x", "port": 9000}],
        },
        "team/web": {**RECORD, "ip": "127.9.64.3", "ports": [{"name": "http", "port": 8080}]},
        "default/db": {
            **RECORD,
            "ip": "",
            "headless": True,
            "endpoints": ["127.9.1.5"],
            "hosts": {"db-0": ["127.9.1.5"]},
        },
        "default/empty": {**RECORD, "ip": "", "headless": True},
        "default/alias": {**RECORD, "ip": "", "externalName": "web.team.svc.cluster.local"},
        "default/outside": {**RECORD, "ip": "", "externalName": "example.com"},
        "default/loop": {**RECORD, "ip": "", "externalName": "loop.default.svc.cluster.local"},
    }
    path = tmp_path / "names.json"
    path.write_text(json.dumps({"services": services, "pods": {"default/db-0": "127.9.1.5"}}))
    return NameTable(path)


@pytest.fixture
def ports(tmp_path: Path) -> PortMap:
    path = tmp_path / "ports.json"
    path.write_text(json.dumps({"80": 20080}))
    return PortMap(path, "127.0.0.1")


@pytest.mark.parametrize(
    ("name", "namespace", "expected"),
    [
        ("web", "default", ["127.9.64.2"]),
        ("web", "team", ["127.9.64.3"]),
        ("WEB.Team", "default", ["127.9.64.3"]),
        ("web.team.svc", "default", ["127.9.64.3"]),
        ("web.team.svc.cluster.local", "default", ["127.9.64.3"]),
        ("web.team.svc.cluster.local.", "default", ["127.9.64.3"]),
        ("web.", "default", []),
        ("web.team.", "default", []),
        ("web", "elsewhere", []),
        ("db", "default", ["127.9.1.5"]),
        ("db-0.db", "default", ["127.9.1.5"]),
        ("db-0.db.default.svc.cluster.local", "team", ["127.9.1.5"]),
        ("db-1.db", "default", []),
        ("empty", "default", []),
        ("alias", "default", ["127.9.64.3"]),
        ("loop", "default", []),
        ("outside", "default", []),
        ("127-9-1-5.default.pod", "default", ["127.9.1.5"]),
        ("127.9.1.77", "default", ["127.9.1.77"]),
        ("example.com", "default", []),
    ],
)
def test_names_resolve_as_cluster_dns_would(table: NameTable, name: str, namespace: str, expected: list[str]) -> None:
    assert table.resolve(name, namespace) == expected


def test_where_a_url_leads(table: NameTable, ports: PortMap) -> None:
    assert table.service_address("web", 80, "default") == ("127.9.64.2", 80)
    assert table.service_address("web", 80, "default", ports) == ("127.9.64.2", 20080)
    assert table.service_address("nothing", 80, "default", ports) is None
    assert table.external_name("outside", "default") == "example.com"


def test_curl_lines_put_remapped_ports_first(table: NameTable, ports: PortMap) -> None:
    lines = table.connect_to_lines("default", ports, "127.9.129.1")
    first_general = next(i for i, line in enumerate(lines) if line.split(":")[1] == "")
    assert all(line.split(":")[1] == "80" for line in lines[:first_general])
    assert all(line.split(":")[1] == "" for line in lines[first_general:])
    for wanted in (
        "web:80:127.9.64.2:20080",
        "web.default.svc.cluster.local:80:127.9.64.2:20080",
        "127.9.64.2:80:127.9.64.2:20080",
        "web::127.9.64.2:",
        "web.team.svc::127.9.64.3:",
        "db-0.db::127.9.1.5:",
        "db-0.db:80:127.9.1.5:20080",
        "127.9.1.5:80:127.9.1.5:20080",
        "localhost:80:127.9.129.1:20080",
        "127.0.0.1::127.9.129.1:",
        "alias::127.9.64.3:",
        "outside::example.com:",
    ):
        assert wanted in lines, wanted
    assert not [line for line in lines if line.startswith("empty")]
    assert "web::127.9.64.3:" not in lines, "another namespace's service has no short name here"


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.001)


async def test_the_writer_follows_the_api(tmp_path: Path) -> None:
    api = FakeKubeApi()
    spec = {"clusterIP": "127.9.64.2", "ports": [{"name": "http", "port": 80}]}
    await api.create("services", {"metadata": {"name": "web"}, "spec": spec}, "default")
    writer = NameTableWriter(api, tmp_path / "names.json", debounce_s=0.001)
    await writer.start()
    table = NameTable(tmp_path / "names.json")
    assert table.resolve("web", "default") == ["127.9.64.2"], "the first write is there when start returns"

    headless = {"clusterIP": "None", "ports": []}
    await api.create("services", {"metadata": {"name": "db"}, "spec": headless}, "default")
    endpoints = [
        {"addresses": ["127.9.1.1"], "conditions": {"ready": True}, "hostname": "db-0"},
        {"addresses": ["127.9.1.2"], "conditions": {"ready": False}},
    ]
    labels = {"kubernetes.io/service-name": "db"}
    slice_ = {"metadata": {"name": "db-x", "labels": labels}, "addressType": "IPv4", "endpoints": endpoints}
    await api.create("endpointslices.discovery.k8s.io", slice_, "default")
    await api.create("pods", {"metadata": {"name": "p"}, "spec": {}}, "default")
    await api.set_status("pods", "p", "default", podIP="127.9.1.9")
    await until(
        lambda: table.resolve("db-0.db", "default") == ["127.9.1.1"] and table.pods == {"default/p": "127.9.1.9"}
    )
    assert table.resolve("db", "default") == ["127.9.1.1"]
    await api.delete("services", "web", "default")
    await api.delete("pods", "p", "default")
    await until(lambda: not table.resolve("web", "default") and not table.pods)
    await writer.stop()


def test_frontends_of_a_service() -> None:
    def service(**spec: Any) -> Obj:
        ports = [{"name": "http", "port": 80, "nodePort": 30080}, {"name": "dns", "port": 53, "protocol": "UDP"}]
        return {
            "metadata": {"name": "web", "namespace": "default"},
            "spec": {"clusterIP": "127.9.64.2", "ports": ports, **spec},
        }

    slice_ = {
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": 8080}, {"name": "dns", "port": 53, "protocol": "UDP"}],
        "endpoints": [{"addresses": ["127.9.1.1"]}, {"addresses": ["127.9.1.2"], "conditions": {"ready": False}}],
    }
    found = frontends(service(), [slice_], "127.9.0.1")
    assert [f.listen for f in found] == [("127.9.64.2", 80), ("127.9.0.1", 30080)]
    assert {tuple(f.backends) for f in found} == {(("127.9.1.1", 8080),)}
    assert frontends(service(clusterIP="None"), [slice_], "127.9.0.1") == []
    assert frontends(service(type="ExternalName", clusterIP=""), [slice_], "127.9.0.1") == []
    assert frontends(service(), [], "127.9.0.1") == []
    assert ready_backends([slice_], "other") == []
