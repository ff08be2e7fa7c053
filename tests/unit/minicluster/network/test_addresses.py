from __future__ import annotations

import ipaddress
import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from meshlab.minicluster.network import addresses
from meshlab.minicluster.network.addresses import Exhausted, LabNetwork, PortMap, hidden_address, is_loopback

PROBE = "127.251.7.1"


def test_a_lab_owns_a_slash_16_in_parts_that_do_not_overlap() -> None:
    network = LabNetwork("127.77")
    pools = [set(pool.free) for pool in (network.pods, network.cluster_ips, network.load_balancers)]
    hidden = {hidden_address(address) for address in pools[0]}
    everything = [{network.node_address}, *pools, hidden]
    assert sum(map(len, everything)) == len(set().union(*everything))
    whole = ipaddress.ip_network(network.cidr)
    assert all(ipaddress.ip_address(address) in whole for part in everything for address in part)


def test_cluster_ips_lie_in_the_range_that_is_told() -> None:
    network = LabNetwork("127.77")
    service_cidr = ipaddress.ip_network(network.service_cidr)
    assert all(ipaddress.ip_address(address) in service_cidr for address in network.cluster_ips.free)
    assert network.cluster_ips.allocate() == network.kubernetes_service_ip == "127.77.64.1"


def test_the_hidden_address_keeps_all_but_one_octet() -> None:
    assert hidden_address("127.77.1.5") == "127.77.129.5"
    assert hidden_address("127.77.63.254") == "127.77.191.254"


def test_an_address_given_back_is_used_again_last() -> None:
    pods = LabNetwork("127.77").pods
    first, second = pods.allocate(), pods.allocate()
    assert (first, second) == ("127.77.1.1", "127.77.1.2")
    pods.release(first)
    count = len(pods.free)
    later = [pods.allocate() for _ in range(count)]
    assert later[-1] == first
    with pytest.raises(Exhausted, match="no address is left"):
        pods.allocate()


def test_a_wanted_address_is_given_once() -> None:
    pods = LabNetwork("127.77").pods
    assert pods.allocate("127.77.3.9") == "127.77.3.9"
    for wanted in ("127.77.3.9", "127.77.64.1", "10.0.0.1"):
        with pytest.raises(Exhausted, match=f"address {wanted} is not available"):
            pods.allocate(wanted)


def test_giving_back_what_was_never_taken_changes_nothing() -> None:
    pods = LabNetwork("127.77").pods
    before = list(pods.free)
    pods.release("127.77.1.1")
    pods.release("10.0.0.1")
    assert list(pods.free) == before


@pytest.mark.parametrize(
    ("address", "inside"), [("127.0.0.1", True), ("127.77.1.5", True), ("::1", True), ("10.0.0.1", False)]
)
def test_loopback(address: str, inside: bool) -> None:
    assert is_loopback(address) is inside


@pytest.fixture
def ports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PortMap:
    # Whoever runs the tests: ports below 1024 count as privileged.
    monkeypatch.setattr(addresses, "_first_unprivileged_port", lambda: 1024)
    return PortMap(tmp_path / "ports.json", PROBE)


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that somebody else listens on."""
    with socket.socket() as listener:
        listener.bind((PROBE, 0))
        yield listener.getsockname()[1]


def test_a_port_that_can_be_bound_stays_itself(ports: PortMap) -> None:
    assert [ports.real(8080), ports.settle(18083), ports.nominal(18083)] == [8080, 18083, 18083]
    assert ports.remapped() == {}
    assert not ports.path.exists()


def test_a_low_port_has_another_behind_it(ports: PortMap) -> None:
    assert ports.real(80) == 20080
    assert ports.settle(80) == 20080
    assert (ports.real(80), ports.nominal(20080), ports.remapped()) == (20080, 80, {80: 20080})


def test_a_port_that_is_taken_gets_an_alternative_for_good(ports: PortMap, taken: int) -> None:
    chosen = ports.settle(taken)
    assert chosen in addresses.ALTERNATIVE_PORTS
    assert ports.settle(taken) == ports.real(taken) == chosen
    assert ports.nominal(chosen) == taken


def test_two_nominal_ports_never_share_a_real_one(ports: PortMap, taken: int) -> None:
    ports.path.write_text(json.dumps({"80": addresses.ALTERNATIVE_PORTS[0]}))
    assert ports.settle(taken) not in (addresses.ALTERNATIVE_PORTS[0], taken)


def test_a_real_port_in_use_is_not_given_to_its_nominal_namesake(ports: PortMap) -> None:
    ports.path.write_text(json.dumps({"80": 20080}))
    assert ports.settle(20080) != 20080


def test_other_processes_see_what_was_settled(ports: PortMap, taken: int) -> None:
    elsewhere = PortMap(ports.path, PROBE)
    assert elsewhere.real(taken) == taken
    chosen = ports.settle(taken)
    assert elsewhere.real(taken) == chosen
    ports.settle(81)
    assert elsewhere.remapped() == {taken: chosen, 81: 20081}


def test_no_port_at_all_is_said(ports: PortMap, taken: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(addresses, "ALTERNATIVE_PORTS", range(0))
    with pytest.raises(Exhausted, match=f"no free port stands behind {taken}"):
        ports.settle(taken)


def test_the_file_is_written_whole(ports: PortMap) -> None:
    for port in (443, 80):
        ports.settle(port)
    assert json.loads(ports.path.read_text()) == {"80": 20080, "443": 20443}
    assert list(ports.path.parent.iterdir()) == [ports.path]
