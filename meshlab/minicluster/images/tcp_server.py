"""A TCP server in a pod that talks to each client until it leaves, and ends with its container."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable
from contextlib import suppress

from meshlab.minicluster.pod import PodContext

Converse = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

CLOSING_S = 1


async def serve_tcp(pod: PodContext, port: int, converse: Converse, *, on_listening: Callable[[], None]) -> None:
    """Serve until SIGTERM or SIGINT.

    Args:
        pod: the server's pod.
        port: the nominal port.
        converse: talks to one client; when it returns, the connection is closed.
        on_listening: called when clients can connect.

    Raises:
        OSError: the port cannot be bound.
    """
    stopped = asyncio.Event()
    connections: set[asyncio.StreamWriter] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.add(writer)
        try:
            await converse(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.LimitOverrunError):
            pass
        finally:
            connections.discard(writer)
            writer.close()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    server = await asyncio.start_server(connected, pod.bind_ip, pod.ports.real(port))
    on_listening()
    await stopped.wait()
    server.close()
    for writer in list(connections):
        writer.close()
    with suppress(asyncio.TimeoutError):
        await asyncio.wait_for(server.wait_closed(), CLOSING_S)
