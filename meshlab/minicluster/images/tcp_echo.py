"""``istio/tcp-echo-server``: repeats each line it is sent behind a prefix, on one or several ports."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys

from meshlab.minicluster.images.output import print_line
from meshlab.minicluster.pod import PodContext


def main(argv: list[str], pod: PodContext) -> int:
    """``tcp-echo PORT[,PORT...] PREFIX``."""
    if len(argv) < 3:
        print_line("panic: runtime error: index out of range", error=True)
        return 2
    ports = [int(port) for port in argv[1].split(",") if port.isdecimal()]
    return asyncio.run(_serve(ports, argv[2], pod))


async def _serve(ports: list[int], prefix: str, pod: PodContext) -> int:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                line = (await reader.readuntil(b"\n")).decode(errors="replace")
                print_line(f"request: {line}response: {prefix} {line.rstrip()}")
                writer.write(f"{prefix} {line}".encode())
                await writer.drain()
        writer.close()

    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    servers: list[asyncio.Server] = []
    for port in ports:
        try:
            servers.append(await asyncio.start_server(talk, pod.bind_ip, pod.ports.real(port), backlog=1024))
        except OSError as error:
            reason = os.strerror(error.errno) if error.errno else str(error)
            print_line(f"failed to create listener, err: listen tcp :{port}: bind: {reason.lower()}")
            return 1
        print_line(f"listening on [::]:{port}, prefix: {prefix}")
    await stopped.wait()
    for server in servers:
        server.close()
    sys.stdout.flush()
    return 0
