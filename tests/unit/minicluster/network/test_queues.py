"""What the kernel says of bytes that nobody has read yet."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from meshlab.minicluster.network.queues import unread_by_peer, wait_until_read


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        server, _ = listener.accept()
        with client, server:
            yield client, server


def test_unread_bytes_are_counted(pair: tuple[socket.socket, socket.socket]) -> None:
    client, server = pair
    assert unread_by_peer(client) == 0
    client.sendall(b"hello")
    assert unread_by_peer(client) == 5
    server.recv(2)
    assert unread_by_peer(client) == 3


def test_waiting_ends_when_all_is_read_and_not_much_later_than_it_may(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    client, server = pair
    client.sendall(b"hello")
    started = time.monotonic()
    wait_until_read(client, 0.05)
    assert time.monotonic() - started >= 0.05
    reader = threading.Timer(0.05, lambda: server.recv(100))
    reader.start()
    wait_until_read(client, 30)
    reader.join()
    assert unread_by_peer(client) == 0
    assert time.monotonic() - started < 20


def test_what_is_gone_or_no_ipv4_is_not_waited_for(pair: tuple[socket.socket, socket.socket]) -> None:
    client, server = pair
    server.close()
    wait_until_read(client, 30)
    left, right = socket.socketpair(socket.AF_UNIX)
    with left, right:
        left.sendall(b"x")
        wait_until_read(left, 30)
