from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from meshlab.minicluster.network import allocation
from meshlab.minicluster.network.allocation import NoAddressesError, claim


@pytest.fixture(autouse=True)
def _out_of_the_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """Prefixes that no lab uses, so that labs of this machine are left alone."""
    monkeypatch.setattr(allocation, "PREFIXES", range(251, 253))


@pytest.fixture
def record(tmp_path: Path) -> Path:
    return tmp_path / "network.json"


def test_a_lab_claims_a_slash_16_by_listening(record: Path) -> None:
    claimed = claim("one", record)
    with claimed.listener as listener:
        assert claimed.prefix in ("127.251", "127.252")
        assert claimed.port in allocation.LOCK_PORTS
        assert listener.getsockname() == (f"{claimed.prefix}.0.1", claimed.port)
        assert json.loads(record.read_text()) == {"prefix": claimed.prefix}


def test_two_labs_never_meet(tmp_path: Path) -> None:
    one = claim("one", tmp_path / "one.json")
    two = claim("one", tmp_path / "two.json")
    with one.listener, two.listener:
        assert one.prefix != two.prefix
        with pytest.raises(NoAddressesError, match="every /16 of 127/8"):
            claim("three", tmp_path / "three.json")


def test_a_lab_comes_back_to_its_addresses(record: Path) -> None:
    record.write_text(json.dumps({"prefix": "127.252"}))
    for name in ("one", "two"):
        with claim(name, record).listener as listener:
            assert listener.getsockname()[0] == "127.252.0.1"


def test_addresses_that_somebody_took_meanwhile_are_an_error(record: Path, tmp_path: Path) -> None:
    # Its objects carry its addresses, so another /16 would be a broken lab.
    other = claim("one", tmp_path / "one.json")
    record.write_text(json.dumps({"prefix": other.prefix}))
    with other.listener, pytest.raises(NoAddressesError, match="in use by another lab on this machine"):
        claim("two", record)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"prefix": 5}'])
def test_a_record_that_cannot_be_read_is_none(record: Path, text: str) -> None:
    record.write_text(text)
    claim("one", record).listener.close()
    assert json.loads(record.read_text())["prefix"].startswith("127.25")


def test_where_the_search_begins_depends_on_the_lab(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allocation, "PREFIXES", range(20, 250))
    orders = {name: list(allocation._candidates(name)) for name in ("default", "other", "third")}
    assert len({order[0] for order in orders.values()}) > 1
    assert {frozenset(order) for order in orders.values()} == {frozenset(f"127.{n}" for n in range(20, 250))}
    assert orders["default"] == list(allocation._candidates("default"))


def test_a_port_that_the_host_holds_everywhere_is_passed_over(monkeypatch: pytest.MonkeyPatch, record: Path) -> None:
    with socket.socket() as everywhere:
        everywhere.bind(("0.0.0.0", 0))
        everywhere.listen()
        monkeypatch.setattr(allocation, "LOCK_PORTS", (everywhere.getsockname()[1], 16443))
        claimed = claim("one", record)
        claimed.listener.close()
        assert claimed.port == 16443


def test_a_machine_without_loopback_addresses_is_said(monkeypatch: pytest.MonkeyPatch, record: Path) -> None:
    # 192.0.2.0/24 is for documentation: no machine has it, as macOS has no 127.254.254.254.
    monkeypatch.setattr(allocation, "_PROBE_ADDRESS", "192.0.2.1")
    with pytest.raises(NoAddressesError, match="a lab needs addresses inside 127/8"):
        claim("one", record)
