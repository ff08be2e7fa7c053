"""The agent's side of rewritten probes: ``/app-health/CONTAINER/readyz`` asks the program what its pod's author asked.

The answer is the program's status without its body: 200 or 500 where there is none (upstream's ``status/server.go``).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import Any

import aiohttp
import yarl
from aiohttp import web

from meshlab.minicluster.mesh.istio.inject_probes import VARIABLE

_HOP_HEADERS = frozenset(["host", "connection", "content-length", "transfer-encoding"])


class ApplicationProbes:
    """Answers for the application.

    Args:
        environment: the agent's environment, which says what to ask.
        address: where the application's programs listen.
        real: the really bound port of a nominal one.
    """

    def __init__(self, environment: Mapping[str, str], address: str, real: Callable[[int], int]) -> None:
        try:
            probers = json.loads(environment.get(VARIABLE) or "{}")
        except ValueError:
            probers = {}
        self._probers: Mapping[str, Any] = probers
        self._address = address
        self._real = real

    async def answer(self, request: web.Request) -> web.Response:
        """The status of one probe."""
        prober = self._probers.get(request.path)
        if prober is None:
            return web.Response(status=404, text=f"Unknown prober path: {request.path}")
        try:
            async with asyncio.timeout(prober.get("timeoutSeconds") or 1):
                if "httpGet" in prober:
                    return web.Response(status=await self._http(prober["httpGet"], request))
                if "tcpSocket" in prober:
                    await self._tcp(prober["tcpSocket"])
                elif not await self._grpc(prober.get("grpc") or {}):
                    return web.Response(status=500)
        except (aiohttp.ClientError, OSError):
            return web.Response(status=500)
        return web.Response(status=200)

    async def _http(self, action: Mapping[str, Any], request: web.Request) -> int:
        scheme = (action.get("scheme") or "HTTP").lower()
        path = "/" + (action.get("path") or "/").lstrip("/")
        url = yarl.URL(f"{scheme}://{self._address}:{self._real(int(action['port']))}{path}", encoded=True)
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _HOP_HEADERS}
        headers["Host"] = request.host
        headers |= {header["name"]: header["value"] for header in action.get("httpHeaders") or []}
        # A certificate is not checked, and no connection is kept, as the kubelet does.
        connector = aiohttp.TCPConnector(ssl=False, force_close=True)
        async with (
            aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar()) as session,
            session.get(url, headers=headers, allow_redirects=False) as answer,
        ):
            return answer.status

    async def _tcp(self, action: Mapping[str, Any]) -> None:
        _, writer = await asyncio.open_connection(self._address, self._real(int(action["port"])))
        writer.close()

    async def _grpc(self, action: Mapping[str, Any]) -> bool:
        import grpc.aio

        service = (action.get("service") or "").encode()
        # grpc.health.v1.HealthCheckRequest{service = 1} and HealthCheckResponse{status = 1}, where 1 is SERVING.
        question = b"\x0a" + bytes([len(service)]) + service if service else b""
        target = f"{self._address}:{self._real(int(action['port']))}"
        async with grpc.aio.insecure_channel(target, options=(("grpc.enable_http_proxy", 0),)) as channel:
            check: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(
                "/grpc.health.v1.Health/Check", bytes, bytes
            )
            try:
                return (await check(question)).startswith(b"\x08\x01")
            except grpc.aio.AioRpcError:
                return False
