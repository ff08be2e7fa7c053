"""``redis-server``, and the image's entry point."""

from __future__ import annotations

import asyncio
import itertools
import os

from meshlab.minicluster.images.http_server import now
from meshlab.minicluster.images.output import print_line
from meshlab.minicluster.images.redis.protocol import ProtocolError, Status, encode, read_command
from meshlab.minicluster.images.redis.store import VERSION, Store
from meshlab.minicluster.images.tcp_server import serve_tcp
from meshlab.minicluster.pod import PodContext

PORT = 6379


def entrypoint(argv: list[str], pod: PodContext) -> int:
    """``docker-entrypoint.sh redis-server ...``: options alone mean the server."""
    words = argv[1:]
    if not words or words[0].startswith("-"):
        words = ["redis-server", *words]
    if words[0] != "redis-server":
        os.execvp(words[0], words)
    return main(words, pod)


def main(argv: list[str], pod: PodContext) -> int:
    """``redis-server [CONFIG] [--port PORT]``; other options are accepted."""
    port = PORT
    for option, value in itertools.pairwise(argv):
        if option == "--port" and value.isdecimal():
            port = int(value)
    return asyncio.run(_serve(pod, port))


def _log(text: str) -> None:
    moment = now()
    print_line(f"{os.getpid()}:M {moment:%d %b %Y %H:%M:%S}.{moment.microsecond // 1000:03} * {text}")


async def _serve(pod: PodContext, port: int) -> int:
    store = Store()

    def listening() -> None:
        _log(f"Redis version={VERSION}, bits=64, commit=00000000, modified=0, pid={os.getpid()}, just started")
        _log("Ready to accept connections tcp")

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _converse(store, reader, writer)

    try:
        await serve_tcp(pod, port, converse, on_listening=listening)
    except OSError as error:
        _log(f"Warning: Could not create server TCP listening socket *:{port}: bind: {error.strerror}")
        return 1
    _log("Redis is now ready to exit, bye bye...")
    return 0


async def _converse(store: Store, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        try:
            words = await read_command(reader)
        except ProtocolError as error:
            writer.write(encode(error))
            return
        if not words:
            continue
        if words[0].upper() == "QUIT":
            writer.write(encode(Status("OK")))
            return
        writer.write(encode(store.run(words)))
        await writer.drain()
