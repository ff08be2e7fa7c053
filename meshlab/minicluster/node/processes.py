"""The node's hold on its processes: the other end of the supervisor's socket."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import subprocess
import sys
import uuid
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from meshlab.minicluster.node import descendants
from meshlab.minicluster.node.privateroot import Mode
from meshlab.minicluster.node.protocol import MAX_PACKET, SpawnSpec, decode, encode

logger = logging.getLogger(__name__)

START_TIMEOUT_S = 30.0
LOST_EXIT_CODE = 128 + signal.SIGKILL


class SpawnError(Exception):
    """A program could not be started; the message is the operating system's.

    Args:
        message: such as ``no such file or directory``.
        errno: the error number, 0 if there is none.
    """

    def __init__(self, message: str, errno: int = 0) -> None:
        super().__init__(message)
        self.errno = errno


class Process:
    """A process of the supervisor; made by `Processes.spawn`."""

    def __init__(self, owner: Processes, id_: str, directory: str) -> None:
        self.id = id_
        self.directory = directory
        """The container directory of a container's first process."""
        self.pid = 0
        self.namespace = ""
        """The mount namespace of its private root; empty without one."""
        loop = asyncio.get_running_loop()
        self.started: asyncio.Future[None] = loop.create_future()
        self.exited: asyncio.Future[int] = loop.create_future()
        self._owner = owner

    @property
    def exit_code(self) -> int | None:
        """The exit code (128 plus the signal's number for a killed one); None while it runs."""
        return self.exited.result() if self.exited.done() else None

    async def wait(self) -> int:
        """The exit code, once it has ended."""
        return await asyncio.shield(self.exited)

    def signal(self, number: int, *, group: bool = False) -> None:
        """Send a signal to the process, or to everything that belongs to it; nothing happens if it has ended."""
        if not self.exited.done():
            self._owner.send({"op": "signal", "id": self.id, "signal": int(number), "group": group})


