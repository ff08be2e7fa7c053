"""The parent of every process of the lab: a fork server without threads, event loop or state on disk.

It is started once by the node (``python -m meshlab.minicluster.node.supervisor``), imports the modules that built-in
programs need, and from then on forks: a container costs a fork instead of an interpreter's start, and its memory is
shared. Being a subreaper it inherits what containers orphan. It lives exactly as long as the node's end of
its socket: when that closes, however the node died, it kills every descendant and exits.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import importlib
import json
import os
import selectors
import signal
import socket
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from meshlab.minicluster.node import child, descendants, linux, privateroot, rootfs
from meshlab.minicluster.node.protocol import MAX_PACKET, SpawnSpec, decode, encode, exit_code

MAX_FDS = 4


@dataclass(slots=True)
class Tracked:
    """A child that has not been reported as exited."""

    id: str
    pid: int
    error_pipe: int
    joined: str
    """The id of the container this process was executed in; empty for a container's first process."""
    directory: str
    """The container's own directory on the host."""
    namespace: str = ""
    namespace_fd: int = -1
    """Keeps the mount namespace alive: the kernel gives the name of a dead one to the next."""
    sessions: set[int] = field(default_factory=set)
    """The sessions of a container: its own and those of the commands executed in it."""


class Supervisor:
    """The fork server.

    Args:
        control: the supervisor's end of the packet socket.
        mountpoint: an empty directory on which private roots are built.
        mode: how private roots are made on this host.
    """

    def __init__(self, control: socket.socket, mountpoint: str, mode: privateroot.Mode) -> None:
        self._control = control
        self._mountpoint = mountpoint
        self._mode = mode
        self._by_id: dict[str, Tracked] = {}
        self._by_pid: dict[int, Tracked] = {}
        self._selector = selectors.DefaultSelector()
        self._ending = False

    def serve(self) -> None:
        """Work until the node's end of the socket closes, or until SIGTERM."""
        wake_reader, wake_writer = socket.socketpair()
        for end in (wake_reader, wake_writer):
            end.setblocking(False)
        signal.set_wakeup_fd(wake_writer.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, self._on_sigterm)
        for number in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGTSTP):
            signal.signal(number, signal.SIG_IGN)
        self._selector.register(self._control, selectors.EVENT_READ, self._receive)
        self._selector.register(wake_reader, selectors.EVENT_READ, lambda: self._woken(wake_reader))
        try:
            while not self._ending:
                for key, _ in self._selector.select():
                    callback: Callable[[], None] = key.data
                    callback()
        finally:
            end_all()

    def _on_sigterm(self, *_: object) -> None:
        self._ending = True

    def _woken(self, reader: socket.socket) -> None:
        with contextlib.suppress(BlockingIOError):
            while reader.recv(4096):
                pass
        self._reap()

    def _send(self, **message: Any) -> None:
        try:
            self._control.send(encode(message))
        except OSError:
            self._ending = True

    def _receive(self) -> None:
        try:
            packet, fds, _, _ = socket.recv_fds(self._control, MAX_PACKET, MAX_FDS, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        except OSError:
            packet, fds = b"", []
        if not packet:
            self._ending = True
            return
        message = decode(packet)
        if message["op"] == "spawn":
            self._spawn(message["id"], fds)
        elif message["op"] == "signal":
            self._signal(message)

    def _spawn(self, id_: str, fds: list[int]) -> None:
        spec = SpawnSpec.from_fd(fds[0])
        container = self._by_id.get(spec.join) if spec.join else None
        if spec.join and container is None:
            for descriptor in fds[1:]:
                os.close(descriptor)
            self._send(op="failed", id=id_, error="container not running", errno=0)
            return
        reader, writer = os.pipe()
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            child.run(
                spec,
                fds[1:],
                writer,
                mountpoint=self._mountpoint,
                mode=self._mode,
                join_pid=container.pid if container else 0,
                parent=parent,
            )
        for descriptor in (*fds[1:], writer):
            os.close(descriptor)
        tracked = Tracked(id_, pid, reader, spec.join, "" if spec.join else spec.directory, sessions={pid})
        if container:
            container.sessions.add(pid)
        self._by_id[id_] = self._by_pid[pid] = tracked
        self._selector.register(reader, selectors.EVENT_READ, lambda: self._settled(tracked))

    def _settled(self, tracked: Tracked) -> None:
        """The child's error pipe ended: its program runs, or never will."""
        if tracked.error_pipe < 0:
            return
        data = b""
        while chunk := os.read(tracked.error_pipe, 4096):
            data += chunk
        self._selector.unregister(tracked.error_pipe)
        os.close(tracked.error_pipe)
        tracked.error_pipe = -1
        if data:
            self._send(op="failed", id=tracked.id, **json.loads(data))
            return
        if self._mode and not tracked.joined:
            self._hold_namespace(tracked)
        self._send(op="started", id=tracked.id, pid=tracked.pid, namespace=tracked.namespace)

    def _hold_namespace(self, tracked: Tracked) -> None:
        try:
            descriptor = os.open(f"/proc/{tracked.pid}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return  # it has ended already
        namespace = str(Path(f"/proc/self/fd/{descriptor}").readlink())
        if namespace == descendants.mount_namespace(os.getpid()):
            os.close(descriptor)  # no private root: the namespace of the whole host
        else:
            tracked.namespace, tracked.namespace_fd = namespace, descriptor

    def _signal(self, message: dict[str, Any]) -> None:
        tracked = self._by_id.get(message["id"])
        if tracked is None:
            return
        pids = [tracked.pid]
        if message.get("group"):
            pids += descendants.members(tracked.sessions, tracked.namespace, tracked.directory)
        descendants.kill(pids, message["signal"])

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            tracked = self._by_pid.pop(pid, None)
            if tracked is None:
                continue  # an orphan of some container
            self._settled(tracked)
            del self._by_id[tracked.id]
            if not tracked.joined:
                # As a container's PID namespace would: with its first process, everything in it ends.
                descendants.kill(descendants.members(tracked.sessions, tracked.namespace, tracked.directory))
            if tracked.namespace_fd >= 0:
                os.close(tracked.namespace_fd)
            code, number = exit_code(status)
            self._send(op="exited", id=tracked.id, code=code, signal=number)


def end_all() -> None:
    """Kill every descendant: children die, theirs fall to this subreaper, until there is none."""
    while True:
        descendants.kill(descendants.children_of(os.getpid()))
        try:
            # One at a time: the orphans it leaves are ours from now on, and nobody has killed them yet.
            os.waitpid(-1, 0)
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return


def preload(modules: list[str]) -> None:
    """Import what built-in programs use; one that cannot be imported is only reported."""
    for module in modules:
        try:
            importlib.import_module(module)
        except Exception as error:
            print(f"supervisor: cannot preload {module}: {error!r}", file=sys.stderr, flush=True)
    if "grpc" in sys.modules or threading.active_count() > 1:
        # gRPC's threads do not survive a fork.
        raise SystemExit("supervisor: a preloaded module started threads or imported grpc")


def main(arguments: list[str]) -> None:
    """Entry point: ``supervisor --fd N --mountpoint DIR [--no-private-root] [MODULE...]``."""
    parser = argparse.ArgumentParser(prog="supervisor")
    parser.add_argument("--fd", type=int, required=True)
    parser.add_argument("--mountpoint", required=True)
    parser.add_argument("--no-private-root", action="store_true")
    parser.add_argument("modules", nargs="*")
    options = parser.parse_args(arguments)
    control = socket.socket(fileno=options.fd)
    os.set_inheritable(options.fd, False)
    linux.prctl(linux.PR_SET_CHILD_SUBREAPER, 1)
    linux.prctl(linux.PR_SET_NAME, b"meshlab-superv\0")
    mode: privateroot.Mode = ""
    reason = "switched off"
    if not options.no_private_root:
        mode, reason = privateroot.probe(rootfs.host_steps(), options.mountpoint)
    preload(options.modules)
    gc.collect()
    gc.freeze()
    control.send(encode({"op": "ready", "private_root": mode, "reason": reason}))
    Supervisor(control, options.mountpoint, mode).serve()


if __name__ == "__main__":
    main(sys.argv[1:])
