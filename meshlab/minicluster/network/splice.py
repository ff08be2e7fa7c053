"""One TCP connection carried over to another: what the forwarder does once it knows where to.

Bytes are passed as they come, with back-pressure in both directions. A half-close stays a half-close and a reset stays
a reset, so that neither side can tell that a process stands between them.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from typing import cast

HIGH_WATER = 256 * 1024
"""Bytes that may wait for a slow reader before its peer is no longer read."""
_LINGER_ZERO = struct.pack("ii", 1, 0)


def reset(transport: asyncio.Transport | None) -> None:
    """Close a connection with RST, dropping what is not sent yet."""
    if transport is None:
        return
    sock = transport.get_extra_info("socket")
    if sock is not None:
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
    transport.abort()


class Half(asyncio.Protocol):
    """One of the two connections; `join` makes a pair of them. What arrives before is kept."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.lost = False
        self._peer: Half | None = None
        self._early: list[bytes] = []
        self._ended = False
        """Whether this side has sent its last byte."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.set_write_buffer_limits(high=HIGH_WATER)

    def data_received(self, data: bytes) -> None:
        peer = self._peer
        if peer is None:
            self._early.append(data)
            if self.transport is not None and sum(map(len, self._early)) > HIGH_WATER:
                self.transport.pause_reading()
        elif peer.transport is not None:
            peer.transport.write(data)

    def eof_received(self) -> bool:
        self._ended = True
        peer = self._peer
        if peer is None or peer.transport is None:
            return True
        if peer._ended:  # both directions are done: a plain close still flushes what is left
            peer.transport.close()
            return False
        peer._finish()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        peer, self._peer = self._peer, None
        if peer is None or peer.lost or peer.transport is None:
            return
        if exc is not None:
            reset(peer.transport)
        else:
            peer.transport.close()

    def pause_writing(self) -> None:
        if self._peer is not None and self._peer.transport is not None:
            self._peer.transport.pause_reading()

    def resume_writing(self) -> None:
        if self._peer is not None:
            self._peer._read_on()

    def _read_on(self) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self.transport.resume_reading()

    def _finish(self) -> None:
        """Pass on that the other side has sent its last byte."""
        if self.transport is not None and not self.transport.is_closing():
            with contextlib.suppress(OSError):
                self.transport.write_eof()

    def _attach(self, peer: Half) -> None:
        self._peer = peer
        early, self._early = self._early, []
        if early and peer.transport is not None:
            peer.transport.write(b"".join(early))
        if self._ended:
            peer._finish()
        else:
            self._read_on()


def join(client: Half, server: Half) -> None:
    """Carry everything between two open connections from now on."""
    client._attach(server)
    server._attach(client)


def tune(sock: socket.socket) -> None:
    """Send small segments at once: what stands between must not add Nagle's delay."""
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


async def dial(address: tuple[str, int], source_ip: str | None) -> Half:
    """Connect to an address, from a source address if one is given.

    Raises:
        OSError: nobody listens there, or the source address is not ours.
    """
    loop = asyncio.get_running_loop()
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        tune(sock)
        if source_ip is not None:
            # The port is chosen at connect, so that one source address can hold more connections than it has ports.
            with contextlib.suppress(OSError, AttributeError):
                sock.setsockopt(socket.IPPROTO_IP, getattr(socket, "IP_BIND_ADDRESS_NO_PORT", 24), 1)
            sock.bind((source_ip, 0))
        await loop.sock_connect(sock, address)
        _, protocol = await loop.create_connection(Half, sock=sock)
    except BaseException:
        sock.close()
        raise
    return protocol
