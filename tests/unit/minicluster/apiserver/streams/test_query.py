from __future__ import annotations

from typing import Any

import pytest

from meshlab.minicluster.apiserver.streams.logs import LogOptions
from meshlab.minicluster.apiserver.streams.portforward import parse_ports
from meshlab.minicluster.apiserver.streams.query import choose_container, parse_bool
from meshlab.minicluster.apiserver.streams.remotecommand import exit_status, parse_size
from meshlab.minicluster.kubeapi import StatusError


def pod(containers: list[str], init: list[str] | None = None) -> dict[str, Any]:
    spec: dict[str, Any] = {"containers": [{"name": name} for name in containers]}
    if init:
        spec["initContainers"] = [{"name": name} for name in init]
    return {"metadata": {"name": "x"}, "spec": spec}


@pytest.mark.parametrize(
    ("text", "value"), [("true", True), ("1", True), ("True", True), ("false", False), ("", False), (None, False)]
)
def test_parse_bool(text: str | None, value: bool) -> None:
    assert parse_bool(text) is value


def test_the_only_container_is_meant() -> None:
    assert choose_container(pod(["a"]), "") == "a"
    assert choose_container(pod(["a"], ["i"]), "i") == "i"


@pytest.mark.parametrize(
    ("init", "requested", "message"),
    [
        (None, "", "a container name must be specified for pod x, choose one of: [a b]"),
        (
            ["i"],
            "",
            "a container name must be specified for pod x, choose one of: [a b] or one of the init containers: [i]",
        ),
        (None, "c", "container c is not valid for pod x"),
    ],
)
def test_several_containers_need_a_name(init: list[str] | None, requested: str, message: str) -> None:
    with pytest.raises(StatusError) as error:
        choose_container(pod(["a", "b"], init), requested)
    assert (error.value.code, error.value.message) == (400, message)


def test_log_options() -> None:
    options = LogOptions.from_query({"follow": "true", "tailLines": "0", "sinceTime": "2026-01-01T00:00:00Z"}, "p")
    assert options == LogOptions(follow=True, tail_lines=0, since_time="2026-01-01T00:00:00Z")


@pytest.mark.parametrize(
    ("query", "code", "words"),
    [
        ({"tailLines": "-1"}, 422, "tailLines: Invalid value: -1: must be greater than or equal to 0"),
        ({"limitBytes": "0"}, 422, "limitBytes: Invalid value: 0: must be greater than 0"),
        ({"tailLines": "x"}, 400, 'strconv.ParseInt: parsing "x": invalid syntax'),
        ({"sinceTime": "yesterday"}, 400, 'parsing time "yesterday"'),
        ({"sinceSeconds": "5", "sinceTime": "2026-01-01T00:00:00Z"}, 422, "at most one of `sinceTime`"),
    ],
)
def test_bad_log_options(query: dict[str, str], code: int, words: str) -> None:
    with pytest.raises(StatusError) as error:
        LogOptions.from_query(query, "p")
    assert error.value.code == code
    assert words in error.value.message


def test_ports() -> None:
    assert parse_ports(["80", "81,82"]) == [80, 81, 82]
    for bad in ([], ["0"], ["x"], ["70000"]):
        with pytest.raises(StatusError):
            parse_ports(bad)


def test_sizes() -> None:
    assert parse_size(b'{"Width":80,"Height":24}') == (80, 24)
    for bad in (b"", b"{}", b"[]", b'{"Width":"x","Height":1}', b"\xff"):
        assert parse_size(bad) is None


def test_exit_status_has_the_code_as_a_cause() -> None:
    assert exit_status(0)["status"] == "Success"
    assert exit_status(3)["details"]["causes"] == [{"reason": "ExitCode", "message": "3"}]
