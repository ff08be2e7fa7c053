"""What probes and lifecycle hooks do: run a command, ask over HTTP, open a connection, ask for gRPC health.

Results carry the words that upstream's kubelet puts into events.
"""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import aiohttp
import yarl

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.node.probes import Result
from meshlab.minicluster.node.runtime import Instance, RunError, Runtime

MAX_OUTPUT_BYTES = 10 * 2**10
USER_AGENT = "kube-probe/1.37"


@dataclass(frozen=True, slots=True)
class Target:
    """The container an action is about, and how to reach its ports."""

    instance: Instance
    ports: Mapping[str, int]
    """The container's named ports."""
    address: Callable[[int], tuple[str, int]]
    """Where a nominal port of this container really is."""
    nominal_ip: str
    front: Callable[[int], tuple[str, int]] | None = None
    """Where the kubelet meets a port of the pod: at its proxy, where that has the port. None: as ``address``."""

    def probed(self) -> Target:
        """The same container as probes reach it; hooks and readiness by open ports go past the proxy."""
        return replace(self, address=self.front or self.address)

    def port(self, port: int | str) -> int:
        """The number of a port given by number or name.

        Raises:
            ValueError: no port of the container has that name.
        """
        if isinstance(port, int) or str(port).isdigit():
            return int(port)
        if port not in self.ports:
            raise ValueError(f'couldn\'t find port: "{port}"')
        return self.ports[port]


class Actions:
    """Carries out handlers for all containers of a node; `close` when done."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Close the HTTP client."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def attempt(self, handler: Obj, target: Target, timeout_s: float) -> Result:
        """Carry out the ``exec``, ``httpGet``, ``tcpSocket`` or ``grpc`` of a probe."""
        try:
            if "exec" in handler:
                return await self._exec(handler["exec"].get("command") or [], target, timeout_s)
            if "httpGet" in handler:
                return await self.http_get(handler["httpGet"], target, timeout_s)
            if "tcpSocket" in handler:
                return await self._tcp(handler["tcpSocket"], target, timeout_s)
            if "grpc" in handler:
                return await self._grpc(handler["grpc"], target, timeout_s)
        except ValueError as error:
            return Result(False, str(error))
        return Result(False, "missing probe handler")

    async def hook(self, handler: Obj, target: Target, timeout_s: float | None) -> Result:
        """Carry out a postStart or preStop handler."""
        if "sleep" in handler:
            await asyncio.sleep(min(handler["sleep"]["seconds"], timeout_s if timeout_s is not None else 1e9))
            return Result(True)
        return await self.attempt(handler, target, timeout_s if timeout_s is not None else 3600)

    async def _exec(self, command: list[str], target: Target, timeout_s: float) -> Result:
        try:
            run = await self._runtime.execute(target.instance, command, tty=False, stdin=False)
        except RunError as error:
            return Result(False, f"rpc error: code = Unknown desc = {error}")
        output = bytearray()

        async def collect() -> int:
            while (item := await run.read()) is not None:
                output.extend(item[1][: MAX_OUTPUT_BYTES - len(output)])
            return await run.wait()

        try:
            code = await asyncio.wait_for(collect(), timeout_s)
        except TimeoutError:
            words = " ".join(command)
            return Result(False, f'command timed out: "{words}" timed out after {timeout_s:g}s')
        finally:
            await run.close()
        return Result(code == 0, "" if code == 0 else output.decode(errors="replace"))

    async def http_get(self, action: Obj, target: Target, timeout_s: float) -> Result:
        """One GET; any status from 200 to 399 is success."""
        port = target.port(action["port"])
        scheme = (action.get("scheme") or "HTTP").lower()
        path = "/" + (action.get("path") or "/").lstrip("/")
        host = action.get("host") or ""
        ip, real = (host, port) if host else target.address(port)
        shown = f"{scheme}://{host or target.nominal_ip}:{port}{path}"
        headers = {"User-Agent": USER_AGENT, "Accept": "*/*", "Host": f"{host or target.nominal_ip}:{port}"}
        headers |= {header["name"]: header["value"] for header in action.get("httpHeaders") or []}
        url = yarl.URL(f"{scheme}://{ip}:{real}{path}", encoded=True)
        timeout = aiohttp.ClientTimeout(total=timeout_s)
        try:
            async with self._client().get(url, headers=headers, timeout=timeout, allow_redirects=False) as answer:
                await answer.content.read(MAX_OUTPUT_BYTES)
        except TimeoutError:
            waiting = "context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
            return Result(False, f'Get "{shown}": {waiting}')
        except aiohttp.ClientConnectorError as error:
            return Result(
                False, f'Get "{shown}": dial tcp {host or target.nominal_ip}:{port}: {_dialled(error.os_error)}'
            )
        except (aiohttp.ClientError, OSError) as error:
            return Result(False, f'Get "{shown}": {error or "EOF"}')
        if 200 <= answer.status < 400:
            return Result(True)
        return Result(False, f"HTTP probe failed with statuscode: {answer.status}")

    async def _tcp(self, action: Obj, target: Target, timeout_s: float) -> Result:
        port = target.port(action["port"])
        host = action.get("host") or ""
        ip, real = (host, port) if host else target.address(port)
        try:
            _, writer = await asyncio.wait_for(asyncio.open_connection(ip, real), timeout_s)
        except TimeoutError:
            return Result(False, f"dial tcp {host or target.nominal_ip}:{port}: i/o timeout")
        except OSError as error:
            return Result(False, f"dial tcp {host or target.nominal_ip}:{port}: {_dialled(error)}")
        writer.close()
        return Result(True)

    async def _grpc(self, action: Obj, target: Target, timeout_s: float) -> Result:
        import grpc.aio

        port = target.port(action["port"])
        ip, real = target.address(port)
        service = (action.get("service") or "").encode()
        # grpc.health.v1.HealthCheckRequest{service = 1} and HealthCheckResponse{status = 1}, where 1 is SERVING.
        request = b"\x0a" + bytes([len(service)]) + service if service else b""
        options = (("grpc.enable_http_proxy", 0),)
        async with grpc.aio.insecure_channel(f"{ip}:{real}", options=options) as channel:
            check: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(
                "/grpc.health.v1.Health/Check", bytes, bytes
            )
            try:
                answer: bytes = await check(request, timeout=timeout_s)
            except grpc.aio.AioRpcError as error:
                return Result(False, f'failed to connect service "{target.nominal_ip}:{port}": {error.details()}')
        if answer.startswith(b"\x08\x01"):
            return Result(True)
        return Result(False, 'service unhealthy (responded with "NOT_SERVING")')

    def _client(self) -> aiohttp.ClientSession:
        if self._session is None:
            # Certificates are not checked, as upstream; no connection is kept, so that every probe is a new one.
            connector = aiohttp.TCPConnector(ssl=False, force_close=True, limit=0)
            self._session = aiohttp.ClientSession(
                connector=connector, cookie_jar=aiohttp.DummyCookieJar(), trust_env=False
            )
        return self._session


def _dialled(error: OSError) -> str:
    if error.errno == errno.ECONNREFUSED:
        return "connect: connection refused"
    return f"connect: {os.strerror(error.errno).lower()}" if error.errno else str(error)
