"""The learner's curl finds a lab's low ports."""

from __future__ import annotations

from meshlab.minicluster.hostcurl import redirections

PORTS = {80: 20080, 443: 20443}


def test_a_url_of_the_lab_is_sent_where_its_low_ports_are() -> None:
    assert redirections(["-s", "http://127.77.96.1/get"], "127.77", PORTS) == [
        "--connect-to",
        "127.77.96.1:80:127.77.96.1:20080",
        "--connect-to",
        "127.77.96.1:443:127.77.96.1:20443",
    ]


def test_a_name_that_is_resolved_to_the_lab_keeps_its_name() -> None:
    arguments = ["--resolve", "httpbin.example.com:443:127.77.96.1", "https://httpbin.example.com:443/"]
    assert redirections(arguments, "127.77", PORTS)[:2] == [
        "--connect-to",
        "httpbin.example.com:443:127.77.96.1:20443",
    ]


def test_other_addresses_are_left_alone() -> None:
    arguments = ["http://127.7.96.1/", "http://127.0.0.1/", "http://10.127.77.96.1/", "http://127.77.96.1.2/"]
    assert redirections(arguments, "127.77", PORTS) == []
    assert redirections(["http://127.77.96.1/"], "127.77", {}) == []


def test_the_node_is_reached_as_written() -> None:
    # The API server listens there itself; looking for a free port had found it taken, and sent curl elsewhere.
    assert redirections(["-k", "https://127.77.0.1:6443/version"], "127.77", {6443: 21100}) == []
