"""A connection to a Redis server, opened when it is needed and again after a failure."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from meshlab.minicluster.images.dial import PodNetwork
from meshlab.minicluster.images.redis.protocol import ProtocolError, RedisError, Value, encode_command, read_value
from meshlab.minicluster.pod import PodContext

TIMEOUT_S = 5.0


class RedisClient:
    """Sends commands from a pod.

    Args:
        pod: the pod.
        host: the server's name as the pod knows it.
        port: its nominal port.
    """

    def __init__(self, pod: PodContext, host: str, port: int) -> None:
        self._network = PodNetwork(pod)
        self._host = host
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._lock = asyncio.Lock()

    async def run(self, commands: Sequence[Sequence[str]]) -> list[Value]:
        """The replies to some commands, which are sent together.

        Raises:
            OSError: the server cannot be reached, or does not answer.
            UnknownHost: no such name.
            RedisError: a reply is an error.
        """
        async with self._lock:
            try:
                async with asyncio.timeout(TIMEOUT_S):
                    replies = await self._exchange(commands)
            except (asyncio.IncompleteReadError, ProtocolError, OSError) as error:
                self.close()
                raise error if isinstance(error, OSError) else ConnectionError(str(error)) from error
        for reply in replies:
            if isinstance(reply, RedisError):
                raise reply
        return replies

    async def _exchange(self, commands: Sequence[Sequence[str]]) -> list[Value]:
        if self._streams is None or self._streams[1].is_closing():
            self._streams = await self._network.open_connection(self._host, self._port)
        reader, writer = self._streams
        writer.write(b"".join(encode_command(command) for command in commands))
        await writer.drain()
        return [await read_value(reader) for _ in commands]

    def close(self) -> None:
        """Forget the connection."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None
