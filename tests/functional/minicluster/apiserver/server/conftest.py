"""A whole API server on a loopback address of its own, real kubectl, and a throw-away state directory."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from meshlab.minicluster.apiserver import ApiServer
from meshlab.minicluster.network.addresses import LabNetwork, PortMap

KUBECTL = Path(sys.executable).parent / "kubectl"
# Far from the range from which labs take their addresses; the port is any, so runs side by side never meet.
PREFIX = "127.19"


@dataclass(frozen=True, slots=True)
class Output:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str


Kubectl = Callable[..., Awaitable[Output]]


def make_server(directory: Path, **options: object) -> ApiServer:
    network = LabNetwork(PREFIX)
    ports = PortMap(directory / "ports.json", network.node_address)
    return ApiServer(directory / "state", network, ports, port=0, **options)  # type: ignore[arg-type]


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[ApiServer]:
    running = make_server(tmp_path)
    await running.start()
    running.write_kubeconfig(tmp_path / "kubeconfig")
    api = running.local("system:kube-controller-manager")
    # What a controller would do; without it no pod is admitted.
    await api.create("serviceaccounts", {"metadata": {"name": "default"}}, "default")
    try:
        yield running
    finally:
        await running.stop()


async def run_kubectl(home: Path, *arguments: str, stdin: str = "", env: dict[str, str] | None = None) -> Output:
    environment = {**os.environ, "KUBECONFIG": str(home / "kubeconfig"), "HOME": str(home), **(env or {})}
    process = await asyncio.create_subprocess_exec(
        KUBECTL,
        *arguments,
        env=environment,
        cwd=home,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, err = await asyncio.wait_for(process.communicate(stdin.encode()), 30)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return Output(process.returncode or 0, out.decode(), err.decode())


@pytest.fixture
def kubectl(server: ApiServer, tmp_path: Path) -> Kubectl:
    async def run(*arguments: str, stdin: str = "", env: dict[str, str] | None = None) -> Output:
        return await run_kubectl(tmp_path, *arguments, stdin=stdin, env=env)

    return run
