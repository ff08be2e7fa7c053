"""The node of the lab: watches the pods bound to it and runs each with a `PodWorker`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, Protocol

from meshlab.minicluster.images import catalogue as default_catalogue
from meshlab.minicluster.images.catalogue import Image
from meshlab.minicluster.informer import Informer
from meshlab.minicluster.kubeapi import KubeApi, Obj, StatusError
from meshlab.minicluster.network.addresses import Exhausted, LabNetwork, PortMap
from meshlab.minicluster.node import nodeobject, programs
from meshlab.minicluster.node.actions import Actions
from meshlab.minicluster.node.backend import Backend
from meshlab.minicluster.node.environment import Sources
from meshlab.minicluster.node.nodeobject import NodeRegistration
from meshlab.minicluster.node.nodeservices import NodeServices
from meshlab.minicluster.node.podworker import PodWorker
from meshlab.minicluster.node.processes import Processes, SpawnError
from meshlab.minicluster.node.runtime import Runtime
from meshlab.minicluster.node.volumes import IssueToken

logger = logging.getLogger(__name__)

NODE_NAME = "meshlab"
PRELOAD = (
    "asyncio",
    "ssl",
    "aiohttp.web",
    "orjson",
    "meshlab.minicluster.client",
    "meshlab.minicluster.mesh.istio.agent_proxy",
)
"""What most built-in programs import; forked with the supervisor's memory instead of loaded by each."""
PRELOAD_PACKAGE = "meshlab.minicluster.images."
"""Built-in programs below it are preloaded too; others may import grpc, which does not survive a fork."""
STOP_GRACE_S = 2.0
RESTART_DELAY_S = 0.2


class Catalogue(Protocol):
    """The image catalogue, as the node needs it; the module `images.catalogue` is one."""

    def lookup(self, image_ref: str) -> Image | None:
        """The image behind a reference as manifests write it; None if there is none; raises `InvalidReference`."""

    def known_images(self) -> list[str]:
        """One name for each image."""


class Recorder(Protocol):
    """Where events go."""

    def event(self, obj: Obj, type_: str, reason: str, message: str, *, field_path: str = "") -> None:
        """Tell people what happened to an object."""


