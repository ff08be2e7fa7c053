"""Requests that built-in servers send to other services: through the pod's sidecar, else over the lab's network."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from aiohttp import ClientError, ClientSession, ClientTimeout, TCPConnector
from aiohttp.abc import AbstractResolver, ResolveResult

from meshlab.minicluster.images.dial import PodNetwork, UnknownHost
from meshlab.minicluster.pod import PodContext


class Unreachable(Exception):
    """There was no answer in time; the message is the reason."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What another service answered."""

    status: int
    body: str


async def get(pod: PodContext, url: str, *, headers: Mapping[str, str], timeout_s: float) -> Reply:
    """One GET on a connection of its own, as simple client libraries do it.

    Raises:
        Unreachable: no connection, or no answer within the time.
    """
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    proxy = PodNetwork(pod).proxy_for(parts.hostname or "", port, parts.scheme)
    connector = TCPConnector(
        resolver=_LabResolver(pod), local_addr=(pod.pod_ip, 0), force_close=True, use_dns_cache=False
    )
    try:
        async with (
            ClientSession(connector=connector, timeout=ClientTimeout(timeout_s)) as session,
            session.get(url, headers=headers, proxy=f"http://{proxy[0]}:{proxy[1]}" if proxy else None) as response,
        ):
            return Reply(response.status, await response.text())
    except (ClientError, OSError, TimeoutError) as error:
        raise Unreachable(str(error) or type(error).__name__) from error


class _LabResolver(AbstractResolver):
    """Names of the lab's table, and the ports that are really bound behind the nominal ones."""

    def __init__(self, pod: PodContext) -> None:
        self._network = PodNetwork(pod)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        try:
            endpoints = [self._network.real_endpoint(address, port) for address in self._network.resolve(host)]
        except UnknownHost:
            raise OSError(f"no such host: {host}") from None
        return [
            ResolveResult(hostname=host, host=address, port=real, family=socket.AF_INET, proto=0, flags=0)
            for address, real in endpoints
        ]

    async def close(self) -> None:
        """Nothing is held open."""
