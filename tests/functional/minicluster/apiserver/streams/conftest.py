"""A plain HTTP server with one pod, whose container is a directory and whose commands are real processes."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import pty
import signal
import struct
import sys
import termios
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiohttp import web

from meshlab.minicluster.apiserver.streams.handlers import Verb, handle_stream
from meshlab.minicluster.kubeapi import Obj, StatusError

KUBECTL = Path(sys.executable).parent / "kubectl"
POD: Obj = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {
        "name": "web",
        "namespace": "default",
        "uid": "11111111-2222-3333-4444-555555555555",
        "resourceVersion": "7",
        "creationTimestamp": "2026-01-01T00:00:00Z",
    },
    "spec": {
        "nodeName": "meshlab",
        "containers": [{"name": "app", "image": "busybox", "stdin": True, "tty": False}],
    },
    "status": {
        "phase": "Running",
        "conditions": [{"type": "Ready", "status": "True"}],
        "containerStatuses": [
            {
                "name": "app",
                "ready": True,
                "restartCount": 0,
                "image": "busybox",
                "imageID": "",
                "state": {"running": {}},
            }
        ],
    },
}  # fmt: skip


class ProcessSession:
    """An `ExecSession` on a real child process, with pipes or with a pty."""

    def __init__(self, process: asyncio.subprocess.Process, master: int | None) -> None:
        self.process = process
        self.closed = asyncio.Event()
        self._master = master
        self._output: asyncio.Queue[tuple[int, bytes] | None] = asyncio.Queue()
        if master is None:
            assert process.stdout is not None and process.stderr is not None
            streams = ((1, process.stdout), (2, process.stderr))
            self._readers = [asyncio.create_task(self._copy(number, stream)) for number, stream in streams]
            self._left = 2
        else:
            os.set_blocking(master, False)
            asyncio.get_running_loop().add_reader(master, self._master_ready)

    async def _copy(self, number: int, stream: asyncio.StreamReader) -> None:
        while data := await stream.read(65536):
            self._output.put_nowait((number, data))
        self._left -= 1
        if not self._left:
            self._output.put_nowait(None)

    def _master_ready(self) -> None:
        assert self._master is not None
        try:
            data = os.read(self._master, 65536)
        except OSError:
            data = b""
        if data:
            self._output.put_nowait((1, data))
        else:
            asyncio.get_running_loop().remove_reader(self._master)
            self._output.put_nowait(None)

    async def read(self) -> tuple[int, bytes] | None:
        return await self._output.get()

    async def write(self, data: bytes) -> None:
        if self._master is not None:
            os.write(self._master, data)
        elif self.process.stdin is not None:
            self.process.stdin.write(data)
            await self.process.stdin.drain()

    async def close_stdin(self) -> None:
        if self.process.stdin is not None:
            self.process.stdin.close()

    def resize(self, columns: int, rows: int) -> None:
        if self._master is not None:
            fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    async def wait(self) -> int:
        code = await self.process.wait()
        return code if code >= 0 else 128 - code

    async def close(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        await self.process.wait()
        if self._master is None:
            await asyncio.gather(*self._readers)
        else:
            asyncio.get_running_loop().remove_reader(self._master)
            os.close(self._master)
            self._master = None
        self.closed.set()


@dataclass
class FakeNode:
    """A `PodBackend` with one container."""

    directory: Path
    log_lines: list[bytes] = field(default_factory=lambda: [b"one\n", b"two\n", b"three\n"])
    log_ended: asyncio.Event = field(default_factory=asyncio.Event)
    log_calls: list[dict[str, Any]] = field(default_factory=list)
    sessions: list[ProcessSession] = field(default_factory=list)
    ports: dict[int, int] = field(default_factory=dict)
    """Container port to the real port on 127.0.0.1."""

    async def logs(self, namespace: str, pod: str, container: str, **options: Any) -> AsyncIterator[bytes]:
        self.log_calls.append({"container": container, **options})
        if options["previous"]:
            raise StatusError(
                400, "BadRequest", f'previous terminated container "{container}" in pod "{pod}" not found'
            )
        for line in self.log_lines:
            yield line
        if options["follow"]:
            await self.log_ended.wait()
            yield b"last\n"

    async def exec(
        self, namespace: str, pod: str, container: str, command: list[str], *, tty: bool, stdin: bool
    ) -> ProcessSession:
        master, slave = pty.openpty() if tty else (None, None)
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=slave if tty else asyncio.subprocess.PIPE if stdin else asyncio.subprocess.DEVNULL,
                stdout=slave if tty else asyncio.subprocess.PIPE,
                stderr=slave if tty else asyncio.subprocess.PIPE,
                cwd=self.directory,
                start_new_session=not tty,
                preexec_fn=(lambda: os.login_tty(0)) if tty else None,
            )
        except (FileNotFoundError, PermissionError):
            raise StatusError(
                500,
                "InternalError",
                f'Internal error occurred: exec: "{command[0]}": executable file not found in $PATH',
            ) from None
        finally:
            if slave is not None:
                os.close(slave)
        session = ProcessSession(process, master)
        self.sessions.append(session)
        return session

    async def attach(self, namespace: str, pod: str, container: str, *, tty: bool, stdin: bool) -> ProcessSession:
        return await self.exec(
            namespace, pod, container, ["sh", "-c", "echo attached; cat; exit 3"], tty=tty, stdin=True
        )

    async def open_port(self, namespace: str, pod: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if port not in self.ports:
            raise ConnectionRefusedError(111, "Connection refused")
        return await asyncio.open_connection("127.0.0.1", self.ports[port])


@dataclass
class StreamServer:
    url: str
    node: FakeNode
    pod: Obj

    async def kubectl(
        self, *args: str, stdin: bytes | None = None, env: dict[str, str] | None = None
    ) -> tuple[int, bytes, bytes]:
        """Run the real kubectl; its exit code, stdout and stderr."""
        process = await self.start_kubectl(*args, stdin=stdin is not None, env=env)
        async with asyncio.timeout(30):
            out, err = await process.communicate(stdin)
        assert process.returncode is not None
        return process.returncode, out, err

    async def start_kubectl(
        self, *args: str, stdin: bool = False, env: dict[str, str] | None = None
    ) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            KUBECTL,
            f"--server={self.url}",
            f"--kubeconfig={self.node.directory}/kubeconfig",
            f"--cache-dir={self.node.directory}/cache",
            *args,
            stdin=asyncio.subprocess.PIPE if stdin else asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={"PATH": os.environ["PATH"], "HOME": str(self.node.directory), **(env or {})},
        )


def _json(obj: Any, status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(obj), status=status, content_type="application/json")


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[StreamServer]:
    node = FakeNode(tmp_path)
    (tmp_path / "kubeconfig").write_text("")
    pod: Obj = orjson.loads(orjson.dumps(POD))

    @web.middleware
    async def errors(request: web.Request, handler: Any) -> web.StreamResponse:
        try:
            response: web.StreamResponse = await handler(request)
            return response
        except StatusError as error:
            return _json(error.to_status(), error.code)

    async def stream(request: web.Request) -> web.StreamResponse:
        verb: Verb = request.match_info["verb"]  # type: ignore[assignment]
        return await handle_stream(request, node, verb, pod)

    async def get_pod(request: web.Request) -> web.Response:
        return _json(pod)

    resources = [{"name": "pods", "singularName": "pod", "namespaced": True, "kind": "Pod", "verbs": ["get"]}]
    documents: dict[str, Obj] = {
        "/api": {"kind": "APIVersions", "versions": ["v1"]},
        "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": []},
        "/api/v1": {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "v1", "resources": resources},
    }

    async def discovery(request: web.Request) -> web.Response:
        return _json(documents[request.path])

    app = web.Application(middlewares=[errors])
    for path in documents:
        app.router.add_get(path, discovery)
    app.router.add_get("/api/v1/namespaces/default/pods/web", get_pod)
    app.router.add_route("*", "/api/v1/namespaces/default/pods/web/{verb}", stream)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    try:
        yield StreamServer(f"http://127.0.0.1:{port}", node, pod)
    finally:
        await runner.cleanup()
        async with asyncio.timeout(5):  # every session is closed, however its client went away
            await asyncio.gather(*(session.closed.wait() for session in node.sessions))