class Node(Backend):
    """The node; implements `PodBackend` for the API server's streams.

    Args:
        api: the in-process API.
        network: the lab's addresses.
        ports: the lab's port map, of which the daemon is the writer.
        state_dir: for logs, volumes and images; must be on one file system and private to the user.
        runtime_dir: a short, private directory for unix sockets.
        api_server: the URL under which pods reach the API server.
        names_file: the lab's name table. Containers see the folders of this and of the port map: no place for secrets.
        issue_token: makes ServiceAccount tokens.
        recorder: the kubelet's event recorder.
        ca_pem: the certificate of the API server's authority.
        catalogue: the images.
        preload: modules that the supervisor imports before it forks; by default those of the built-in programs.
        on_supervisor_lost: called when the supervisor died and with it every process; by default another one is
            started, and the containers restart as after a crash.
        private_root: False to do without private roots even where the kernel allows them.
    """

    def __init__(
        self,
        api: KubeApi,
        *,
        network: LabNetwork,
        ports: PortMap,
        state_dir: Path,
        runtime_dir: Path,
        api_server: str,
        names_file: Path,
        issue_token: IssueToken,
        recorder: Recorder,
        ca_pem: str = "",
        catalogue: Catalogue = default_catalogue,
        preload: Sequence[str] | None = None,
        on_supervisor_lost: Callable[[], None] | None = None,
        private_root: bool = True,
    ) -> None:
        self._pods: dict[str, PodWorker] = {}
        super().__init__(self._pods, self._find_pod_here, self._folder_of)
        self._api = api
        self._network = network
        self._ports = ports
        self._recorder = recorder
        self._ca_pem = ca_pem
        self._on_supervisor_lost = on_supervisor_lost
        state_dir.mkdir(parents=True, exist_ok=True)
        runtime_dir.mkdir(parents=True, exist_ok=True)
        self.processes = Processes(
            state_dir / "mountpoint",
            state_dir / "supervisor.log",
            modules=_built_in_modules() if preload is None else preload,
            private_root=private_root,
            on_lost=self._supervisor_lost,
        )
        self._runtime = Runtime(self.processes, state_dir, runtime_dir)
        self._actions = Actions(self._runtime)
        self._informers = {name: Informer(api, name) for name in ("services", "configmaps", "secrets", "pods")}
        self._registration = NodeRegistration(
            api, NODE_NAME, network.node_address, f"{network.prefix}.0.0/18", "proc://1.0.0"
        )
        self._services = NodeServices(
            api=api,
            runtime=self._runtime,
            actions=self._actions,
            network=network,
            ports=ports,
            names_file=names_file,
            node_name=NODE_NAME,
            api_server=api_server,
            zone=nodeobject.ZONE,
            issue_token=issue_token,
            lookup=catalogue.lookup,
            image_names=catalogue.known_images,
            event=self._event,
            sources=self._sources_of,
            services_in=self._services_in,
        )
        self._background: set[asyncio.Task[None]] = set()
        self._accepting = False

    @property
    def private_root(self) -> bool:
        """Whether containers have a root of their own here."""
        return self._runtime.private_root

    async def start(self) -> None:
        """Start the supervisor, register the node and begin to run pods.

        Raises:
            SpawnError: the supervisor could not be started.
        """
        await self.processes.start()
        self._runtime.prepare()
        self._accepting = True
        for name, subscriber in (
            ("services", self._service_changed),
            ("configmaps", self._source_changed),
            ("secrets", self._source_changed),
        ):
            self._informers[name].subscribe(subscriber)
            self._informers[name].start()
        for name in ("services", "configmaps", "secrets"):
            await self._informers[name].synced.wait()
        await self._registration.start()
        pods = await self._api.list("pods")
        self._runtime.remove_other_pods({pod["metadata"]["uid"] for pod in pods.items})
        self._informers["pods"].subscribe(self._pod_changed)
        self._informers["pods"].start()
        await self._informers["pods"].synced.wait()

    async def stop(self) -> None:
        """End all pods' processes; their objects stay as they are, to be started anew by the next node."""
        self._accepting = False
        await self._registration.stop()
        for informer in self._informers.values():
            await informer.stop()
        workers = list(self._pods.values())
        await asyncio.gather(*(worker.abandon(STOP_GRACE_S) for worker in workers))
        for task in list(self._background):
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        await self._actions.close()
        await self.processes.stop()

    # --- what the informers tell

    def _pod_changed(self, old: Obj | None, new: Obj | None) -> None:
        if not self._accepting:
            return
        if new is None:
            worker = self._pods.get(old["metadata"]["uid"]) if old else None
            if worker is not None:
                worker.stop(0, delete=False)  # removed by force
            return
        if new["spec"].get("nodeName") != NODE_NAME:
            return
        if old is not None and old["metadata"]["uid"] != new["metadata"]["uid"]:
            self._pod_changed(old, None)
        worker = self._pods.get(new["metadata"]["uid"])
        if worker is not None:
            worker.update(new)
            return
        terminal = (new.get("status") or {}).get("phase") in ("Succeeded", "Failed")
        if new["metadata"].get("deletionTimestamp"):
            self._in_background(self._delete(new))  # nothing of it runs here
        elif not terminal:
            self._pods[new["metadata"]["uid"]] = PodWorker(self._services, new, self._pod_ended)

    def _pod_ended(self, worker: PodWorker) -> None:
        self._pods.pop(worker.uid, None)

    def _source_changed(self, old: Obj | None, new: Obj | None) -> None:
        namespace = (new or old or {"metadata": {}})["metadata"].get("namespace")
        for worker in self._pods.values():
            if worker.namespace == namespace:
                worker.notice_sources()

    def _service_changed(self, _: Obj | None, new: Obj | None) -> None:
        """Settle the real ports behind a Service's ports before anybody binds or dials them."""
        for port in ((new or {}).get("spec") or {}).get("ports") or []:
            for number in (port.get("port"), port.get("targetPort")):
                if isinstance(number, int):
                    try:
                        self._ports.settle(number)
                    except Exhausted as error:
                        logger.warning("%s", error)

    # --- helpers of the pods

    def _find_pod_here(self, namespace: str, name: str) -> Obj | None:
        pod = self._informers["pods"].get(name, namespace)
        return pod if pod is not None and pod["spec"].get("nodeName") == NODE_NAME and pod.get("status") else None

    def _folder_of(self, pod: Obj) -> Path:
        return self._runtime.pod_dir(pod["metadata"]["uid"])

    def _event(self, pod: Obj, type_: str, reason: str, message: str, field_path: str) -> None:
        self._recorder.event({**pod, "apiVersion": "v1", "kind": "Pod"}, type_, reason, message, field_path=field_path)

    def _sources_of(self, namespace: str) -> Sources:
        config_maps, secrets = self._informers["configmaps"], self._informers["secrets"]
        return Sources(
            config_map=lambda name: config_maps.get(name, namespace),
            secret=lambda name: secrets.get(name, namespace),
            allocatable=nodeobject.capacity(),
        )

    def _services_in(self, namespace: str) -> list[Obj]:
        return self._informers["services"].in_namespace(namespace)

    async def _delete(self, pod: Obj) -> None:
        metadata = pod["metadata"]
        try:
            await self._api.delete(
                "pods", metadata["name"], metadata["namespace"], grace_period_s=0, uid=metadata["uid"]
            )
        except StatusError as error:
            logger.debug("deleting pod %s: %s", metadata["name"], error)
        self._runtime.remove_pod(metadata["uid"])

    def _supervisor_lost(self) -> None:
        """All processes are gone: start another supervisor; the containers then restart as after a crash."""
        if not self._accepting:
            return
        if self._on_supervisor_lost is not None:
            self._on_supervisor_lost()
        else:
            self._in_background(self._restart_supervisor())

    async def _restart_supervisor(self) -> None:
        while self._accepting:
            try:
                await self.processes.start()
                return
            except (SpawnError, OSError, TimeoutError) as error:
                logger.error("the supervisor cannot be started: %s", error)
            await asyncio.sleep(RESTART_DELAY_S)

    def _in_background(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)


def _built_in_modules() -> list[str]:
    from meshlab.minicluster.images.rows import IMAGES

    built_in = programs.builtin_modules(IMAGES)
    return [*PRELOAD, *(module for module in built_in if module.startswith(PRELOAD_PACKAGE))]
