"""``openssl s_client`` in a pod: where it really connects to."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from meshlab.minicluster.images.dial import UnknownHost
from meshlab.minicluster.images.openssl import client_arguments


class Network:
    """A pod's network in which ``web`` is 127.9.64.1, and port 80 is bound at 20080."""

    def resolve(self, host: str) -> list[str]:
        if host == "nowhere":
            raise UnknownHost(host)
        return ["127.9.64.1"] if host == "web" else [host]

    def real_endpoint(self, address: str, port: int) -> tuple[str, int]:
        return address, 20080 if port == 80 else port


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (
            ["s_client", "-connect", "web:80"],
            ["s_client", "-connect", "127.9.64.1:20080", "-servername", "web", "-bind", "127.9.1.2:0"],
        ),
        (
            ["s_client", "-servername", "other", "-connect", "web"],
            ["s_client", "-servername", "other", "-connect", "127.9.64.1:4433", "-bind", "127.9.1.2:0"],
        ),
        (["s_client", "-connect", "192.0.2.1:443"], ["s_client", "-connect", "192.0.2.1:443"]),
        (["s_client", "-help"], ["s_client", "-help"]),
        (["s_client", "-connect"], ["s_client", "-connect"]),
    ],
)
def test_names_become_addresses_and_stay_server_names(given: Sequence[str], wanted: Sequence[str]) -> None:
    assert client_arguments(given, Network(), "127.9.1.2") == wanted  # type: ignore[arg-type]


def test_an_unknown_name_is_said() -> None:
    with pytest.raises(UnknownHost):
        client_arguments(["s_client", "-connect", "nowhere:1"], Network(), "127.9.1.2")  # type: ignore[arg-type]
