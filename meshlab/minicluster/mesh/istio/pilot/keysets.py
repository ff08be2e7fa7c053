"""Key sets that token policies name by a URL, or by an issuer that tells one: istiod fetches them, as upstream does.

A fetch never keeps a push waiting. Until the keys are there every token of that issuer is refused; when they come, the
proxies are told. A set is fetched again after twenty minutes, and sooner while its server does not answer.
"""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from meshlab.minicluster.network.names import NameTable
from meshlab.minicluster.pod import PodContext

logger = logging.getLogger(__name__)

REFRESH_S = 20 * 60.0
"""Upstream's interval (PILOT_JWT_PUB_KEY_REFRESH_INTERVAL)."""
RETRY_S = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
TIMEOUT_S = 5.0


class FetchError(Exception):
    """A key set cannot be had."""


class KeySets:
    """What was fetched, kept fresh by a task for each source.

    Args:
        pod: istiod's pod, whose names and ports count.
    """

    def __init__(self, pod: PodContext) -> None:
        self._pod = pod
        self._handlers: list[Callable[[], None]] = []
        self._documents: dict[str, str] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    @property
    def documents(self) -> Mapping[str, str]:
        """The key sets by their source."""
        return dict(self._documents)

    def subscribe(self, handler: Callable[[], None]) -> None:
        """Call ``handler`` when keys came or changed; it must only take note."""
        self._handlers.append(handler)

    def want(self, sources: Iterable[str]) -> None:
        """Fetch these and no others from now on."""
        wanted = set(sources)
        for source in self._tasks.keys() - wanted:
            self._tasks.pop(source).cancel()
            self._documents.pop(source, None)
        for source in wanted - self._tasks.keys():
            self._tasks[source] = asyncio.create_task(self._keep(source), name=f"keys {source}")

    async def stop(self) -> None:
        """Fetch nothing any more."""
        tasks = list(self._tasks.values())
        self.want(())
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _keep(self, source: str) -> None:
        failures = 0
        while True:
            try:
                document = await self._fetch(source)
            except (FetchError, aiohttp.ClientError, OSError, TimeoutError) as error:
                logger.error("Failed to fetch public key from %s: %s", json.dumps(source), error)
                await asyncio.sleep(RETRY_S[min(failures, len(RETRY_S) - 1)])
                failures += 1
                continue
            failures = 0
            if self._documents.get(source) != document:
                self._documents[source] = document
                for handler in self._handlers:
                    handler()
            await asyncio.sleep(REFRESH_S)

    async def _fetch(self, source: str) -> str:
        connector = aiohttp.TCPConnector(resolver=_LabResolver(self._pod), use_dns_cache=False)
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
            document = await _json(session, source)
            uri = document.get("jwks_uri")
            if isinstance(uri, str):
                # An issuer's discovery document (OpenID Connect Discovery 1.0).
                document = await _json(session, uri)
            if not isinstance(document.get("keys"), list):
                raise FetchError("it is no JSON Web Key Set")
            return json.dumps(document)


async def _json(session: aiohttp.ClientSession, url: str) -> dict[str, Any]:
    if not url.startswith(("http://", "https://")):
        raise FetchError(f"{url!r} is no URL")
    async with session.get(url) as response:
        if response.status != 200:
            raise FetchError(f"{url} answers with status {response.status}")
        try:
            document = json.loads(await response.read())
        except ValueError as error:
            raise FetchError(f"{url} is no JSON: {error}") from error
    if not isinstance(document, dict):
        raise FetchError(f"{url} is no JSON object")
    return document


class _LabResolver(AbstractResolver):
    """Names as a pod of the lab sees them, with the ports that are really bound; other names by the host."""

    def __init__(self, pod: PodContext) -> None:
        self._pod = pod
        self._names = NameTable(Path(pod.names_file))

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        addresses = self._names.resolve(host, self._pod.namespace)
        if addresses:
            return [_result(host, address, self._pod.ports.real(port)) for address in addresses]
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, family=socket.AF_INET)
        return [_result(host, str(address[0]), port) for *_, address in found]

    async def close(self) -> None:
        """Nothing is held."""


def _result(host: str, address: str, port: int) -> ResolveResult:
    return {
        "hostname": host,
        "host": address,
        "port": port,
        "family": socket.AF_INET,
        "proto": socket.IPPROTO_TCP,
        "flags": socket.AI_NUMERICHOST,
    }
