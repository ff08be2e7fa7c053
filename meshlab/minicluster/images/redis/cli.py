"""``redis-cli [-h HOST] [-p PORT] COMMAND ...``: one command, its reply as a script sees it."""

from __future__ import annotations

import asyncio
import sys

from meshlab.minicluster.images.dial import UnknownHost
from meshlab.minicluster.images.redis.client import RedisClient
from meshlab.minicluster.images.redis.protocol import RedisError, Value
from meshlab.minicluster.images.redis.server import PORT
from meshlab.minicluster.pod import PodContext


def main(argv: list[str], pod: PodContext) -> int:
    """Run one command; lines of standard input if there is none."""
    words = argv[1:]
    host, port = "127.0.0.1", PORT
    while len(words) >= 2 and words[0] in ("-h", "-p"):
        if words[0] == "-h":
            host = words[1]
        else:
            port = int(words[1])
        words = words[2:]
    commands = [words] if words else [line.split() for line in sys.stdin if line.split()]
    return asyncio.run(_run(RedisClient(pod, host, port), commands, f"{host}:{port}"))


async def _run(client: RedisClient, commands: list[list[str]], address: str) -> int:
    for command in commands:
        try:
            (reply,) = await client.run([command])
        except RedisError as error:
            print(f"{error}\n")
        except (OSError, UnknownHost) as error:
            print(f"Could not connect to Redis at {address}: {error}", file=sys.stderr)
            return 1
        else:
            print(_shown(reply))
    client.close()
    return 0


def _shown(reply: Value) -> str:
    if isinstance(reply, list):
        return "\n".join(_shown(item) for item in reply)
    return "" if reply is None else str(reply)
