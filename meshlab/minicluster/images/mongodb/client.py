"""One question to a MongoDB: connect, ask, leave."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

from meshlab.minicluster.images.dial import PodNetwork, UnknownHost
from meshlab.minicluster.images.mongodb.bson import BsonError, Document
from meshlab.minicluster.images.mongodb.wire import command_bytes, read_message
from meshlab.minicluster.pod import PodContext

PORT = 27017
TIMEOUT_S = 30.0


class Unreachable(Exception):
    """No connection to the server, or it does not speak MongoDB."""


async def find_all(pod: PodContext, url: str, collection: str) -> list[Document]:
    """Every document of a collection.

    Args:
        pod: who asks.
        url: ``mongodb://HOST[:PORT]/DATABASE``.
        collection: its name.

    Raises:
        Unreachable: there is no connection.
        LookupError: the server refuses.
    """
    parts = urlsplit(url)
    database = parts.path.strip("/") or "test"
    try:
        async with asyncio.timeout(TIMEOUT_S):
            connection = await asyncio.to_thread(
                PodNetwork(pod).connect, parts.hostname or "localhost", parts.port or PORT, TIMEOUT_S
            )
            connection.setblocking(False)
            reader, writer = await asyncio.open_connection(sock=connection)
            try:
                for command in ({"hello": 1}, {"find": collection, "filter": {}}):
                    writer.write(command_bytes({**command, "$db": database}))
                    reply = (await read_message(reader)).document
                    if reply.get("ok") != 1.0:
                        raise LookupError(str(reply.get("errmsg")))
            finally:
                writer.close()
    except (OSError, UnknownHost, TimeoutError, BsonError, asyncio.IncompleteReadError) as error:
        raise Unreachable(str(error)) from error
    documents: list[Document] = reply["cursor"]["firstBatch"]
    return documents
