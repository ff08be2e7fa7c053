"""Addresses for ServiceEntries: who gets some, and that they stay and never mean two hosts."""

from __future__ import annotations

from typing import Any

import pytest

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.istio.ipallocate import LABEL, Allocator, allocated_addresses


def entry(*hosts: str, labels: dict[str, str] | None = None, status: Any = None, **spec: Any) -> Obj:
    found: Obj = {"metadata": {"labels": labels or {}}, "spec": {"hosts": list(hosts), "resolution": "DNS", **spec}}
    if status is not None:
        found["status"] = {"addresses": status}
    return found


def given(host: str, *values: str) -> list[Obj]:
    return [{"host": host, "value": value} for value in values]


def test_each_host_gets_an_address_of_both_families() -> None:
    wanted = given("a", "240.240.0.1", "2001:2::1") + given("b", "240.240.0.2", "2001:2::2")
    assert Allocator().status(entry("a", "b", "*.c")) == wanted


@pytest.mark.parametrize(
    "refusing",
    [
        entry("a", resolution="NONE"),
        {"metadata": {}, "spec": {"hosts": ["a"]}},
        entry("a", addresses=["192.0.2.1"]),
        entry("a", labels={LABEL: "False"}),
    ],
)
def test_who_gets_none(refusing: Obj) -> None:
    assert Allocator().status(refusing) is None
    assert allocated_addresses({**refusing, "status": {"addresses": given("a", "240.240.0.1")}}, "a") == ()


def test_what_is_there_stays_and_is_not_given_again() -> None:
    allocator = Allocator()
    settled = entry("a", status=given("a", "240.240.0.2", "2001:2::2"))
    allocator.take_note([settled])
    assert allocator.status(settled) is None
    assert allocator.status(entry("b")) == given("b", "240.240.0.1", "2001:2::1")
    assert allocator.status(entry("c")) == given("c", "240.240.0.3", "2001:2::3")


def test_a_host_that_is_added_gets_one_and_a_wildcard_has_none() -> None:
    allocator = Allocator()
    grown = entry("a", "b", status=given("a", "240.240.0.1", "2001:2::1"))
    allocator.take_note([grown])
    assert allocator.status(grown) == given("a", "240.240.0.1", "2001:2::1") + given("b", "240.240.0.2", "2001:2::2")
    assert allocated_addresses(entry("*.a", status=given("", "240.240.0.1")), "*.a") == ()
    assert allocated_addresses(grown, "a") == ("240.240.0.1", "2001:2::1")
