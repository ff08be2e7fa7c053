"""How much of what a program sent lies unread at the other end, for connections inside the host.

The kernel tells of any TCP socket of the network namespace by its four numbers (sock_diag(7), struct inet_diag_msg in
linux/inet_diag.h); the other end's receive queue is the answer.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import time

NETLINK_SOCK_DIAG = 4
SOCK_DIAG_BY_FAMILY = 20
NLM_F_REQUEST = 1
ALL_STATES = 0xFFFFFFFF
NO_COOKIE = b"\xff" * 8

_HEADER = struct.Struct("=IHHII")
_REQUEST = struct.Struct("=BBBxI")
_IDENTITY = struct.Struct("!HH16s16s")
_QUEUE_AT = _HEADER.size + 4 + 48 + 4
"""The receive queue follows four state bytes, the identity of the socket and a timer."""
POLL_S = 0.0005
WITHOUT_ANSWER_S = 0.02


def unread_by_peer(connection: socket.socket) -> int | None:
    """The bytes that the program at the other end has not read yet; None if the kernel does not tell."""
    try:
        (own, own_port), (peer, peer_port) = connection.getsockname(), connection.getpeername()
    except OSError:
        return 0  # nobody is there any more
    identity = _IDENTITY.pack(
        peer_port, own_port, socket.inet_aton(peer).ljust(16, b"\0"), socket.inet_aton(own).ljust(16, b"\0")
    )
    request = _REQUEST.pack(socket.AF_INET, socket.IPPROTO_TCP, 0, ALL_STATES) + identity + b"\0" * 4 + NO_COOKIE
    header = _HEADER.pack(_HEADER.size + len(request), SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST, 0, 0)
    with contextlib.suppress(OSError), socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, NETLINK_SOCK_DIAG) as kernel:
        kernel.settimeout(WITHOUT_ANSWER_S)
        kernel.sendto(header + request, (0, 0))
        answer = kernel.recv(4096)
        if _HEADER.unpack_from(answer)[1] == SOCK_DIAG_BY_FAMILY:
            return int.from_bytes(answer[_QUEUE_AT : _QUEUE_AT + 4], "little")
    return None


def wait_until_read(connection: socket.socket, within_s: float) -> None:
    """Return when everything that was sent has been read at the other end, or the time is over.

    Where the kernel does not tell, a moment has to do. What is no IPv4 connection is not waited for.
    """
    if connection.family != socket.AF_INET:
        return
    deadline = time.monotonic() + within_s
    while (unread := unread_by_peer(connection)) is not None and unread and time.monotonic() < deadline:
        time.sleep(POLL_S)
    if unread is None:
        time.sleep(WITHOUT_ANSWER_S)
