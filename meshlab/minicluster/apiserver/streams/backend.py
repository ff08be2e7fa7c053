"""What the streams need of a node."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Protocol

STDIN, STDOUT, STDERR, ERROR, RESIZE = range(5)
"""Channel numbers, as remotecommand's WebSocket dialects put them in front of every message."""


class ExecSession(Protocol):
    """A command running in a container, or the attachment to its main program."""

    async def read(self) -> tuple[int, bytes] | None:
        """The next output as ``(STDOUT | STDERR, data)``; None when both have ended."""
        ...

    async def write(self, data: bytes) -> None:
        """Give the program input; it waits while the program does not read."""
        ...

    async def close_stdin(self) -> None:
        """Let the program read end-of-file."""
        ...

    def resize(self, columns: int, rows: int) -> None:
        """The client's terminal has another size; ignored without a pty."""
        ...

    async def wait(self) -> int:
        """The exit code; 128 plus the signal's number for a killed program."""
        ...

    async def close(self) -> None:
        """The client is done or gone: end the command, or detach from the main program."""
        ...


class PodBackend(Protocol):
    """The node, as the API server reaches it. Every method raises `StatusError` with upstream's words."""

    def logs(
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
        """The container's log; with ``follow`` it ends when the container does."""
        ...

    async def exec(
        self, namespace: str, pod: str, container: str, command: list[str], *, tty: bool, stdin: bool
    ) -> ExecSession:
        """Start a command. A missing program is a 500 ``InternalError``, a missing container a 400 ``BadRequest``."""
        ...

    async def attach(self, namespace: str, pod: str, container: str, *, tty: bool, stdin: bool) -> ExecSession:
        """Join the container's main program: its output from now on."""
        ...

    async def open_port(self, namespace: str, pod: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect to a port of the pod's own programs, past any sidecar; ``OSError`` if nothing listens there."""
        ...
