"""One container of a pod through all its instances: start, hooks, probes, end, back-off, start again."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from meshlab.minicluster.images.catalogue import Image
from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.node import backoff, ending, listening
from meshlab.minicluster.node.actions import Actions, Target
from meshlab.minicluster.node.backoff import BackOff
from meshlab.minicluster.node.environment import ConfigError
from meshlab.minicluster.node.probes import ProbeSpec, ProbeState, Result
from meshlab.minicluster.node.probes import run as run_probe
from meshlab.minicluster.node.runtime import ContainerConfig, Instance, RunError, Runtime
from meshlab.minicluster.node.status import EPOCH, ContainerRecord, rfc3339, should_restart, terminated, waiting
from meshlab.minicluster.node.volumes import VolumeError

LISTEN_PATIENCE_S = 1.0
"""How long a container without readiness probe may take to open the ports it declares; then it is ready anyway."""
LISTEN_POLL_S = 0.02
CONFIG_RETRY_S = 10.0
SETTLE_S = 0.3
"""A missing reference is looked for again after this time before it is reported: its object may just be on its way."""
MIN_GRACE_S = 2.0
"""What is left for SIGTERM at least, however long the preStop hook took."""


class ContainerHost(Protocol):
    """What a container needs of its pod."""

    runtime: Runtime
    actions: Actions
    pod: Obj

    def changed(self) -> None:
        """Something the status shows is different now."""

    def event(self, type_: str, reason: str, message: str, record: ContainerRecord | None = None) -> None:
        """Tell people."""

    def image(self, reference: str) -> Image | None:
        """The image of that name, if the catalogue has it; `ValueError` for what is no image name."""

    def unknown_image(self, reference: str) -> str:
        """Why an image cannot be pulled."""

    def configure(self, record: ContainerRecord, image: Image) -> ContainerConfig:
        """Decide about the next instance; raises `ConfigError` or `VolumeError`."""

    def target(self, record: ContainerRecord, instance: Instance) -> Target:
        """How its probes and hooks reach it."""

    async def sources_changed(self, timeout_s: float) -> None:
        """Wait until something that the pod refers to may have changed."""


class Container:
    """Keeps one container as its pod's restart policy says.

    Args:
        host: the pod.
        record: what the status shows of it; updated here.
    """

    def __init__(self, host: ContainerHost, record: ContainerRecord) -> None:
        self.host = host
        self.record = record
        self.instance: Instance | None = None
        """The instance that runs, or the last one that did."""
        self.launched = asyncio.Event()
        """Set when the first attempt to start it is over, including its postStart hook."""
        self.first_output = asyncio.Event()
        self._stopping = asyncio.Event()
        self._respecified = asyncio.Event()
        self._restart_anyway = False
        self._killing: asyncio.Task[None] | None = None
        self._back_off = BackOff()
        self._task: asyncio.Task[None] | None = None
        self._progress = asyncio.Event()

    @property
    def running(self) -> bool:
        """Whether its process runs."""
        return self.record.running and self.instance is not None

    def start(self) -> None:
        """Begin to keep it, in a task of its own."""
        self._task = asyncio.create_task(self._keep(), name=f"container {self.record.name}")

    async def finished(self) -> None:
        """Wait until it will not run again."""
        if self._task is not None:
            await asyncio.shield(self._task)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until the condition holds, looking again whenever the container changes, or until it is finished."""
        while not condition() and self._task is not None and not self._task.done():
            self._progress.clear()
            await _first(self._progress.wait(), asyncio.shield(self._task))

    def respecify(self, spec: Obj) -> None:
        """The manifest changed; with another image, the container is restarted."""
        before, self.record.spec = self.record.spec, spec
        if before.get("image") != spec.get("image"):
            self._respecified.set()
            if self.running and self.instance is not None:
                self._restart_anyway = True
                message = f"Container {self.record.name} definition changed, will be restarted"
                self._kill_soon(self.instance, self._pod_grace_s(), message)

    async def terminate(self, grace_s: float, *, not_before: float = 0.0) -> None:
        """Stop it for good.

        Args:
            grace_s: time between SIGTERM and SIGKILL, including the preStop hook; 0 kills at once.
            not_before: the (monotonic) time before which SIGTERM is not sent.
        """
        self._stopping.set()
        if self.running and self.instance is not None:
            message = f"Stopping container {self.record.name}"
            if self._killing is None or self._killing.done():
                self._kill_soon(self.instance, grace_s, message, not_before)
            if grace_s <= 0:
                self.instance.process.signal(signal.SIGKILL, group=True)
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)
        if self._killing is not None:
            await asyncio.gather(self._killing, return_exceptions=True)

    async def _keep(self) -> None:
        record = self.record
        try:
            while not self._stopping.is_set():
                image = await self._pull()
                config = await self._configure(image) if image else None
                if image is None or config is None:
                    continue  # told to stop, or respecified
                began = time.monotonic()
                code = await self._run(config)
                policy = self.host.pod["spec"].get("restartPolicy", "Always")
                again = self._restart_anyway or should_restart(policy, record.kind, code)
                if self._stopping.is_set() or not again:
                    break
                delay = 0.0 if self._restart_anyway else self._back_off.failed(time.monotonic() - began)
                self._restart_anyway = False
                await self._wait_out(delay)
                self._next_instance()
        finally:
            record.ready = record.kind == "init" and record.exit_code == 0
            self.launched.set()
            self._changed()

    async def _pull(self) -> Image | None:
        """The image; None if told to stop meanwhile. An image the catalogue lacks is waited for as upstream would."""
        record, host = self.record, self.host
        attempt = 0
        while not self._stopping.is_set():
            reference = str(record.spec.get("image") or "")
            try:
                image = host.image(reference)
            except ValueError as error:
                words = f'Failed to apply default image tag "{reference}": {error}'
                host.event("Warning", "InspectFailed", words, record)
                host.event("Warning", "Failed", "Error: InvalidImageName", record)
                self._wait_state("InvalidImageName", words)
                self.launched.set()
                self._respecified.clear()
                await self._pause(backoff.CAP_S, self._respecified.wait())
                continue
            if image is not None:
                record.image_id = image.names[0] if image.names else reference
                message = f'Container image "{reference}" already present on machine'
                host.event("Normal", "Pulled", message, record)
                return image
            why = f'failed to pull and unpack image "{reference}": {host.unknown_image(reference)}'
            if attempt == 0:
                host.event("Normal", "Pulling", f'Pulling image "{reference}"', record)
                host.event("Warning", "Failed", f'Failed to pull image "{reference}": {why}', record)
                host.event("Warning", "Failed", "Error: ErrImagePull", record)
                self._wait_state("ErrImagePull", why)
                pause = 1.0
            else:
                host.event("Normal", "BackOff", f'Back-off pulling image "{reference}"', record)
                host.event("Warning", "Failed", "Error: ImagePullBackOff", record)
                self._wait_state("ImagePullBackOff", f'Back-off pulling image "{reference}": ErrImagePull: {why}')
                pause = backoff.CAP_S
            attempt += 1
            self.launched.set()
            self._respecified.clear()
            if not await self._pause(pause, self._respecified.wait()) and self._respecified.is_set():
                attempt = 0
        return None

    async def _configure(self, image: Image) -> ContainerConfig | None:
        """The configuration; None if told to stop, or if the image changed while something it refers to was missing."""
        record, host = self.record, self.host
        self._respecified.clear()
        reported = ""
        patience = SETTLE_S
        while not self._stopping.is_set() and not self._respecified.is_set():
            try:
                return host.configure(record, image)
            except (ConfigError, VolumeError) as error:
                words = str(error)
            if patience == CONFIG_RETRY_S and words != reported:
                reported = words
                self.launched.set()
                self._wait_state("CreateContainerConfigError", words)
                host.event("Warning", "Failed", f"Error: {words}", record)
            await self._pause(patience, host.sources_changed(patience), self._respecified.wait())
            patience = CONFIG_RETRY_S
        return None

    async def _run(self, config: ContainerConfig) -> int:
        """One instance from start to end; returns its exit code."""
        record, host = self.record, self.host
        ending.prune_logs(config.log)
        try:
            instance = await host.runtime.start(config)
        except RunError as error:
            host.event("Normal", "Created", f"Created container: {record.name}", record)
            host.event("Warning", "Failed", f"Error: {error}", record)
            record.state = terminated(
                128, record.container_id, EPOCH, rfc3339(), reason="StartError", message=str(error)
            )
            self.launched.set()
            self._changed()
            return 128
        self.instance = instance
        record.container_id = f"proc://{instance.id}"
        record.state = {"running": {"startedAt": instance.started_at}}
        record.ready = record.started = False
        host.event("Normal", "Created", f"Created container: {record.name}", record)
        host.event("Normal", "Started", f"Started container {record.name}", record)
        self._changed()
        if self._stopping.is_set():
            # Told to stop while its process was being started: then nobody else is left to end it.
            self._kill_soon(instance, 0.0, f"Stopping container {record.name}")
        living = asyncio.create_task(self._live(instance))
        try:
            code = await instance.wait()
        finally:
            living.cancel()
            await asyncio.gather(living, return_exceptions=True)
        record.ready = record.started = False
        message = await ending.message(config, record.spec, code)
        record.state = terminated(code, record.container_id, instance.started_at, instance.finished_at, message=message)
        self.launched.set()
        self._changed()
        return code

    async def _live(self, instance: Instance) -> None:
        """Everything that happens while an instance runs: the postStart hook, then the probes."""
        record, host = self.record, self.host
        target = host.target(record, instance)
        hook = (record.spec.get("lifecycle") or {}).get("postStart")
        if hook:
            result = await host.actions.hook(hook, target, None)
            if not result.ok:
                host.event("Warning", "FailedPostStartHook", "PostStartHook failed", record)
                self._kill_soon(instance, self._pod_grace_s(), "FailedPostStartHook")
                return
        if record.kind in ("init", "ephemeral"):
            record.started = True
            self.launched.set()
            self._changed()
            return
        startup = ProbeSpec.of(record.spec, "startup")
        if startup is None:
            record.started = True
        self.launched.set()
        self._changed()
        probes: list[Coroutine[Any, Any, None]] = []
        if startup:
            probes.append(self._probe(startup, target, instance))
        if liveness := ProbeSpec.of(record.spec, "liveness"):
            probes.append(self._probe(liveness, target, instance))
        readiness = ProbeSpec.of(record.spec, "readiness")
        probes.append(self._probe(readiness, target, instance) if readiness else self._become_ready(target))
        tasks = [asyncio.create_task(probe) for probe in probes]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _become_ready(self, target: Target) -> None:
        """Without a readiness probe: ready once started and once the declared ports are open, but soon in any case."""
        await self.until(lambda: self.record.started)
        ports = [
            int(port["containerPort"])
            for port in self.record.spec.get("ports") or []
            if port.get("protocol", "TCP") == "TCP"
        ]
        wanted = [target.address(port) for port in ports]
        deadline = time.monotonic() + LISTEN_PATIENCE_S
        while wanted and not listening.all_listening(wanted) and time.monotonic() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(LISTEN_POLL_S)
        self.record.ready = True
        self._changed()

    async def _probe(self, spec: ProbeSpec, target: Target, instance: Instance) -> None:
        record, host = self.record, self.host
        name = spec.kind.capitalize()

        async def attempt(probe: ProbeSpec) -> Result:
            return await host.actions.attempt(probe.handler, target.probed(), probe.timeout_s)

        def failed(result: Result) -> None:
            if not self._stopping.is_set() or spec.kind == "readiness":
                host.event("Warning", "Unhealthy", f"{name} probe failed: {result.message}", record)

        def settled(state: ProbeState, result: Result) -> None:
            if spec.kind == "readiness":
                if record.ready != state.succeeded:
                    record.ready = state.succeeded
                    self._changed()
            elif state.succeeded:
                if spec.kind == "startup":
                    record.started = True
                    self._changed()
            elif not self._stopping.is_set():
                grace = spec.grace_period_s if spec.grace_period_s is not None else self._pod_grace_s()
                message = f"Container {record.name} failed {spec.kind} probe, will be restarted"
                self._kill_soon(instance, grace, message)

        waits = spec.kind != "startup"
        await run_probe(spec, attempt, settled=settled, failed=failed, due=lambda: record.started if waits else True)

    def _kill_soon(self, instance: Instance, grace_s: float, message: str, not_before: float = 0.0) -> None:
        if self._killing is None or self._killing.done():
            self._killing = asyncio.create_task(self._kill(instance, grace_s, message, not_before))

    async def _kill(self, instance: Instance, grace_s: float, message: str, not_before: float) -> None:
        record, host = self.record, self.host
        host.event("Normal", "Killing", message, record)
        deadline = time.monotonic() + grace_s
        lifecycle = record.spec.get("lifecycle") or {}
        if grace_s > 0:
            if hook := lifecycle.get("preStop"):
                acting = asyncio.create_task(host.actions.hook(hook, host.target(record, instance), grace_s))
                await _first(acting, instance.process.wait())
                if acting.done() and not acting.cancelled() and not acting.result().ok:
                    host.event("Warning", "FailedPreStopHook", "PreStopHook failed", record)
                deadline = max(deadline, time.monotonic() + MIN_GRACE_S)
            await asyncio.sleep(max(0.0, not_before - time.monotonic()))
            instance.process.signal(ending.stop_signal(lifecycle))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(instance.process.wait(), max(0.0, deadline - time.monotonic()))
        instance.process.signal(signal.SIGKILL, group=True)
        await instance.process.wait()

    async def _wait_out(self, delay_s: float) -> None:
        record, host = self.record, self.host
        if delay_s <= 0:
            return
        metadata = host.pod["metadata"]
        where = f"{metadata['name']}_{metadata['namespace']}({metadata['uid']})"
        record.last_state, record.state = (
            record.state,
            waiting(
                "CrashLoopBackOff",
                f"back-off {backoff.words(delay_s)} restarting failed container={record.name} pod={where}",
            ),
        )
        message = f"Back-off restarting failed container {record.name} in pod {where}"
        host.event("Warning", "BackOff", message, record)
        self._changed()
        self._respecified.clear()
        await self._pause(delay_s, self._respecified.wait())

    def _next_instance(self) -> None:
        record = self.record
        record.restart_count += 1
        if "terminated" in record.state:
            record.last_state = record.state

    def _wait_state(self, reason: str, message: str) -> None:
        record = self.record
        if "terminated" in record.state:
            record.last_state = record.state
        record.state = waiting(reason, message)
        self._changed()

    async def _pause(self, seconds: float, *earlier: Coroutine[Any, Any, Any]) -> bool:
        """Sleep; ends early when told to stop or when one of ``earlier`` ends. Returns whether the time was up."""
        began = time.monotonic()
        await _first(asyncio.sleep(seconds), self._stopping.wait(), *earlier)
        return time.monotonic() - began >= seconds

    def _pod_grace_s(self) -> float:
        spec = self.host.pod["spec"]
        return float(30 if spec.get("terminationGracePeriodSeconds") is None else spec["terminationGracePeriodSeconds"])

    def _changed(self) -> None:
        self._progress.set()
        self.host.changed()


async def _first(*awaitables: Any) -> None:
    """Wait for the first to end, and cancel the others."""
    tasks = [asyncio.ensure_future(one) for one in awaitables]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
