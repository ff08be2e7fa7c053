"""What the API server's streams reach of the node: logs, exec, attach, port-forward."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

from meshlab.minicluster.kubeapi import Obj, StatusError
from meshlab.minicluster.node.container import Container
from meshlab.minicluster.node.logs import LogOptions, LogWriter, parse_time, read
from meshlab.minicluster.node.podworker import PodWorker
from meshlab.minicluster.node.runtime import Command, Instance, RunError
from meshlab.minicluster.node.streams import OutputQueue
from meshlab.minicluster.pod import local_socket

ATTACH_LIMIT_BYTES = 2**20
STATUS_FIELDS = ("containerStatuses", "initContainerStatuses")


class Attachment:
    """A client that joined a container's main program; an `ExecSession` of the streams.

    A client that does not read must not stop the program: it is cut off instead.
    """

    def __init__(self, instance: Instance, *, stdin: bool, stdin_once: bool) -> None:
        self._instance = instance
        self._stdin = stdin
        self._stdin_once = stdin_once
        self._queue = OutputQueue(high=ATTACH_LIMIT_BYTES, on_full=self._cut)
        instance.listeners.add(self._queue)
        if instance.process.exited.done():
            self._queue.end()

    async def read(self) -> tuple[int, bytes] | None:
        return await self._queue.get()

    async def write(self, data: bytes) -> None:
        if self._stdin:
            await self._instance.streams.write(data)

    async def close_stdin(self) -> None:
        if self._stdin and self._stdin_once:
            await self._instance.streams.close_stdin()

    def resize(self, columns: int, rows: int) -> None:
        self._instance.streams.resize(columns, rows)

    async def wait(self) -> int:
        # The program's exit code is in the pod's status; an attachment that ends with it has succeeded.
        await self._instance.process.wait()
        return 0

    async def close(self) -> None:
        self._instance.listeners.discard(self._queue)
        self._queue.end()
        await self.close_stdin()

    def _cut(self) -> None:
        self._instance.listeners.discard(self._queue)
        self._queue.end()


class Backend:
    """Implements `PodBackend` for the pods of a node.

    Args:
        workers: the node's pods by uid.
        find_pod: any pod of this node, by namespace and name, as the API has it.
        log_folder: where the logs of a pod's containers are.
    """

    def __init__(
        self,
        workers: Mapping[str, PodWorker],
        find_pod: Callable[[str, str], Obj | None],
        log_folder: Callable[[Obj], Path],
    ) -> None:
        self._workers = workers
        self._find_pod = find_pod
        self._log_folder = log_folder

    async def logs(
        self,
        namespace: str,
        pod: str,
        container: str,
        *,
        follow: bool,
        previous: bool,
        since_s: float | None,
        since_time: str | None,
        tail_lines: int | None,
        timestamps: bool,
        limit_bytes: int | None,
    ) -> AsyncIterator[bytes]:
        """See `PodBackend.logs`."""
        since = time.time() - since_s if since_s is not None else None
        if since_time:
            try:
                since = parse_time(since_time)
            except ValueError as error:
                raise StatusError(400, "BadRequest", f"invalid sinceTime: {error}") from error
        options = LogOptions(
            follow=follow, since=since, tail_lines=tail_lines, timestamps=timestamps, limit_bytes=limit_bytes
        )
        path, writer = self._find_log(namespace, pod, container, previous=previous)
        async for chunk in read(path, options, writer):
            yield chunk

    async def exec(
        self, namespace: str, pod: str, container: str, command: list[str], *, tty: bool, stdin: bool
    ) -> Command:
        """See `PodBackend.exec`."""
        worker = self._worker(namespace, pod)
        found = self._container(worker, container)
        instance = self._running(worker, found)
        if not command:
            raise StatusError(400, "BadRequest", "you must specify at least one command for the container")
        try:
            return await worker.runtime.execute(instance, command, tty=tty, stdin=stdin)
        except RunError as error:
            raise _internal(f"error executing command in container: {error}") from error

    async def attach(self, namespace: str, pod: str, container: str, *, tty: bool, stdin: bool) -> Attachment:
        """See `PodBackend.attach`."""
        worker = self._worker(namespace, pod)
        found = self._container(worker, container)
        # One that has just ended is attached to for a moment: kubectl run is always late for a short command, and would
        # print its log a second time if this failed.
        ended = found.instance if found.record.exit_code is not None else None
        instance = ended or self._running(worker, found)
        spec = found.record.spec
        return Attachment(instance, stdin=stdin and bool(spec.get("stdin")), stdin_once=bool(spec.get("stdinOnce")))

    async def open_port(self, namespace: str, pod: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """See `PodBackend.open_port`."""
        worker = self._worker(namespace, pod)
        network = worker.network
        if network is None or worker.record.finished:
            raise _internal(f"unable to do port forwarding: pod {pod} is not running")
        own = local_socket(worker.runtime.pod_runtime_dir(worker.uid), port)
        if own.exists():
            return await asyncio.open_unix_connection(own)
        real = network.ports.real(port)
        try:
            return await asyncio.open_connection(network.app_ip, real)
        except OSError:
            if network.app_ip == network.pod_ip:
                raise
            # Nothing of the application's: one of the sidecar's own ports, which it serves on the pod IP.
            return await asyncio.open_connection(network.pod_ip, real)

    def _find_log(self, namespace: str, pod: str, container: str, *, previous: bool) -> tuple[Path, LogWriter | None]:
        """The file of the wanted instance, and who still writes it."""
        described = self._finished_before(namespace, pod)
        if described is not None:
            name, count, folder = _described_container(described, container), 0, self._log_folder(described)
            statuses = (described["status"].get(field) or [] for field in STATUS_FIELDS)
            count = next((one["restartCount"] for some in statuses for one in some if one["name"] == name), 0)
            instance = None
        else:
            worker = self._worker(namespace, pod)
            found = self._container(worker, container)
            name, count, instance = found.record.name, found.record.restart_count, found.instance
            folder = self._log_folder(worker.pod)
        current, before = (folder / name / f"{number}.log" for number in (count, count - 1))
        if previous:
            if count == 0 or not before.exists():
                message = f'previous terminated container "{name}" in pod "{pod}" not found'
                raise StatusError(400, "BadRequest", message)
            return before, None
        if current.exists():
            return current, instance.log if instance is not None and instance.config.log == current else None
        # In the back-off of a crash loop, what was is what there is to read.
        if before.exists():
            return before, None
        raise self._waiting(found) if described is None else StatusError(404, "NotFound", f"no log of {name} is left")

    def _finished_before(self, namespace: str, pod: str) -> Obj | None:
        """A pod that had ended before this node was started: of it there are only files."""
        if any((worker.namespace, worker.name) == (namespace, pod) for worker in self._workers.values()):
            return None
        return self._find_pod(namespace, pod)

    def _worker(self, namespace: str, pod: str) -> PodWorker:
        for worker in self._workers.values():
            if (worker.namespace, worker.name) == (namespace, pod):
                return worker
        raise StatusError(404, "NotFound", f'pods "{pod}" not found', {"name": pod, "kind": "pods"})

    @staticmethod
    def _container(worker: PodWorker, name: str) -> Container:
        if not name:
            name = next(record.name for record in worker.record.of_kind("app"))
        container = worker.containers.get(name)
        if container is None:
            raise StatusError(400, "BadRequest", f"container {name} is not valid for pod {worker.name}")
        return container

    def _running(self, worker: PodWorker, container: Container) -> Instance:
        if container.running and container.instance is not None:
            return container.instance
        if container.instance is None:
            raise self._waiting(container)
        raise _internal(f'error executing command in container: container not found ("{container.record.name}")')

    @staticmethod
    def _waiting(container: Container) -> StatusError:
        record = container.record
        pod = container.host.pod["metadata"]["name"]
        state = record.state.get("waiting") or {}
        reason = state.get("reason") or "ContainerCreating"
        words = f'container "{record.name}" in pod "{pod}" is waiting to start: '
        if reason in ("ErrImagePull", "ImagePullBackOff"):
            words += "trying and failing to pull image" if reason == "ErrImagePull" else "image can't be pulled"
        else:
            words += reason
        return StatusError(400, "BadRequest", words)


def _described_container(pod: Obj, name: str) -> str:
    spec = pod["spec"]
    names = [one["name"] for field in ("containers", "initContainers") for one in spec.get(field) or []]
    if name and name not in names:
        raise StatusError(400, "BadRequest", f"container {name} is not valid for pod {pod['metadata']['name']}")
    return name or str(names[0])


def _internal(words: str) -> StatusError:
    return StatusError(500, "InternalError", f"Internal error occurred: {words}", {"causes": [{"message": words}]})
