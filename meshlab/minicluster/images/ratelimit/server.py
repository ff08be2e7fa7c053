"""``/bin/ratelimit``: the gRPC service, its HTTP twin, and the debug port.

Settings come by environment variables, as upstream's (envoyproxy/ratelimit, src/settings): RUNTIME_ROOT,
RUNTIME_SUBDIRECTORY and RUNTIME_APPDIRECTORY say where the configuration is, REDIS_URL where counters are kept, PORT,
GRPC_PORT and DEBUG_PORT where it listens.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from aiohttp import web
from google.protobuf.message import Message

from meshlab.minicluster.images.dial import UnknownHost
from meshlab.minicluster.images.grpc_server import GrpcServer
from meshlab.minicluster.images.http_server import BindError, HttpServer, catch_all, now
from meshlab.minicluster.images.ratelimit.config import Config, ConfigError, load
from meshlab.minicluster.images.ratelimit.limiter import Limiter, Status
from meshlab.minicluster.images.redis.client import RedisClient
from meshlab.minicluster.images.redis.protocol import RedisError
from meshlab.minicluster.mesh import proto
from meshlab.minicluster.pod import PodContext

REQUEST = "envoy.service.ratelimit.v3.RateLimitRequest"
RESPONSE = "envoy.service.ratelimit.v3.RateLimitResponse"
WATCH_S = 1.0
REDIS_PORT = 6379


def main(argv: list[str], pod: PodContext) -> int:
    """Run the service until it is told to stop."""
    return asyncio.run(RateLimit(pod, os.environ).run())


class RateLimit:
    """The service.

    Args:
        pod: its pod.
        environment: its settings.
    """

    def __init__(self, pod: PodContext, environment: Mapping[str, str]) -> None:
        self._pod = pod
        self._environment = environment
        root = environment.get("RUNTIME_ROOT") or "/srv/runtime_data/current"
        parts = (environment.get("RUNTIME_SUBDIRECTORY") or "", environment.get("RUNTIME_APPDIRECTORY") or "config")
        # A file may be a volume of its own, so the directory is asked for only when it is read.
        self._directory = str(Path(root, *parts))
        host, _, port = (environment.get("REDIS_URL") or "").partition(":")
        self._redis = RedisClient(pod, host, int(port) if port.isdecimal() else REDIS_PORT)
        self._config = Config({})
        self._limiter = Limiter(self._add)

    async def run(self) -> int:
        """Until a signal; the exit code."""
        try:
            self._config = load(self._path)
            await self._redis.run([["PING"]])
        except ConfigError as error:
            _log("fatal", f"error loading new configuration from runtime: {error}")
            return 1
        except (OSError, UnknownHost, RedisError) as error:
            _log("fatal", f"panic: dial tcp {self._environment.get('REDIS_URL')}: {error}")
            return 2
        service = "envoy.service.ratelimit.v3.RateLimitService"
        grpc = GrpcServer(service, "ShouldRateLimit", REQUEST, RESPONSE, self._answer)
        ports = {name: self._port(name, default) for name, default in _PORTS.items()}

        def listening() -> None:
            _log("warning", f"Listening for HTTP on '{self._environment.get('HOST', '0.0.0.0')}:{ports['PORT']}'")
            _log("warning", f"Listening for gRPC on '0.0.0.0:{ports['GRPC_PORT']}'")
            _log("warning", f"Listening for debug on '0.0.0.0:{ports['DEBUG_PORT']}'")

        watching = asyncio.create_task(self._watch())
        try:
            await grpc.start(self._pod, ports["GRPC_PORT"])
            pages = catch_all(self._page)
            listen = [ports["PORT"], ports["DEBUG_PORT"]]
            await HttpServer(pages, listen, headers={"Server": ""}, on_listening=listening).run(self._pod)
        except BindError as error:
            _log("fatal", f"listen tcp :{error.port}: bind: {error.reason}")
            return 1
        finally:
            watching.cancel()
            await grpc.stop()
            self._redis.close()
        return 0

    @property
    def _path(self) -> Path:
        return Path(self._pod.host_path(self._directory))

    def _port(self, name: str, default: int) -> int:
        value = self._environment.get(name) or ""
        return int(value) if value.isdecimal() else default

    async def _watch(self) -> None:
        seen = _stamp(self._path)
        while True:
            await asyncio.sleep(WATCH_S)
            stamp = _stamp(self._path)
            if stamp == seen:
                continue
            seen = stamp
            try:
                self._config = load(self._path)
                _log("info", "Successfully loaded new configuration")
            except ConfigError as error:
                _log("error", f"error loading new configuration from runtime: {error}")

    async def _add(self, counters: Sequence[tuple[str, int, int]]) -> list[int]:
        commands: list[list[str]] = []
        for key, amount, window_s in counters:
            commands += [["INCRBY", key, str(amount)], ["EXPIRE", key, str(window_s)]]
        replies = await self._redis.run(commands)
        return [int(str(reply)) for reply in replies[::2]]

    async def _answer(self, request: Any) -> Message:
        descriptors = [[(entry.key, entry.value) for entry in d.entries] for d in request.descriptors]
        statuses = await self._limiter.judge(self._config, request.domain, descriptors, request.hits_addend)
        if self._environment.get("LOG_LEVEL", "").lower() == "debug":
            _log("debug", f"got descriptors {descriptors} in domain {request.domain}: {statuses}")
        over = any(status.over for status in statuses)
        return proto.to_message(
            RESPONSE,
            {"overall_code": "OVER_LIMIT" if over else "OK", "statuses": [_shown(status) for status in statuses]},
        )

    async def _page(self, request: web.Request) -> web.Response:
        if request.path == "/healthcheck":
            return web.Response(text="OK")
        if request.path == "/rlconfig":
            return web.Response(text=self._config.dump())
        if request.path == "/json" and request.method == "POST":
            try:
                asked = proto.to_message(REQUEST, json.loads(await request.text()))
            except (ValueError, proto.InvalidResource) as error:
                return web.Response(status=400, text=f"{error}\n")
            answer = proto.to_dict(await self._answer(asked))
            return web.json_response(answer, status=429 if answer["overall_code"] == "OVER_LIMIT" else 200)
        return web.Response(status=404, text="404 page not found\n")


_PORTS = {"PORT": 8080, "GRPC_PORT": 8081, "DEBUG_PORT": 6070}


def _shown(status: Status) -> dict[str, Any]:
    found: dict[str, Any] = {"code": "OVER_LIMIT" if status.over else "OK"}
    limit = status.limit
    if limit is not None and not limit.unlimited:
        current: dict[str, Any] = {"requests_per_unit": limit.requests_per_unit, "unit": limit.unit.upper()}
        found["current_limit"] = {**current, "name": limit.name} if limit.name else current
        found["limit_remaining"] = status.remaining
        found["duration_until_reset"] = f"{status.reset_s}s"
    return found


def _stamp(directory: Path) -> list[tuple[str, int, int]]:
    found = []
    for path in sorted(directory.glob("**/*")):
        try:
            state = path.stat()
        except OSError:
            continue
        found.append((str(path), state.st_ino, state.st_mtime_ns))
    return found


def _log(level: str, text: str) -> None:
    print(f'time="{now():%Y-%m-%dT%H:%M:%SZ}" level={level} msg={json.dumps(text)}', file=sys.stderr, flush=True)
