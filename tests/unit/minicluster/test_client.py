"""The parts of the remote client that need no server: kubeconfigs, watch lines, exit codes, errors."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import aiohttp
import pytest
import yaml

from meshlab.minicluster import client
from meshlab.minicluster.client import ConnectionConfigError, ConnectionLost, RemoteApi
from meshlab.minicluster.kubeapi import StatusError


def config(**user: Any) -> dict[str, Any]:
    return {
        "current-context": "lab",
        "contexts": [
            {"name": "lab", "context": {"cluster": "lab", "user": "lab"}},
            {"name": "two", "context": {"cluster": "two", "user": "lab"}},
            {"name": "broken", "context": {"cluster": "absent", "user": "lab"}},
        ],
        "clusters": [
            {"name": "lab", "cluster": {"server": "https://127.77.0.1:6443/"}},
            {"name": "two", "cluster": {"server": "https://127.78.0.1:6443", "insecure-skip-tls-verify": True}},
        ],
        "users": [{"name": "lab", "user": user}],
    }


def connection(tmp_path: Path, content: dict[str, Any], context: str | None = None) -> client._Connection:
    (tmp_path / "config").write_text(yaml.safe_dump(content))
    return RemoteApi.from_kubeconfig(tmp_path / "config", context)._connection


def test_the_current_context_or_another(tmp_path: Path) -> None:
    assert connection(tmp_path, config()).server == "https://127.77.0.1:6443"
    two = connection(tmp_path, config(), "two")
    assert two.server == "https://127.78.0.1:6443"
    assert isinstance(two.tls, ssl.SSLContext)
    assert two.tls.verify_mode is ssl.CERT_NONE


def test_tokens_stand_in_the_file_or_beside_it(tmp_path: Path) -> None:
    assert connection(tmp_path, config()).headers() == {}
    assert connection(tmp_path, config(token="t")).headers() == {"Authorization": "Bearer t"}
    (tmp_path / "token").write_text("first\n")
    reading = connection(tmp_path, config(tokenFile="token"))
    assert reading.headers() == {"Authorization": "Bearer first"}
    # Tokens of ServiceAccounts are renewed in place.
    (tmp_path / "token").write_text("second\n")
    assert reading.headers() == {"Authorization": "Bearer second"}


@pytest.mark.parametrize(
    ("content", "context", "said"),
    [
        (config(), "absent", 'has no entry "absent" in contexts'),
        (config(), "broken", 'has no entry "absent" in clusters'),
        ({"clusters": []}, None, 'has no entry "" in contexts'),
        ({"a": 1}, None, "is not a kubeconfig"),
    ],
)
def test_what_a_kubeconfig_lacks_is_said(tmp_path: Path, content: Any, context: str | None, said: str) -> None:
    with pytest.raises(ConnectionConfigError, match=said):
        connection(tmp_path, content, context)


def test_a_file_that_is_no_yaml_or_not_there(tmp_path: Path) -> None:
    (tmp_path / "config").write_text("{")
    with pytest.raises(ConnectionConfigError, match="is not YAML"):
        RemoteApi.from_kubeconfig(tmp_path / "config")
    with pytest.raises(ConnectionConfigError, match="No such file"):
        RemoteApi.from_kubeconfig(tmp_path / "absent")


async def test_watch_lines_of_any_length_and_cut_anywhere() -> None:
    long = b"x" * 300_000
    stream = Chunks(b"on", b"e\ntwo\n\nth", b"ree\n", long[:100_000], long[100_000:] + b"\n", b"cut off")
    lines = [line async for line in client._lines(cast(aiohttp.StreamReader, stream))]
    assert lines == [b"one", b"two", b"three", long]


async def test_a_line_without_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "MAX_WATCH_LINE", 5)
    with pytest.raises(EOFError, match="exceeds the limit"):
        assert not [line async for line in client._lines(cast(aiohttp.StreamReader, Chunks(b"abc", b"def")))]


class Chunks:
    """The body of an answer, as the network cut it."""

    def __init__(self, *chunks: bytes) -> None:
        self.chunks = chunks

    async def iter_any(self) -> AsyncIterator[bytes]:
        for chunk in self.chunks:
            yield chunk


def test_exit_codes_come_out_of_the_status() -> None:
    failed = {"status": "Failure", "details": {"causes": [{"reason": "ExitCode", "message": "6"}]}}
    assert client._exit_code({"status": "Success"}) == 0
    assert client._exit_code(failed) == 6
    with pytest.raises(StatusError, match="no such program"):
        client._exit_code({"status": "Failure", "message": "no such program", "code": 500})


@pytest.mark.parametrize(
    ("payload", "is_json", "said"),
    [
        (b'{"message": "gone", "reason": "NotFound", "code": 404}', True, (404, "NotFound", "gone")),
        (b"bad gateway\n", False, (502, "Unknown", "bad gateway")),
        (b"{cut", True, (502, "Unknown", "{cut")),
        (b"[]", True, (502, "Unknown", "[]")),
        (b"", False, (502, "Unknown", "HTTP 502")),
    ],
)
def test_every_answer_of_a_failing_server_is_an_error(payload: bytes, is_json: bool, said: tuple[Any, ...]) -> None:
    error = client._error(502, payload, is_json)
    assert (error.code, error.reason, error.message) == said


def test_every_lost_connection_is_an_os_error() -> None:
    with pytest.raises(OSError, match="cut short"), client._lost_connections():
        raise aiohttp.ClientPayloadError("cut short")
    with pytest.raises(ConnectionLost, match=r"Server ?[dD]isconnected"), client._lost_connections():
        raise aiohttp.ServerDisconnectedError
    refused = aiohttp.ClientOSError(111, "refused")
    with pytest.raises(aiohttp.ClientOSError) as caught, client._lost_connections():
        raise refused
    assert caught.value is refused


async def test_it_is_used_as_a_context() -> None:
    api = RemoteApi(client._Connection("http://127.0.0.1:1", True))
    with pytest.raises(RuntimeError, match="outside its context"):
        await api.get("pods", "x", "default")
