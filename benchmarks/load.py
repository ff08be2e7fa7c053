"""Load on one address: keep-alive connections that ask again as soon as they are answered."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field


@dataclass(slots=True)
class Counts:
    """What came back.

    Attributes:
        elapsed_s: how long the load lasted.
        latencies_s: of every answer, in order of arrival.
        bodies: how many answers had which status and body.
    """

    elapsed_s: float = 0.0
    latencies_s: list[float] = field(default_factory=list)
    bodies: dict[tuple[int, str], int] = field(default_factory=dict)

    @property
    def per_s(self) -> float:
        """Answers per second."""
        return len(self.latencies_s) / self.elapsed_s


class Connection:
    """One keep-alive HTTP/1.1 connection, as thin as can be: the load must not be the bottleneck.

    Args:
        address: where to connect.
        target: the request line's target; an absolute URL asks a proxy.
        host: the Host header.
    """

    def __init__(self, address: tuple[str, int], target: str, host: str) -> None:
        self._address = address
        self._request = f"GET {target} HTTP/1.1\r\nhost: {host}\r\n\r\n".encode()
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def get(self) -> tuple[int, str]:
        """One request; its status and body."""
        if self._streams is None:
            self._streams = await asyncio.open_connection(*self._address)
        reader, writer = self._streams
        writer.write(self._request)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
        body = await reader.readexactly(length)
        return int(head[9:12]), body.decode().strip()

    async def close(self) -> None:
        """Close it."""
        if self._streams is not None:
            self._streams[1].close()
            await self._streams[1].wait_closed()
            self._streams = None


async def load(address: tuple[str, int], target: str, host: str, *, connections: int, seconds: float) -> Counts:
    """Ask without pause on so many connections for so long."""
    counts = Counts()
    started = time.perf_counter()

    async def ask() -> None:
        connection = Connection(address, target, host)
        try:
            while (now := time.perf_counter()) < started + seconds:
                answer = await connection.get()
                counts.latencies_s.append(time.perf_counter() - now)
                counts.bodies[answer] = counts.bodies.get(answer, 0) + 1
        finally:
            await connection.close()

    await asyncio.gather(*(ask() for _ in range(connections)))
    counts.elapsed_s = time.perf_counter() - started
    return counts
