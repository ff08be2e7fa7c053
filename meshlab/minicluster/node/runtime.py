"""The container runtime: directories, roots and processes of containers.

On disk, below the lab's state directory::

    pods/<uid>/volumes/<name>/      the volumes of a pod
    pods/<uid>/<container>/         a container's own directory: context.json, bin, etc/, <instance>.log
    mountpoint/                     empty; where private roots are mounted (each process sees only its own)
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import secrets
import shutil
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from meshlab.minicluster.images.catalogue import Image
from meshlab.minicluster.node import programs, rootfs
from meshlab.minicluster.node.logs import LogWriter
from meshlab.minicluster.node.processes import Process, Processes, SpawnError
from meshlab.minicluster.node.protocol import RootStep, SpawnSpec
from meshlab.minicluster.node.status import rfc3339
from meshlab.minicluster.node.streams import STDERR, OutputQueue, Streams
from meshlab.minicluster.node.volumes import Mount
from meshlab.minicluster.pod import PodContext

RLIMITS: Mapping[str, int] = {"CORE": 0, "NOFILE": 65536}
DRAIN_S = 0.5
"""How long output is still awaited after a process ended; something outside the container may hold its pipe."""
IMAGE_BIN = f"{rootfs.IMAGE_DIR}/bin"


class RunError(Exception):
    """A container or command could not be started; the message is the container runtime's."""


@dataclass(frozen=True, slots=True)
class ContainerConfig:
    """Everything that is decided about one instance of a container before it starts."""

    image: Image
    command: Sequence[str]
    env: Mapping[str, str]
    working_dir: str
    mounts: Sequence[Mount]
    context: PodContext
    etc: Mapping[str, str]
    """Files of ``/etc`` by name: hosts, hostname, resolv.conf, passwd, group."""
    log: Path
    shared: Sequence[Path]
    """Directories it sees at their own paths, beside its own: the pod's runtime directory, the lab's tables."""
    tty: bool = False
    stdin: bool = False


@dataclass(slots=True)
class Instance:
    """One run of a container."""

    config: ContainerConfig
    process: Process
    streams: Streams
    log: LogWriter
    id: str
    started_at: str
    listeners: set[OutputQueue] = field(default_factory=set)
    """Attached clients."""
    finished_at: str = ""

    async def wait(self) -> int:
        """The exit code, once the process has ended and its output is in the log."""
        code = await self.process.wait()
        if not self.finished_at:
            self.finished_at = rfc3339()
            await self.streams.drain(DRAIN_S)
            self.log.close()
            for listener in self.listeners:
                listener.end()
        return code

    def output(self, number: int, data: bytes) -> None:
        """Take what the process wrote."""
        if not self.log.closed:
            self.log.write("stderr" if number == STDERR else "stdout", data)
        for listener in self.listeners:
            listener.put(number, data)


class Command:
    """A command executed in a running container; an `ExecSession` of the streams."""

    def __init__(self, process: Process, streams: Streams, queue: OutputQueue) -> None:
        self.process = process
        self._streams = streams
        self._queue = queue
        self._watcher = asyncio.create_task(self._watch())

    async def read(self) -> tuple[int, bytes] | None:
        return await self._queue.get()

    async def write(self, data: bytes) -> None:
        await self._streams.write(data)

    async def close_stdin(self) -> None:
        await self._streams.close_stdin()

    def resize(self, columns: int, rows: int) -> None:
        self._streams.resize(columns, rows)

    async def wait(self) -> int:
        return await self.process.wait()

    async def close(self) -> None:
        self.process.signal(signal.SIGKILL, group=True)
        self._streams.close()
        await self._watcher

    async def _watch(self) -> None:
        await self.process.wait()
        await self._streams.drain(DRAIN_S)
        self._queue.end()


