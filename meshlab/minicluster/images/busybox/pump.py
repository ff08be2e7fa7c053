"""Standard input and output on one side, a TCP connection on the other: what nc and telnet do."""

from __future__ import annotations

import os
import selectors
import socket
from collections.abc import Callable

from meshlab.minicluster.network.queues import wait_until_read

PIECE = 65536
GUESSING_S = 0.1


class Silence(Exception):
    """Nothing arrived for the time allowed."""


def pump(
    connection: socket.socket,
    *,
    timeout_s: float | None = None,
    translate: Callable[[bytes], bytes] = bytes,
    read_stdin: bool = True,
) -> None:
    """Carry bytes both ways until the peer has ended its half; the end of input only ends ours.

    Args:
        connection: the connection.
        timeout_s: how long the peer may be silent; None for ever.
        translate: applied to what the peer sends.
        read_stdin: whether there is input at all.

    Raises:
        Silence: the peer was silent for too long.
        OSError: the connection broke.
    """
    connection.setblocking(True)
    with selectors.DefaultSelector() as selector:
        selector.register(connection, selectors.EVENT_READ)
        if read_stdin:
            try:
                selector.register(0, selectors.EVENT_READ)
            except PermissionError:
                # A regular file is always readable, and epoll refuses it.
                _send_file(connection)
        while True:
            ready = selector.select(timeout_s)
            if not ready:
                raise Silence
            for key, _ in ready:
                if key.fileobj == 0:
                    data = os.read(0, PIECE)
                    if data:
                        connection.sendall(data)
                    else:
                        selector.unregister(0)
                        _end(connection)
                else:
                    data = connection.recv(PIECE)
                    if not data:
                        return
                    _write_all(translate(data))


def _send_file(connection: socket.socket) -> None:
    while data := os.read(0, PIECE):
        connection.sendall(data)
    _end(connection)


def _end(connection: socket.socket) -> None:
    """End our half, but not while a proxy still guesses from the first bytes what this is: it would close the rest."""
    wait_until_read(connection, GUESSING_S)
    connection.shutdown(socket.SHUT_WR)


def _write_all(data: bytes) -> None:
    while data:
        data = data[os.write(1, data) :]
