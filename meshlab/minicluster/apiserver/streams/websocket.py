"""The WebSocket dialects: one message is one channel number and its data.

``vN.channel.k8s.io`` has the number as a byte in front of binary data; ``base64.channel.k8s.io`` and its v4 form, for
browsers, as an ASCII digit in front of base64 text. v5 adds "channel N is finished", as channel 255 with N as its data.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass

from aiohttp import WSMsgType, web

from meshlab.minicluster.kubeapi import StatusError

CLOSE_CHANNEL = 255


@dataclass(frozen=True, slots=True)
class Dialect:
    """One subprotocol."""

    name: str
    base64: bool = False
    json_status: bool = True
    """Whether the error channel carries a ``Status`` object, and not bare text on failure only."""
    half_close: bool = False


V5 = Dialect("v5.channel.k8s.io", half_close=True)
V4 = Dialect("v4.channel.k8s.io")
V4_BASE64 = Dialect("v4.base64.channel.k8s.io", base64=True)
V1 = Dialect("channel.k8s.io", json_status=False)
V1_BASE64 = Dialect("base64.channel.k8s.io", base64=True, json_status=False)
UNNAMED = Dialect("", json_status=False)
"""No subprotocol asked for: as ``channel.k8s.io``."""


def offered_protocols(request: web.Request) -> list[str]:
    """The subprotocols that the client offers, in its order; bearer tokens in disguise are left out."""
    return [
        name
        for value in request.headers.getall("Sec-WebSocket-Protocol", [])
        for name in map(str.strip, value.split(","))
        if name and not name.startswith("base64url.bearer.authorization.k8s.io.")
    ]


def negotiate(request: web.Request, known: Sequence[Dialect]) -> Dialect:
    """The dialect to speak: the first of the client's that we know.

    Raises:
        StatusError: 400, none of them.
    """
    offered = offered_protocols(request)
    if not offered:
        return UNNAMED
    by_name = {dialect.name: dialect for dialect in known}
    for name in offered:
        if name in by_name:
            return by_name[name]
    raise StatusError(
        400,
        "BadRequest",
        f"unable to upgrade: unable to negotiate protocol: client supports {offered}, server accepts {[*by_name]}",
    )


class ChannelSocket:
    """A WebSocket whose messages are ``(channel, data)``."""

    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect
        self.response = web.WebSocketResponse(
            protocols=(dialect.name,) if dialect.name else (), max_msg_size=0, compress=False, timeout=2
        )

    async def open(self, request: web.Request) -> None:
        """Answer the upgrade request."""
        await self.response.prepare(request)

    async def receive(self) -> tuple[int, bytes] | None:
        """The next message; None when the client has closed. Undecodable messages are passed over."""
        while True:
            message = await self.response.receive()
            if message.type is WSMsgType.BINARY and message.data and not self.dialect.base64:
                return message.data[0], bytes(message.data[1:])
            if message.type is WSMsgType.TEXT and message.data:
                text: str = message.data
                if not self.dialect.base64:
                    encoded = text.encode()
                    return encoded[0], encoded[1:]
                try:
                    return int(text[0], 16), base64.b64decode(text[1:], validate=True)
                except (ValueError, binascii.Error):
                    continue
            if message.type in (WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.ERROR):
                return None

    async def send(self, channel: int, data: bytes) -> None:
        """Send one message; waits while the client is behind.

        Raises:
            ConnectionResetError: the client is gone.
        """
        if self.dialect.base64:
            await self.response.send_str(f"{channel}{base64.b64encode(data).decode()}")
        else:
            await self.response.send_bytes(bytes((channel,)) + data)

    async def close(self) -> None:
        """Say good-bye."""
        await self.response.close()
