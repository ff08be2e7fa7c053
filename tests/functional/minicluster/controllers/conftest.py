"""The controllers on the real registry, with a node that runs nothing but says that pods run."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import pytest

from meshlab.minicluster.apiserver.local import LocalApi
from meshlab.minicluster.apiserver.server import ApiServer
from meshlab.minicluster.controllers import ControllerManager
from meshlab.minicluster.controllers.timestamps import format_time
from meshlab.minicluster.events import EventRecorder
from meshlab.minicluster.kubeapi import Obj, StatusError, object_key
from meshlab.minicluster.network.addresses import LabNetwork, PortMap
from tests.support.addresses import random_prefix

T = TypeVar("T")


class PretendNode:
    """Gives bound pods an address and readiness, and lets deleted pods end at once."""

    def __init__(self, api: LocalApi, network: LabNetwork) -> None:
        self._api = api
        self._network = network
        self._addresses: dict[str, str] = {}
        self._task: asyncio.Task[None] | None = None
        self.ready: Callable[[Obj], bool] = lambda pod: True
        self._since = ""

    async def start(self) -> None:
        node = {"metadata": {"name": "meshlab", "labels": {"topology.kubernetes.io/zone": "zone-a"}}}
        await self._api.create("nodes", {"apiVersion": "v1", "kind": "Node", **node})
        self._since = (await self._api.list("pods")).resource_version
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        async for event in self._api.watch("pods", resource_version=self._since):
            pod = event.object
            if event.type == "DELETED" or not pod["spec"].get("nodeName"):
                continue
            with contextlib.suppress(StatusError):
                await self._sync(pod)

    async def _sync(self, pod: Obj) -> None:
        namespace, name = object_key(pod)
        if pod["metadata"].get("deletionTimestamp"):
            await self._api.delete("pods", name, namespace, grace_period_s=0)
            return
        status = pod.get("status") or {}
        if status.get("phase") != "Pending" or not self.ready(pod):
            return
        uid = pod["metadata"]["uid"]
        ip = self._addresses.setdefault(uid, "") or self._network.pods.allocate()
        self._addresses[uid] = ip
        stamp = format_time(time.time())
        conditions = [{"type": "Ready", "status": "True", "lastTransitionTime": stamp}]
        patch = {"status": {"phase": "Running", "podIP": ip, "conditions": conditions}}
        await self._api.patch("pods", name, patch, namespace, patch_type="strategic", subresource="status")


class Lab:
    """API, controllers and a pretended node."""

    def __init__(self, api: LocalApi, network: LabNetwork, node: PretendNode) -> None:
        self.api = api
        self.network = network
        self.node = node

    async def until(self, probe: Callable[[], Awaitable[T]], timeout_s: float = 10.0) -> T:
        """Wait until a probe returns something true; failures to find things count as not yet."""
        async with asyncio.timeout(timeout_s):
            while True:
                with contextlib.suppress(StatusError):
                    found = await probe()
                    if found:
                        return found
                await asyncio.sleep(0.005)

    async def gone(self, resource: str, name: str, namespace: str | None = None) -> None:
        """Wait until an object is gone."""
        async with asyncio.timeout(10.0):
            while True:
                try:
                    await self.api.get(resource, name, namespace)
                except StatusError as error:
                    if error.code == 404:
                        return
                    raise
                await asyncio.sleep(0.005)

    async def reasons(self, name: str) -> list[str]:
        """The reasons of the events about objects of a name."""
        listed = await self.api.list("events", field_selector=f"involvedObject.name={name}")
        return [event["reason"] for event in listed.items]


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    network = LabNetwork(random_prefix())
    server = ApiServer(tmp_path / "state", network, PortMap(tmp_path / "ports.json", network.node_address), port=0)
    await server.start()
    api = server.local("system:kube-controller-manager")
    recorder = EventRecorder(api, "kubelet")
    manager = ControllerManager(
        api, network=network, recorder=recorder, ca_pem=server.ca_pem, served_resources=server.served_resources
    )
    await manager.start()
    node = PretendNode(server.local("system:node:meshlab"), network)
    await node.start()
    lab = Lab(api, network, node)
    await lab.until(lambda: api.get("serviceaccounts", "default", "default"))
    yield lab
    await node.stop()
    await manager.stop()
    await recorder.stop()
    await server.stop()
