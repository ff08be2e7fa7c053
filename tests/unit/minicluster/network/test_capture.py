"""The rules of capture, in the order of iptables', and the names that only a mesh knows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from meshlab.minicluster.network.capture import (
    PREFIX,
    CaptureRules,
    captures_inbound,
    inbound_annotations,
    outbound_annotations,
)
from meshlab.minicluster.network.meshnames import host_records
from meshlab.minicluster.network.names import NameTable


@pytest.mark.parametrize(
    ("annotations", "address", "port", "captured"),
    [
        ({}, "127.77.64.3", 80, True),
        ({"includeOutboundIPRanges": ""}, "127.77.64.3", 80, False),
        ({"includeOutboundIPRanges": "127.77.64.0/19, 192.0.2.1/32"}, "127.77.64.3", 80, True),
        ({"includeOutboundIPRanges": "127.77.64.0/19"}, "192.0.2.1", 80, False),
        ({"includeOutboundIPRanges": "127.77.64.0/19", "includeOutboundPorts": "443"}, "192.0.2.1", 443, True),
        ({"excludeOutboundIPRanges": "192.0.2.0/24"}, "192.0.2.1", 80, False),
        ({"excludeOutboundIPRanges": "192.0.2.0/24", "includeOutboundPorts": "80"}, "192.0.2.1", 80, False),
        ({"excludeOutboundPorts": "3306,5432"}, "192.0.2.1", 5432, False),
        ({"excludeOutboundPorts": "3306,5432"}, "192.0.2.1", 80, True),
        ({"excludeOutboundIPRanges": "nonsense"}, "192.0.2.1", 80, True),
    ],
)
def test_outbound(annotations: dict[str, str], address: str, port: int, captured: bool) -> None:
    rules = outbound_annotations({PREFIX + name: value for name, value in annotations.items()})
    assert CaptureRules.of(rules).captures(address, port) is captured


@pytest.mark.parametrize(
    ("annotations", "captured"),
    [
        ({}, True),
        ({"includeInboundPorts": "*"}, True),
        ({"includeInboundPorts": ""}, False),
        ({"includeInboundPorts": "80,90"}, False),
        ({"includeInboundPorts": "8080"}, True),
        ({"excludeInboundPorts": "8080"}, False),
        ({"includeInboundPorts": "8080", "excludeInboundPorts": "8080"}, False),
    ],
)
def test_inbound(annotations: dict[str, str], captured: bool) -> None:
    given = inbound_annotations({PREFIX + name: value for name, value in annotations.items()})
    assert captures_inbound(given, 8080) is captured


def entry(hosts: list[str], namespace: str = "default", status: Any = (), **spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"namespace": namespace, "name": "x"},
        "spec": {"hosts": hosts, **spec},
        "status": {"addresses": list(status)},
    }


def test_names_of_entries_are_seen_by_programs_whose_sidecar_answers(tmp_path: Path) -> None:
    own = host_records(entry(["db.example.com", "*.wild.com"], addresses=["192.0.2.1", "192.0.2.0/24"]))
    given = host_records(
        entry(["auto.internal"], "shop", [{"host": "auto.internal", "value": "240.240.0.1"}], exportTo=["."])
    )
    hosts = {host: [record] for host, record in (own | given).items()}
    path = tmp_path / "names.json"
    path.write_text(json.dumps({"services": {}, "pods": {}, "hosts": hosts}))
    table = NameTable(path)
    assert table.resolve("db.example.com", "default") == []
    assert table.resolve("DB.example.com.", "default", mesh=True) == ["192.0.2.1"]
    assert table.resolve("x.wild.com", "default", mesh=True) == ["192.0.2.1"]
    assert table.resolve("auto.internal", "shop", mesh=True) == ["240.240.0.1"]
    assert table.resolve("auto.internal", "default", mesh=True) == [], "not exported"


def test_addresses_of_its_own_hide_those_in_the_status() -> None:
    found = host_records(entry(["a"], status=[{"host": "a", "value": "240.240.0.1"}], addresses=["192.0.2.1"]))
    assert found["a"]["addresses"] == ["192.0.2.1"]
    assert host_records(entry(["a"])) == {}