class Runtime:
    """Makes containers.

    Args:
        processes: the supervisor's client, started.
        state_dir: the lab's state directory.
        runtime_dir: a short directory for unix sockets.
    """

    def __init__(self, processes: Processes, state_dir: Path, runtime_dir: Path) -> None:
        self.processes = processes
        self.pods_dir = state_dir / "pods"
        self._runtime_dir = runtime_dir
        self._host_steps: tuple[RootStep, ...] = ()
        self._bins: dict[Path, Image] = {}
        """The bin directories written so far: a restart finds its own again."""

    @property
    def private_root(self) -> bool:
        """Whether containers have a root of their own."""
        return bool(self.processes.mode)

    def prepare(self) -> None:
        """Look at the host once, after the supervisor has started."""
        self.pods_dir.mkdir(parents=True, exist_ok=True)
        self._host_steps = tuple(rootfs.host_steps()) if self.private_root else ()

    def pod_dir(self, uid: str) -> Path:
        """Where a pod's files are."""
        return self.pods_dir / uid

    def pod_runtime_dir(self, uid: str) -> Path:
        """Where a pod's sockets are; the name is hashed, as a socket's path must stay short."""
        return self._runtime_dir / hashlib.sha256(uid.encode()).hexdigest()[:10]

    def make_pod(self, uid: str) -> None:
        """Make both directories of a pod."""
        (self.pod_dir(uid) / "volumes").mkdir(parents=True, exist_ok=True)
        runtime_dir = self.pod_runtime_dir(uid)
        shutil.rmtree(runtime_dir, ignore_errors=True)
        runtime_dir.mkdir(parents=True, mode=0o700)

    def remove_pod(self, uid: str) -> None:
        """Remove what `make_pod` made, and everything below."""
        directory = self.pod_dir(uid)
        self._bins = {path: image for path, image in self._bins.items() if path.parent != directory}
        shutil.rmtree(directory, ignore_errors=True)
        shutil.rmtree(self.pod_runtime_dir(uid), ignore_errors=True)

    def remove_other_pods(self, uids: set[str]) -> None:
        """Remove the directories of pods that no longer exist, and the sockets of all."""
        for directory in self.pods_dir.iterdir():
            if directory.name not in uids:
                shutil.rmtree(directory, ignore_errors=True)
        for directory in self._runtime_dir.iterdir() if self._runtime_dir.is_dir() else ():
            if len(directory.name) == 10 and directory.is_dir():
                shutil.rmtree(directory, ignore_errors=True)

    async def start(self, config: ContainerConfig, on_output: Callable[[int, bytes], None] | None = None) -> Instance:
        """Start an instance of a container.

        Raises:
            RunError: its program cannot be run.
        """
        directory = Path(config.context.container_dir)
        self._write_files(config, directory)
        resolved = self._resolve(config, config.command)
        streams = Streams(tty=config.tty, stdin=config.stdin)
        spec = SpawnSpec(
            argv=tuple(config.command),
            env=self._environment(config),
            cwd=self._working_dir(config),
            builtin=resolved.builtin,
            path=resolved.path,
            context=str(directory / "context.json"),
            root=self._root(config) if self.private_root else (),
            directory=str(directory),
            tty=config.tty,
            rlimits=RLIMITS,
        )
        try:
            process = await self.processes.spawn(spec, streams.child_fds)
        except SpawnError as error:
            streams.close()
            raise RunError(_create_failed(config.command[0], error)) from error
        instance = Instance(config, process, streams, LogWriter(config.log), secrets.token_hex(32), rfc3339())
        streams.start(instance.output)
        return instance

    async def execute(self, instance: Instance, command: Sequence[str], *, tty: bool, stdin: bool) -> Command:
        """Run a command in the root of a running container.

        Raises:
            RunError: the image has no such program, or the container has ended.
        """
        config = instance.config
        try:
            resolved = programs.resolve(config.image, command[0], self._bin_dir(config))
        except programs.NotFound as error:
            raise RunError(exec_failed(str(error))) from error
        streams = Streams(tty=tty, stdin=stdin)
        env = self._environment(config)
        spec = SpawnSpec(
            argv=tuple(command),
            env={**env, "TERM": "xterm"} if tty else env,
            cwd=self._working_dir(config),
            builtin=resolved.builtin,
            path=self._executable(config, resolved.path),
            context=str(Path(config.context.container_dir, "context.json")),
            join=instance.process.id,
            tty=tty,
            rlimits=RLIMITS,
        )
        try:
            process = await self.processes.spawn(spec, streams.child_fds)
        except SpawnError as error:
            streams.close()
            raise RunError(exec_failed(_exec_words(command[0], error))) from error
        queue = OutputQueue(on_full=streams.pause, on_drained=streams.resume)
        streams.start(queue.put)
        return Command(process, streams, queue)

    def _resolve(self, config: ContainerConfig, command: Sequence[str]) -> programs.Resolved:
        if not command:
            raise RunError("failed to create containerd task: no command specified")
        try:
            resolved = programs.resolve(config.image, command[0], self._bin_dir(config))
        except programs.NotFound as error:
            raise RunError(_task_failed(str(error))) from error
        return programs.Resolved(resolved.builtin, self._executable(config, resolved.path))

    def _executable(self, config: ContainerConfig, path: str) -> str:
        """A file of the container as the child can open it: without a private root, a volume is elsewhere."""
        if path and not path.startswith("/"):
            path = str(Path(self._working_dir(config), path))
        return path if self.private_root else config.context.host_path(path)

    def _environment(self, config: ContainerConfig) -> dict[str, str]:
        return {"PATH": self._bin_dir(config), **config.env}

    def _bin_dir(self, config: ContainerConfig) -> str:
        return IMAGE_BIN if self.private_root else str(Path(config.context.container_dir, "bin"))

    def _working_dir(self, config: ContainerConfig) -> str:
        if self.private_root:
            return config.working_dir or "/"
        directory = config.context.host_path(config.working_dir or "/")
        return directory if directory != "/" and Path(directory).is_dir() else config.context.container_dir

    def _write_files(self, config: ContainerConfig, directory: Path) -> None:
        etc = directory / "etc"
        etc.mkdir(parents=True, exist_ok=True)
        for name, text in config.etc.items():
            (etc / name).write_text(text)
        config.context.save(directory / "context.json")
        if self._bins.get(directory) != config.image:
            programs.write_bin(config.image, directory)
            self._bins[directory] = config.image

    def _root(self, config: ContainerConfig) -> tuple[RootStep, ...]:
        directory = Path(config.context.container_dir)
        steps = list(self._host_steps)
        steps += [RootStep("bind", f"/etc/{name}", str((directory / "etc" / name).resolve())) for name in config.etc]
        # The pod's own directories may lie inside a shared one, and must be writable there.
        steps += [RootStep("bind", str(path), str(path.resolve()), read_only=True) for path in config.shared]
        steps.append(RootStep("bind", str(directory), str(directory.resolve())))
        steps.append(RootStep("bind", IMAGE_BIN, str((directory / "bin").resolve()), read_only=True))
        steps.append(RootStep("bind", config.context.runtime_dir, os.path.realpath(config.context.runtime_dir)))
        if config.working_dir not in ("", "/"):
            steps.append(RootStep("dir", config.working_dir, optional=True))
        for mount in config.mounts:
            rootfs.place(steps, RootStep("bind", mount.target, str(mount.source), read_only=mount.read_only))
        return tuple(steps)


def exec_failed(words: str) -> str:
    """A failed exec in the words of containerd and runc."""
    return (
        f'failed to exec in container: failed to start exec "{secrets.token_hex(32)}": '
        f"OCI runtime exec failed: exec failed: unable to start container process: {words}: unknown"
    )


def _task_failed(words: str) -> str:
    return (
        "failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create failed: "
        f"unable to start container process: error during container init: {words}: unknown"
    )


def _create_failed(word: str, error: SpawnError) -> str:
    return _task_failed(_exec_words(word, error))


def _exec_words(word: str, error: SpawnError) -> str:
    return f'exec: "{word}": stat {word}: {error}' if error.errno == 2 else f'exec: "{word}": {error}'
