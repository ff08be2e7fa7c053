"""A real API server, a stand-in for controllers and istiod, and istioctl as a process would run it."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from meshlab.minicluster.apiserver import ApiServer
from meshlab.minicluster.kubeapi import KubeApi, Obj, StatusError
from meshlab.minicluster.mesh.istio.istioctl import main
from meshlab.minicluster.network.addresses import LabNetwork, PortMap

MODULE = "meshlab.minicluster.mesh.istio.istioctl"
EXECUTING = ("version", "proxy-status", "ps", "proxy-config", "pc")
"""Commands that exec: their WebSocket's TLS farewell may outlive the loop, which a process ends without a word."""
HOOKS = "mutatingwebhookconfigurations.admissionregistration.k8s.io"


@dataclass
class Lab:
    """What a test holds: the server, an administrator's API, and the command line."""

    server: ApiServer
    api: KubeApi
    kubeconfig: Path
    capsys: pytest.CaptureFixture[str]
    answers: dict[str, bytes] = field(default_factory=dict)
    """What ``pilot-discovery request`` and ``pilot-agent request`` print, by path."""
    broken: set[str] = field(default_factory=set)
    """Deployments that never become ready."""

    async def istioctl(self, *arguments: str) -> tuple[int, str, str]:
        """Run istioctl in a thread, or as a process if it execs; exit code, stdout, stderr."""
        if arguments[0] in EXECUTING:
            return await self._process(*arguments)
        self.capsys.readouterr()
        code = await asyncio.to_thread(main, list(arguments))
        captured = self.capsys.readouterr()
        return code, captured.out, captured.err

    async def _process(self, *arguments: str) -> tuple[int, str, str]:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", MODULE, *arguments,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, err = await process.communicate()
        return process.returncode or 0, out.decode(), err.decode()


class ControlPlane:
    """Plays the Deployment and EndpointSlice controllers, and the CA of istiod."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._api = lab.api

    async def run(self) -> None:
        await asyncio.gather(self._follow("deployments.apps", self._deployment), self._follow(HOOKS, self._webhook))

    async def _follow(self, resource: str, handle: Callable[[Obj], Awaitable[None]]) -> None:
        listing = await self._api.list(resource)
        for obj in listing.items:
            await handle(obj)
        async for event in self._api.watch(resource, resource_version=listing.resource_version):
            if event.type in ("ADDED", "MODIFIED"):
                with contextlib.suppress(StatusError):
                    await handle(event.object)

    async def _deployment(self, obj: Obj) -> None:
        metadata, replicas = obj["metadata"], obj["spec"]["replicas"]
        available = 0 if metadata["name"] in self._lab.broken else replicas
        status = {
            "observedGeneration": metadata["generation"],
            "replicas": replicas,
            "updatedReplicas": replicas,
            "availableReplicas": available,
            "readyReplicas": available,
        }
        status = {key: value for key, value in status.items() if value}
        if all((obj.get("status") or {}).get(key) == value for key, value in status.items()):
            return
        if metadata["name"].startswith("istiod"):
            await self._istiod(metadata["namespace"], metadata["name"])
        await self._api.update("deployments.apps", {**obj, "status": status}, subresource="status")

    async def _istiod(self, namespace: str, service: str) -> None:
        with contextlib.suppress(StatusError):
            await self._api.create(
                "endpointslices.discovery.k8s.io",
                {
                    "metadata": {"name": f"{service}-1", "labels": {"kubernetes.io/service-name": service}},
                    "addressType": "IPv4",
                    "endpoints": [{"addresses": ["127.1.1.1"], "conditions": {"ready": True}}],
                    "ports": [],
                },
                namespace,
            )
        if service != "istiod":
            return
        with contextlib.suppress(StatusError):
            labels = {"app": "istiod", "istio.io/rev": "default", "sidecar.istio.io/inject": "false"}
            pod = {
                "metadata": {"name": "istiod-1", "labels": labels},
                "spec": {
                    "nodeName": "meshlab",
                    "serviceAccountName": "istiod",
                    "containers": [{"name": "discovery", "image": "registry.istio.io/release/pilot:1.31.0"}],
                },
            }
            created = await self._api.create("pods", pod, namespace)
            await self._api.update("pods", {**created, "status": {"phase": "Running"}}, subresource="status")

    async def _webhook(self, obj: Obj) -> None:
        if all(hook["clientConfig"].get("caBundle") for hook in obj["webhooks"]):
            return
        hooks = [{**hook, "clientConfig": {**hook["clientConfig"], "caBundle": "Y2E="}} for hook in obj["webhooks"]]
        await self._api.update(HOOKS, {**obj, "webhooks": hooks})


class Session:
    """One exec that has printed its answer already."""

    def __init__(self, output: list[tuple[int, bytes]], code: int) -> None:
        self._output, self._code = output, code

    async def read(self) -> tuple[int, bytes] | None:
        return self._output.pop(0) if self._output else None

    async def write(self, data: bytes) -> None: ...

    async def close_stdin(self) -> None: ...

    def resize(self, columns: int, rows: int) -> None: ...

    async def wait(self) -> int:
        return self._code

    async def close(self) -> None: ...


class Backend:
    """Answers the two ``request`` programs from the lab's table."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab

    async def exec(
        self, namespace: str, pod: str, container: str, command: list[str], *, tty: bool, stdin: bool
    ) -> Session:
        answer = self._lab.answers.get(command[-1])
        if answer is None:
            return Session([(2, f"no answer for {command}".encode())], 1)
        return Session([(1, answer)], 0)


@pytest.fixture
async def lab(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> AsyncIterator[Lab]:
    network = LabNetwork("127.231")
    server = ApiServer(tmp_path / "state", network, PortMap(tmp_path / "ports.json", "127.0.0.1"), "127.0.0.1", 0)
    await server.start()
    kubeconfig = tmp_path / "kubeconfig"
    server.write_kubeconfig(kubeconfig)
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
    lab = Lab(server, server.local("system:kube-controller-manager"), kubeconfig, capsys)
    backend: Any = Backend(lab)
    server.set_pod_backend(backend)
    await lab.api.patch("namespaces", "kube-system", {"metadata": {"labels": {"meshlab.dev/lab": "test"}}})
    await lab.api.create("serviceaccounts", {"metadata": {"name": "default"}}, "default")
    control_plane = asyncio.create_task(ControlPlane(lab).run())
    yield lab
    control_plane.cancel()
    await asyncio.gather(control_plane, return_exceptions=True)
    await server.stop()
