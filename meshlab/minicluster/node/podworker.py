"""One pod from its arrival to its end: address, volumes, init containers, sidecars, containers, status, termination."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from meshlab.minicluster.images.catalogue import Image
from meshlab.minicluster.kubeapi import Obj, StatusError
from meshlab.minicluster.network.addresses import Exhausted
from meshlab.minicluster.node import ending, environment, podfiles, status
from meshlab.minicluster.node.actions import Target
from meshlab.minicluster.node.container import Container
from meshlab.minicluster.node.nodeservices import NodeServices
from meshlab.minicluster.node.podnetwork import PodNetwork
from meshlab.minicluster.node.podrecord import containers_of, restored
from meshlab.minicluster.node.runtime import ContainerConfig, Instance
from meshlab.minicluster.node.status import ContainerRecord, PodRecord, rfc3339
from meshlab.minicluster.node.volumes import Mount, VolumeError, Volumes
from meshlab.minicluster.pod import PodContext

logger = logging.getLogger(__name__)

ENDPOINT_REMOVAL_S = 0.15
"""How long after a pod was marked for deletion its programs go on serving: time for the proxies to hear of it. Measured
with real Envoys, a rolling update without this pause loses one request in ten."""
STATUS_RETRY_S = 0.3
MOUNT_RETRY_S = 2.0
DEFAULT_GRACE_S = 30


@dataclass(slots=True)
class _Change:
    """Wakes whoever waits for the next change."""

    _event: asyncio.Event = field(default_factory=asyncio.Event)

    def announce(self) -> None:
        event, self._event = self._event, asyncio.Event()
        event.set()

    async def wait(self, timeout_s: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._event.wait(), timeout_s)


class PodWorker:
    """Runs one pod.

    Args:
        services: what it shares with the other pods of the node.
        pod: the pod as it arrived.
        on_end: called once everything of it is gone.
    """

    def __init__(self, services: NodeServices, pod: Obj, on_end: Callable[[PodWorker], None]) -> None:
        metadata = pod["metadata"]
        self.pod = pod
        self.uid: str = metadata["uid"]
        self.namespace: str = metadata["namespace"]
        self.name: str = metadata["name"]
        self.runtime = services.runtime
        self.actions = services.actions
        self.containers: dict[str, Container] = {}
        self.network: PodNetwork | None = None
        self.record = PodRecord(
            host_ip=services.network.node_address, start_time=(pod.get("status") or {}).get("startTime") or rfc3339()
        )
        self._services = services
        self._on_end = on_end
        self._sources = services.sources(self.namespace)
        self._volumes = Volumes(self.runtime.pod_dir(self.uid) / "volumes", self._sources, services.issue_token)
        self._sources_change = _Change()
        self._status_change = asyncio.Event()
        self._stopping: asyncio.Task[None] | None = None
        self._released = False
        for kind, spec in containers_of(pod):
            record = restored(pod, spec, kind)
            self.record.containers.append(record)
            self.containers[record.name] = Container(self, record)
        self._status_task = asyncio.create_task(self._keep_status(), name=f"status of {self.name}")
        self._volume_task: asyncio.Task[None] | None = None
        self._deadline_task: asyncio.Task[None] | None = None
        self._main_task = asyncio.create_task(self._run(), name=f"pod {self.namespace}/{self.name}")

    # --- what the node tells it

    def update(self, pod: Obj) -> None:
        """The API has a newer version of the pod."""
        old, self.pod = self.pod, pod
        if old["metadata"].get("labels") != pod["metadata"].get("labels") or old["metadata"].get("annotations") != pod[
            "metadata"
        ].get("annotations"):
            self.notice_sources()
        for kind, spec in containers_of(pod):
            container = self.containers.get(spec["name"])
            if container is None and kind == "ephemeral":
                record = ContainerRecord(spec, kind, status.waiting("ContainerCreating"))
                self.record.containers.append(record)
                self.containers[record.name] = Container(self, record)
                self.containers[record.name].start()
            elif container is not None and container.record.spec != spec:
                container.respecify(spec)
        if pod["spec"].get("readinessGates"):
            self.changed()
        if pod["metadata"].get("deletionTimestamp"):
            grace = pod["metadata"].get("deletionGracePeriodSeconds")
            self.stop(float(DEFAULT_GRACE_S if grace is None else grace))

    def notice_sources(self) -> None:
        """A ConfigMap, a Secret or the pod's own metadata changed."""
        self._sources_change.announce()

    def stop(self, grace_s: float, *, delete: bool = True) -> None:
        """End the pod, in the background.

        Args:
            grace_s: between SIGTERM and SIGKILL; a later call may only shorten it (to 0).
            delete: whether the object is to be removed from the API afterwards.
        """
        if self._stopping is None:
            self._stopping = asyncio.create_task(self._stop(grace_s, delete), name=f"stop {self.name}")
        elif grace_s <= 0:
            for container in self.containers.values():
                if container.running and container.instance is not None:
                    container.instance.process.signal(9, group=True)

    async def abandon(self, grace_s: float) -> None:
        """The node stops: end the processes, and leave object, status and files as they are."""
        if self._stopping is not None:
            self._stopping.cancel()
        for task in (self._status_task, self._main_task, self._stopping):
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        self._release()
        await self._stop_containers(grace_s)

    # --- what its containers need (ContainerHost)

    def changed(self) -> None:
        self._status_change.set()

    def event(self, type_: str, reason: str, message: str, record: ContainerRecord | None = None) -> None:
        path = ""
        if record is not None:
            where = {"app": "containers", "ephemeral": "ephemeralContainers"}.get(record.kind, "initContainers")
            path = f"spec.{where}{{{record.name}}}"
        self._services.event(self.pod, type_, reason, message, path)

    def image(self, reference: str) -> Image | None:
        return self._services.lookup(reference)

    def unknown_image(self, reference: str) -> str:
        names = ", ".join(self._services.image_names())
        return f"{reference}: not found: this lab has no such image. It has: {names}"

    async def sources_changed(self, timeout_s: float) -> None:
        await self._sources_change.wait(timeout_s)

    def target(self, record: ContainerRecord, instance: Instance) -> Target:
        assert self.network is not None
        network = self.network
        ports = {
            port["name"]: int(port["containerPort"]) for port in record.spec.get("ports") or [] if port.get("name")
        }
        name = record.name
        return Target(
            instance,
            ports,
            lambda port: network.address(name, port),
            network.pod_ip,
            lambda port: network.front(name, port),
        )

    def configure(self, record: ContainerRecord, image: Image) -> ContainerConfig:
        assert self.network is not None
        network, services, spec = self.network, self._services, record.spec
        pod = {**self.pod, "status": status.compute(self.pod, self.record, rfc3339())}
        base = {
            **image.environment,
            "HOSTNAME": pod["spec"].get("hostname") or self.name,
            "HOME": image.environment.get("HOME", "/root"),
            **podfiles.api_variables(services.api_server),
        }
        if pod["spec"].get("enableServiceLinks") is not False:
            base = {**environment.service_variables(services.services_in(self.namespace)), **base}
        base |= network.proxy_variables(record.name)
        env = environment.container_environment(pod, spec, base, self._sources)
        mounts = self._volumes.mounts(pod, spec, env)
        directory = self.runtime.pod_dir(self.uid) / record.name
        directory.mkdir(parents=True, exist_ok=True)
        message_file = directory / ending.TERMINATION_LOG
        message_file.unlink(missing_ok=True)
        message_file.touch()
        mounts.append(
            Mount(spec.get("terminationMessagePath") or "/dev/termination-log", message_file.resolve(), False)
        )
        mounted = {} if self.runtime.private_root else {mount.target: str(mount.lasting) for mount in mounts}
        context = PodContext(
            namespace=self.namespace,
            name=self.name,
            container=record.name,
            uid=self.uid,
            service_account=pod["spec"].get("serviceAccountName") or "default",
            node_name=services.node_name,
            pod_ip=network.pod_ip,
            bind_ip=network.bind_ip(record.name),
            app_ip=network.app_ip,
            proxy_url=network.proxy_url(record.name),
            api_server=services.api_server,
            names_file=str(services.names_file),
            ports_file=str(services.ports.path),
            runtime_dir=str(self.runtime.pod_runtime_dir(self.uid)),
            container_dir=str(directory),
            zone=services.zone,
            capture=dict(network.capture) if record.name in network.proxied else {},
            captures_dns=network.captures_dns and record.name in network.proxied,
            mounts=mounted,
        )
        return ContainerConfig(
            image=image,
            command=environment.command_line(spec, image.entrypoint, image.command, env),
            env={**env, "TERM": "xterm"} if spec.get("tty") else env,
            working_dir=environment.expand(spec.get("workingDir") or "", env) or image.working_dir,
            mounts=mounts,
            context=context,
            etc=podfiles.etc_files(pod, network, services.network.node_address),
            log=directory / f"{record.restart_count}.log",
            shared=sorted({services.names_file.parent, services.ports.path.parent}),
            tty=bool(spec.get("tty")),
            stdin=bool(spec.get("stdin")),
        )

    # --- its life

    async def _run(self) -> None:
        try:
            if await self._prepare() and await self._initialize():
                await self._run_apps()
            await self._finish()
        except asyncio.CancelledError:
            raise
        except Exception:
            logger.exception("pod %s/%s", self.namespace, self.name)

    async def _prepare(self) -> bool:
        """Address, directories, volumes; returns whether the pod can run."""
        self.changed()
        services = self._services
        while True:
            try:
                self.network = PodNetwork.allocate(self.pod, services.network, services.ports, services.lookup)
                break
            except Exhausted as error:
                message = f"Failed to create pod sandbox: {error}"
                self.event("Warning", "FailedCreatePodSandBox", message)
                await asyncio.sleep(STATUS_RETRY_S * 10)
        self.record.pod_ip = self.network.pod_ip
        self.runtime.make_pod(self.uid)
        self._begin_deadline()
        await self._mount()
        self.record.sandbox_ready = True
        self.changed()
        self._volume_task = asyncio.create_task(self._keep_volumes(), name=f"volumes of {self.name}")
        return True

    async def _mount(self) -> None:
        reported, first = "", True
        while True:
            try:
                await self._volumes.set_up(self._with_status())
                return
            except VolumeError as error:
                if not first and str(error) != reported:
                    reported = str(error)
                    self.event("Warning", "FailedMount", reported)
            # What is missing may just be on its way: look again before complaining.
            await self._sources_change.wait(STATUS_RETRY_S if first else MOUNT_RETRY_S)
            first = False

    async def _initialize(self) -> bool:
        """Init containers and sidecars in order; returns whether all init containers succeeded."""
        for record in self.record.of_kind("init", "sidecar"):
            container = self.containers[record.name]
            container.start()
            if record.kind == "sidecar":
                await container.until(lambda record=record: record.started)  # type: ignore[misc]
            else:
                await container.finished()
                if record.exit_code != 0:
                    return False
        return True

    async def _run_apps(self) -> None:
        apps = [self.containers[record.name] for record in self.record.of_kind("app")]
        for container in apps:
            if container.record.exit_code is not None:
                continue  # it ended before the node was restarted, and stays as it is
            container.start()
            # A postStart hook holds back the containers behind it: proxies use that to be ready first.
            await container.launched.wait()
        for record in self.record.of_kind("ephemeral"):
            self.containers[record.name].start()
        await asyncio.gather(*(container.finished() for container in apps))

    async def _finish(self) -> None:
        """No app container will run again: end the sidecars, and the pod is Succeeded or Failed."""
        await self._stop_containers(self._grace_s())
        self.record.finished = True
        await self._flush()
        self._release()

    async def _stop(self, grace_s: float, delete: bool) -> None:
        self._main_task.cancel()
        await asyncio.gather(self._main_task, return_exceptions=True)
        await self._stop_containers(grace_s)
        self.record.finished = True
        await self._flush()
        self._release()
        self._status_task.cancel()
        await asyncio.gather(self._status_task, return_exceptions=True)
        self.runtime.remove_pod(self.uid)
        if delete:
            await self._delete()
        self._on_end(self)

    async def _stop_containers(self, grace_s: float) -> None:
        """App containers together, then the sidecars one after the other, the last one first."""
        deadline = time.monotonic() + grace_s
        serving_until = time.monotonic() + (ENDPOINT_REMOVAL_S if grace_s > 0 else 0.0)
        apps = [self.containers[record.name] for record in self.record.of_kind("init", "app", "ephemeral")]
        await asyncio.gather(*(container.terminate(grace_s, not_before=serving_until) for container in apps))
        for record in reversed(self.record.of_kind("sidecar")):
            left = max(0.0, deadline - time.monotonic())
            await self.containers[record.name].terminate(left if grace_s > 0 else 0.0, not_before=serving_until)

    def _release(self) -> None:
        for task in (self._volume_task, self._deadline_task):
            if task is not None and task is not asyncio.current_task():
                task.cancel()
        if self.network is not None and not self._released:
            self._released = True  # once: by the second time it may be another pod's
            self._services.network.pods.release(self.network.pod_ip)

    async def _delete(self) -> None:
        while True:
            try:
                await self._services.api.delete("pods", self.name, self.namespace, grace_period_s=0, uid=self.uid)
                return
            except StatusError as error:
                if error.code in (404, 409):  # gone already, or another pod has the name by now
                    return
                logger.warning("deleting pod %s/%s: %s", self.namespace, self.name, error)
            await asyncio.sleep(STATUS_RETRY_S)

    def _begin_deadline(self) -> None:
        seconds = self.pod["spec"].get("activeDeadlineSeconds")
        if seconds is not None:
            self._deadline_task = asyncio.create_task(self._watch_deadline(float(seconds)))

    async def _watch_deadline(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        self.record.reason = "DeadlineExceeded"
        self.record.message = "Pod was active on the node longer than the specified deadline"
        self.event("Normal", "DeadlineExceeded", self.record.message)
        self._main_task.cancel()
        await asyncio.gather(self._main_task, return_exceptions=True)
        await self._finish()

    async def _keep_volumes(self) -> None:
        while True:
            due = self._volumes.next_refresh_s()
            await self._sources_change.wait(3600.0 if due is None else max(due, 1.0))
            try:
                await self._volumes.set_up(self._with_status())
            except VolumeError as error:
                # What is mounted stays as it was, as upstream.
                logger.debug("volumes of %s/%s: %s", self.namespace, self.name, error)
                await asyncio.sleep(1.0)

    # --- its status

    async def _keep_status(self) -> None:
        while True:
            await self._status_change.wait()
            await asyncio.sleep(0)  # what happens in the same step is told at once
            await self._flush()

    async def _flush(self) -> None:
        """Write the status as it is now."""
        while True:
            self._status_change.clear()
            try:
                if await self._write_status():
                    return
            except StatusError as error:
                if error.code == 404:
                    return
                if error.code != 409:
                    logger.warning("status of pod %s/%s: %s", self.namespace, self.name, error)
                    await asyncio.sleep(STATUS_RETRY_S)

    async def _write_status(self) -> bool:
        api = self._services.api
        pod = await api.get("pods", self.name, self.namespace)
        if pod["metadata"]["uid"] != self.uid:
            return True
        new = status.compute(pod, self.record, rfc3339())
        if new != pod.get("status"):
            await api.update("pods", {**pod, "status": new}, subresource="status")
        return True

    def _with_status(self) -> Obj:
        return {**self.pod, "status": status.compute(self.pod, self.record, rfc3339())}

    def _grace_s(self) -> float:
        grace = self.pod["spec"].get("terminationGracePeriodSeconds")
        return float(DEFAULT_GRACE_S if grace is None else grace)
