"""``mongod``, and the image of Bookinfo's database, which is filled before it answers."""

from __future__ import annotations

import asyncio
import itertools
import json
import time

from meshlab.minicluster.images.http_server import now
from meshlab.minicluster.images.mongodb.bson import BsonError, ObjectId
from meshlab.minicluster.images.mongodb.store import VERSION, Store
from meshlab.minicluster.images.mongodb.wire import read_message, reply_bytes
from meshlab.minicluster.images.output import print_line
from meshlab.minicluster.images.tcp_server import serve_tcp
from meshlab.minicluster.pod import PodContext

PORT = 27017
RATINGS = (5, 4)
"""What the image is filled with: database ``test``, collection ``ratings``."""


def main(argv: list[str], pod: PodContext) -> int:
    """``mongod [--port PORT]``; other options are accepted. With the ratings of Bookinfo's image in it."""
    port = PORT
    for option, value in itertools.pairwise(argv):
        if option == "--port" and value.isdecimal():
            port = int(value)
    store = Store()
    store.databases["test"]["ratings"] = [{"_id": ObjectId.new(), "rating": rating} for rating in RATINGS]
    return asyncio.run(_serve(pod, port, store))


def _log(severity: str, component: str, text: str, **attributes: object) -> None:
    entry = {"t": {"$date": now().isoformat(timespec="milliseconds")}, "s": severity, "c": component, "msg": text}
    print_line(json.dumps({**entry, "attr": attributes} if attributes else entry, separators=(",", ":")))


async def _serve(pod: PodContext, port: int, store: Store) -> int:
    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = ":".join(map(str, writer.get_extra_info("peername")[:2]))
        _log("I", "NETWORK", "Connection accepted", remote=peer)
        try:
            while True:
                message = await read_message(reader)
                reply = store.run(message.document, int(time.time() * 1000))
                if message.wants_reply:
                    writer.write(reply_bytes(message, reply))
                    await writer.drain()
        except BsonError as error:
            # As mongod does with what is not its protocol (a probe that speaks HTTP, for one).
            _log("I", "NETWORK", "Error receiving request from client. Ending connection from remote", error=str(error))
        finally:
            _log("I", "NETWORK", "Connection ended", remote=peer)

    _log("I", "CONTROL", "Build Info", buildInfo={"version": VERSION})
    try:
        await serve_tcp(
            pod, port, converse, on_listening=lambda: _log("I", "NETWORK", "Waiting for connections", port=port)
        )
    except OSError as error:
        _log("E", "STORAGE", "Failed to set up listener", error=f"SocketException: {error.strerror}")
        return 48
    _log("I", "CONTROL", "mongod shutting down")
    return 0