class Processes:
    """Starts the supervisor, and processes through it.

    Args:
        mountpoint: an empty directory on which private roots are built; made if missing.
        log: file that receives what the supervisor itself has to say.
        modules: what the supervisor imports before it forks.
        private_root: False to do without private roots even where they work.
        on_lost: called when the supervisor died; by then all its processes count as killed.
    """

    def __init__(
        self,
        mountpoint: Path,
        log: Path,
        *,
        modules: Sequence[str] = (),
        private_root: bool = True,
        on_lost: Callable[[], None] = lambda: None,
    ) -> None:
        self.mode: Mode = ""
        self.reason = ""
        """Why there are no private roots here, where there are none."""
        self._mountpoint = mountpoint
        self._log = log
        self._modules = modules
        self._private_root = private_root
        self._on_lost = on_lost
        self._popen: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._ready: asyncio.Future[None] | None = None
        self._processes: dict[str, Process] = {}
        self._unsent: deque[tuple[bytes, list[int]]] = deque()

    @property
    def pid(self) -> int:
        """The supervisor's own pid; 0 while there is none."""
        return self._popen.pid if self._popen else 0

    async def start(self) -> None:
        """Start the supervisor and wait until it can fork.

        Raises:
            SpawnError: it ended at once; the message holds its last words.
        """
        self._mountpoint.mkdir(parents=True, exist_ok=True)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        # A search path of its own: what the node can import, the supervisor can, whatever the current directory is.
        environment = {
            name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG", "LD_LIBRARY_PATH")
        }
        environment["PYTHONPATH"] = os.pathsep.join(entry for entry in sys.path if entry)
        command = [sys.executable, "-P", "-m", "meshlab.minicluster.node.supervisor", "--fd", str(theirs.fileno())]
        command += ["--mountpoint", str(self._mountpoint)]
        if not self._private_root:
            command.append("--no-private-root")
        with theirs, self._log.open("ab") as log:
            self._popen = subprocess.Popen(  # noqa: ASYNC220 - it only forks; asyncio's would start a thread to wait
                [*command, *self._modules],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                cwd="/",
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        self._socket = ours
        loop = asyncio.get_running_loop()
        self._ready = loop.create_future()
        loop.add_reader(ours.fileno(), self._receive)
        await asyncio.wait_for(asyncio.shield(self._ready), START_TIMEOUT_S)

    async def stop(self) -> None:
        """End the supervisor and, with it, every process; returns when all are gone."""
        popen, self._popen = self._popen, None
        self._close()
        if popen is not None:
            while popen.poll() is None:  # noqa: ASYNC110 - there is no event for it without a thread
                await asyncio.sleep(0.005)
        self._forget_all()

    async def spawn(self, spec: SpawnSpec, streams: Sequence[int]) -> Process:
        """Start a program with these descriptors as stdin, stdout and stderr; the caller keeps (and closes) its copies.

        Raises:
            SpawnError: the program cannot be run, or the supervisor is gone.
        """
        if self._socket is None:
            raise SpawnError("the supervisor is not running")
        process = Process(self, uuid.uuid4().hex, spec.directory)
        self._processes[process.id] = process
        fds = [spec.to_memfd(), *(os.dup(descriptor) for descriptor in streams)]
        self._queue(encode({"op": "spawn", "id": process.id}), fds)
        await process.started
        return process

    def send(self, message: dict[str, Any]) -> None:
        """Queue a message without descriptors."""
        if self._socket is not None:
            self._queue(encode(message), [])

    def _queue(self, packet: bytes, fds: list[int]) -> None:
        self._unsent.append((packet, fds))
        if len(self._unsent) == 1:
            self._flush()

    def _flush(self) -> None:
        if self._socket is None:
            return
        loop = asyncio.get_running_loop()
        while self._unsent:
            packet, fds = self._unsent[0]
            try:
                if fds:
                    socket.send_fds(self._socket, [packet], fds)
                else:
                    self._socket.send(packet)
            except BlockingIOError:
                loop.add_writer(self._socket.fileno(), self._flush)
                return
            except OSError as error:
                logger.warning("supervisor: %s", error)
            self._unsent.popleft()
            for descriptor in fds:
                os.close(descriptor)
        loop.remove_writer(self._socket.fileno())

    def _receive(self) -> None:
        while self._socket is not None:
            try:
                packet = self._socket.recv(MAX_PACKET)
            except BlockingIOError:
                return
            except OSError:
                packet = b""
            if not packet:
                self._lost()
                return
            self._handle(decode(packet))

    def _handle(self, message: dict[str, Any]) -> None:
        op = message["op"]
        if op == "ready":
            self.mode, self.reason = message["private_root"], message["reason"]
            if self._ready is not None and not self._ready.done():
                self._ready.set_result(None)
            return
        process = self._processes.get(message["id"])
        if process is None:
            return
        if op == "started":
            process.pid, process.namespace = message["pid"], message["namespace"]
            if not process.started.done():
                process.started.set_result(None)
        elif op == "failed":
            self._processes.pop(process.id)
            if not process.started.done():
                process.started.set_exception(SpawnError(message["error"], message["errno"]))
        elif op == "exited":
            self._processes.pop(process.id)
            if not process.exited.done():
                process.exited.set_result(message["code"])

    def _lost(self) -> None:
        """The supervisor died: its children have the death signal, the others are found and killed here."""
        popen, self._popen = self._popen, None
        self._close()
        last_words = self._log.read_text(errors="replace").strip().splitlines()[-1:] if self._log.exists() else []
        logger.error("the supervisor died: %s", " ".join(last_words))
        if popen is not None:
            # Its socket is closed, so it is dying or dead; to make sure, and not to leave a zombie.
            popen.kill()
            popen.wait()
        self.kill_leftovers()
        self._forget_all()
        if self._ready is not None and not self._ready.done():
            self._ready.set_exception(SpawnError("the supervisor ended: " + " ".join(last_words)))
        else:
            self._on_lost()

    def kill_leftovers(self) -> None:
        """Kill what belongs to processes of this supervisor and outlived it."""
        found: set[int] = set()
        for process in self._processes.values():
            if process.pid:
                found |= set(descendants.members((process.pid,), process.namespace, process.directory))
        descendants.kill(found)

    def _forget_all(self) -> None:
        for process in self._processes.values():
            if not process.started.done():
                process.started.set_exception(SpawnError("the supervisor is gone"))
                process.started.exception()  # nobody may be waiting for it any more
            if not process.exited.done():
                process.exited.set_result(LOST_EXIT_CODE)
        self._processes.clear()

    def _close(self) -> None:
        if self._socket is not None:
            loop = asyncio.get_running_loop()
            loop.remove_reader(self._socket.fileno())
            loop.remove_writer(self._socket.fileno())
            self._socket.close()
            self._socket = None
        while self._unsent:
            for descriptor in self._unsent.popleft()[1]:
                with contextlib.suppress(OSError):
                    os.close(descriptor)
