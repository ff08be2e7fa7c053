"""Programs of images in processes of their own, in a pod of a small lab, as the node would start them."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from meshlab.minicluster.images.catalogue import lookup
from meshlab.minicluster.images.launch import resolve_entrypoint, write_programs
from meshlab.minicluster.pod import PodContext

PREFIX = "127.203"


@dataclass
class Lab:
    """A directory with a name table and a port map, and the processes started in it."""

    directory: Path
    processes: list[asyncio.subprocess.Process] = field(default_factory=list)
    pods: int = 0

    def pod(self, name: str = "", ip: str = "", **changes: Any) -> PodContext:
        """Another pod, with an address and a directory of its own."""
        self.pods += 1
        address = ip or f"{PREFIX}.{os.getpid() % 60 + 1}.{self.pods}"
        directory = self.directory / f"pod{self.pods}"
        directory.mkdir()
        pod = PodContext(
            namespace="default",
            name=name or f"pod-{self.pods}",
            container="app",
            uid=f"uid-{self.pods}",
            service_account="default",
            node_name="meshlab",
            pod_ip=address,
            bind_ip=address,
            app_ip=address,
            proxy_url="",
            api_server=f"https://{PREFIX}.0.1:6443",
            names_file=str(self.directory / "names.json"),
            ports_file=str(self.directory / "ports.json"),
            runtime_dir=str(directory),
            container_dir=str(directory),
        )
        return replace(pod, **changes)

    def services(self, **addresses: str) -> None:
        """Make Services of the default namespace known; ``name="10.0.0.1:80"``."""
        table = {}
        for name, endpoint in addresses.items():
            ip, _, port = endpoint.partition(":")
            table[f"default/{name}"] = {
                "ip": ip,
                "headless": False,
                "ports": [{"name": "http", "port": int(port)}],
                "endpoints": [ip],
                "hosts": {},
                "externalName": "",
            }
        temporary = self.directory / "names.json.tmp"
        temporary.write_text(json.dumps({"services": table, "pods": {}}))
        temporary.replace(self.directory / "names.json")

    def remap(self, **ports: int) -> None:
        """Put real ports behind nominal ones; ``p80=20080``."""
        (self.directory / "ports.json").write_text(json.dumps({name[1:]: real for name, real in ports.items()}))

    async def start(
        self,
        image_ref: str,
        *args: str,
        pod: PodContext,
        command: list[str] | None = None,
        env: dict[str, str] | None = None,
        **pipes: Any,
    ) -> asyncio.subprocess.Process:
        """Start a container's first process by the script on its PATH."""
        image = lookup(image_ref)
        assert image is not None
        context = Path(pod.container_dir) / "context.json"
        pod.save(context)
        bin_dir = Path(pod.container_dir) / "bin"
        write_programs(image, bin_dir, context)
        argv = resolve_entrypoint(image, command, args)
        process = await asyncio.create_subprocess_exec(
            bin_dir / Path(argv[0]).name,
            *argv[1:],
            cwd=pod.container_dir,
            env={**image.environment, **(env or {}), "PATH": str(bin_dir), "HOSTNAME": pod.name},
            stdin=pipes.get("stdin", asyncio.subprocess.DEVNULL),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        self.processes.append(process)
        return process

    async def run(
        self, image_ref: str, *command: str, pod: PodContext, env: dict[str, str] | None = None, stdin: bytes = b""
    ) -> tuple[int, str, str]:
        """Run a program of an image to its end: exit code, stdout, stderr."""
        process = await self.start(image_ref, pod=pod, command=list(command), env=env, stdin=asyncio.subprocess.PIPE)
        async with asyncio.timeout(30):
            out, err = await process.communicate(stdin)
        assert process.returncode is not None
        return process.returncode, out.decode(errors="replace"), err.decode(errors="replace")


async def listening(pod: PodContext, port: int, process: asyncio.subprocess.Process | None = None) -> None:
    """Wait until a pod's program accepts connections."""
    async with asyncio.timeout(20):
        while True:
            if process is not None and process.returncode is not None:
                assert process.stderr is not None
                raise AssertionError((await process.stderr.read()).decode())
            try:
                _, writer = await asyncio.open_connection(pod.bind_ip, pod.ports.real(port))
            except OSError:
                await asyncio.sleep(0.02)
            else:
                writer.close()
                return


async def stop(process: asyncio.subprocess.Process, number: int = signal.SIGTERM) -> tuple[int, str, str]:
    """Signal a program; its exit code and all it wrote."""
    process.send_signal(number)
    async with asyncio.timeout(20):
        out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    lab = Lab(tmp_path)
    lab.services()
    lab.remap()
    yield lab
    for process in lab.processes:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
            await process.communicate()


@pytest.fixture
def free_port() -> Callable[[], int]:
    """A port that is free on loopback now."""

    def pick() -> int:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return int(probe.getsockname()[1])

    return pick
